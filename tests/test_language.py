"""Every help page fits in 80 columns, is complete, and uses plain words; so do pages and texts in the sources."""

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from vitret.cli import build_command, run

ROOT = Path(__file__).resolve().parents[1]

# Private words that plain standard English replaces: user, synthetic, again, continue, command line, dataset, fix, …
RETIRED = (
    "anew",
    "brought",
    "changes of",
    "data set",
    "data sets",
    "drawn set",
    "drawn sets",
    "drawn world",
    "go on",
    "goes on",
    "going on",
    "lacking",
    "lacks",
    "mend",
    "mended",
    "mends",
    "person",
    "sister",
    "sisters",
    "somebody",
    "starved",
    "the door",
    "whence",
)
_RETIRED = re.compile(r"\b(?:" + "|".join(re.escape(word) for word in RETIRED) + r")\b", flags=re.IGNORECASE)

# Texts that may not change: terms that users accepted and warnings that committed rows carry, and names on the disk.
KEPT = (
    "vitret/data/datasets/_minitown.py",
    "vitret/data/prepare/official_tree.py",
    "vitret/data/prepare/shared_archives.py",
)

PAGES = sorted(
    path.relative_to(ROOT).as_posix() for path in [*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md")]
)
FILES = sorted(
    path.relative_to(ROOT).as_posix()
    for path in (ROOT / "vitret").rglob("*.py")
    if path.relative_to(ROOT).as_posix() not in KEPT
)


def retired_words(text: str) -> list[str]:
    """Every retired word of a text, also where a line break stands between its two words."""
    return _RETIRED.findall(re.sub(r"\s+", " ", text))


def _help_paths(group: object, path: tuple[str, ...] = ()) -> Iterator[tuple[str, ...]]:
    yield path
    for name, command in getattr(group, "commands", {}).items():
        yield from _help_paths(command, (*path, name))


def _strings(source: str) -> Iterator[tuple[int, str]]:
    """Line and text of every string literal, docstrings and the fixed parts of f-strings included."""
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Constant) and isinstance(node.value, str):
            yield node.lineno, node.value


@pytest.mark.parametrize(
    "path", sorted(_help_paths(build_command())), ids=lambda path: " ".join(path) or "vitret"
)
def test_every_help_page_is_whole_and_plain_at_80_columns(
    path: tuple[str, ...], capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setenv("COLUMNS", "80")
    monkeypatch.setenv("TERM", "dumb")
    assert run([*path, "--help"]) == 0
    page = capsys.readouterr().out
    lines = [line for line in page.splitlines() if not line.startswith("Usage:")]
    assert "…" not in page
    assert [line for line in lines if line.rstrip().endswith("...")] == []
    assert [line for line in lines if len(line) > 80] == []
    assert retired_words(page) == []


@pytest.mark.parametrize("page", PAGES)
def test_pages_are_plain(page: str):
    assert retired_words((ROOT / page).read_text(encoding="utf-8")) == []


@pytest.mark.parametrize("file", FILES)
def test_texts_in_the_sources_are_plain(file: str):
    found = {
        line: words
        for line, text in _strings((ROOT / file).read_text(encoding="utf-8"))
        if (words := retired_words(text))
    }
    assert found == {}


def test_retired_words_are_whole_words_over_line_breaks():
    assert retired_words("The drawn\nworld; personal; A PERSON's; amend") == ["drawn world", "PERSON"]


def test_strings_hold_docstrings_and_the_fixed_parts_of_f_strings():
    assert list(_strings('"""one"""\nx = f"two {y}"')) == [(1, "one"), (2, "two ")]
