from pathlib import Path

import pytest

from vitret.core import plugins
from vitret.core.errors import UserError


@pytest.fixture
def included(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    (tmp_path / "heads").mkdir()
    (tmp_path / "heads" / "mine.py").write_text(
        "def build(widths, *, p=3.0, need):\n    return (widths, p, need)\n"
    )
    monkeypatch.setenv("VITRET_INCLUDE", str(tmp_path))
    return tmp_path


def test_a_file_in_an_included_folder_is_a_part(included: Path):
    assert "mine" in plugins.names("heads")
    assert plugins.build("heads", "mine", (4,), need=1) == ((4,), 3.0, 1)


def test_options_are_the_keyword_only_parameters_and_are_checked(included: Path):
    assert plugins.resolve("heads", "mine", {"need": 2}) == {"p": 3.0, "need": 2}
    with pytest.raises(UserError, match="needs a value for: need"):
        plugins.resolve("heads", "mine", {})
    with pytest.raises(UserError, match=r"no option 'nede'\. Did you mean 'need'"):
        plugins.resolve("heads", "mine", {"nede": 2})


def test_an_option_of_a_wrong_type_is_refused_and_a_right_one_stays_as_it_was_given(included: Path):
    (included / "heads" / "typed.py").write_text(
        "def build(widths, *, p: float = 3.0, base: str | None = None): ...\n"
    )
    with pytest.raises(UserError, match="head 'typed': p: Input should be a valid number"):
        plugins.resolve("heads", "typed", {"p": "much"})
    assert repr(plugins.resolve("heads", "typed", {"p": 4})) == "{'p': 4, 'base': None}"


def test_annotations_that_only_a_type_checker_can_read_are_no_types(included: Path):
    (included / "heads" / "later.py").write_text(
        "from __future__ import annotations\n\n\ndef build(widths, *, p: Unknown = 3.0): ...\n"
    )
    assert plugins.resolve("heads", "later", {"p": "much"}) == {"p": "much"}


def test_an_unknown_part_or_family_names_the_nearest():
    with pytest.raises(UserError, match="Did you mean 'gem'"):
        plugins.load("heads", "gme")
    with pytest.raises(UserError, match="Did you mean 'heads'"):
        plugins.names("headz")


def test_a_missing_include_folder_is_said(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("VITRET_INCLUDE", "/nowhere/at/all")
    with pytest.raises(UserError, match="there is no such folder"):
        plugins.names("heads")


def test_a_file_without_build_is_said(included: Path):
    (included / "heads" / "empty.py").write_text("x = 1\n")
    with pytest.raises(UserError, match="one public function called 'build'"):
        plugins.options("heads", "empty")


def test_data_sets_are_written_with_hyphens(included: Path):
    (included / "datasets").mkdir()
    (included / "datasets" / "my_town.py").write_text("def build():\n    return 1\n")
    assert "my-town" in plugins.names("datasets")
    assert plugins.build("datasets", "my-town") == 1


@pytest.mark.parametrize("family", sorted(plugins.FAMILIES))
def test_every_part_has_a_build_whose_options_have_defaults_or_are_named(family: str):
    for name in plugins.names(family):
        if name != "pml":  # needs an extra that the tests do not install
            assert isinstance(plugins.options(family, name), dict), name
