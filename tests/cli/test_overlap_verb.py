"""`vitret overlap`: what is refused before an audit begins, and what is said of evidence that is there."""

import json
from types import SimpleNamespace

import pytest

from vitret.cli import overlap as verb
from vitret.cli import run
from vitret.core.pairs import NO, PLACE, UNCLEAR, YES


def _evidence(*pairs):
    """Evidence of town and east; pairs are (id, proposal, verdict)."""
    same = {"train": "a.jpg", "label": 0, "image": "i.jpg", "role": "query", "queries": [0], "score": 1.2}
    numbers = {"inliers": 21, "matches": 30, "pixels": 0.1}
    same["parts"] = {"cosines": [0.5, None], "hash_bits": None, "mirrored": False, **numbers}
    return {
        "schema": 1,
        "train": {"name": "town", "digest": "t", "images": 9},
        "evaluation": {"name": "east", "digest": "e", "queries": 4, "positives": 7},
        "descriptors": [{"name": "a", "identity": "x", "protocol": "p"}],
        "settings": {"neighbours": 5},
        "compared": 50,
        "code": {"commit": "c", "dirty": False, "versions": {}},
        "pairs": [
            {**same, "id": name, "proposal": proposal, "verdict": verdict}
            for name, proposal, verdict in pairs
        ],
    }


@pytest.mark.parametrize("text", ['{"a": "no"}', '{"pairs": [{"id": "a"}]}', "nothing"])
def test_a_wrong_file_of_verdicts_is_refused_before_the_audit(tmp_path, capsys, text):
    file = tmp_path / "verdicts.json"
    file.write_text(text)
    words = ["overlap", "no-such-set", "nor-this", "--by", "timm:test_vit", "--out", str(tmp_path / "o.json")]
    assert run([*words, "--verdicts", str(file)]) != 0
    said = capsys.readouterr().err
    assert str(file) in said
    assert "no-such-set" not in said


def test_proposals_that_are_not_judged_are_counted_in_words(tmp_path, capsys, monkeypatch):
    monkeypatch.setattr(verb, "_page", lambda *_, **__: None)  # it needs the photographs
    file = tmp_path / "o.json"
    file.write_text(json.dumps(_evidence(("a", PLACE, None), ("b", PLACE, YES), ("c", UNCLEAR, NO))))
    assert run(["overlap", "town", "east", "--out", str(file)]) == 0
    said = capsys.readouterr().err
    assert "1 proposal not judged. A proposal counts as overlap until it is rejected." in said


def test_a_file_that_is_no_evidence_is_left_alone(tmp_path, capsys):
    file = tmp_path / "mine.json"
    file.write_text('{"name": "mine"}')
    assert run(["overlap", "no-such-set", "nor-this", "--by", "timm:test_vit", "--out", str(file)]) == 2
    said = " ".join(capsys.readouterr().err.split())
    assert "is no evidence of `vitret overlap`. Name another file: --out FILE.json" in said
    assert file.read_text() == '{"name": "mine"}'


@pytest.mark.parametrize("by", [[], ["--by", "timm:test_vit", "--by", "timm:test_resnet"]])
@pytest.mark.parametrize(
    ("changes", "place"),
    [
        ({"train": None}, "train: "),
        ({"evaluation": {"name": "east"}}, "evaluation.digest: "),
        ({"pairs": [{"id": "a", "train": "a.jpg", "queries": [0]}]}, "pairs.0.role: "),
        ({"code": {}}, "code.commit: "),
        ({"schema": 2}, "is no evidence of this version"),
    ],
)
def test_damaged_evidence_is_refused_before_the_audit(tmp_path, capsys, by, changes, place):
    file = tmp_path / "o.json"
    file.write_text(json.dumps({**_evidence(("a", PLACE, None)), **changes}))
    assert run(["overlap", "no-such-set", "nor-this", *by, "--out", str(file)]) == 2
    said = " ".join(capsys.readouterr().err.split())
    assert str(file) in said
    assert place in said
    assert "Remove it and write it again: vitret overlap TRAINSET EVALSET --by A --by B" in said


def test_evidence_of_other_sets_is_not_written_over(tmp_path, capsys):
    file = tmp_path / "o.json"
    file.write_text(json.dumps(_evidence(("a", PLACE, YES))))
    words = [
        "overlap",
        "town",
        "west",
        "--by",
        "timm:test_vit",
        "--by",
        "timm:test_resnet",
        "--out",
        str(file),
    ]
    assert run(words) == 2
    said = " ".join(capsys.readouterr().err.split())
    assert "is about town and east. Name another file: --out FILE.json" in said


def test_evidence_of_photographs_that_were_replaced_is_not_recorded(tmp_path, capsys, monkeypatch):
    sets = {
        "town": SimpleNamespace(name="town", digest="t"),
        "east": SimpleNamespace(name="east", digest="other"),
    }
    monkeypatch.setattr("vitret.data.layout.load_train", lambda _, name: sets[name])
    monkeypatch.setattr("vitret.data.layout.load_eval", lambda _, name: sets[name])
    monkeypatch.setenv("VITRET_RESULTS", str(tmp_path / "results"))
    file = tmp_path / "o.json"
    file.write_text(json.dumps(_evidence(("a", PLACE, YES))))
    before = file.read_bytes()
    assert run(["overlap", "town", "east", "--out", str(file), "--record"]) == 2
    said = " ".join(capsys.readouterr().err.split())
    assert "o.json: is of other bytes of east than those here now. Look again, into another file" in said
    assert file.read_bytes() == before
    assert not (tmp_path / "results").exists()
