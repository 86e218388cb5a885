"""`vitret overlap`: what is refused before an audit begins."""

import pytest

from vitret.cli import run


@pytest.mark.parametrize("text", ['{"a": "no"}', '{"pairs": [{"id": "a"}]}', "nothing"])
def test_a_wrong_file_of_verdicts_is_refused_before_the_audit(tmp_path, capsys, text):
    file = tmp_path / "verdicts.json"
    file.write_text(text)
    words = ["overlap", "no-such-set", "nor-this", "--by", "timm:test_vit", "--out", str(tmp_path / "o.json")]
    assert run([*words, "--verdicts", str(file)]) != 0
    said = capsys.readouterr().err
    assert str(file) in said
    assert "no-such-set" not in said
