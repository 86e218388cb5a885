"""Every command in the README and the docs parses; those on real photographs are run."""

import shlex
from pathlib import Path

import pytest
from page_commands import commands

from vitret.cli import _take_common, build_command, run

ROOT = Path(__file__).resolve().parents[1]
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_every_command_parses(page: Path, monkeypatch: pytest.MonkeyPatch):
    for name in ("HOME", "DATA", "RESULTS", "WEIGHTS", "CONFIGS", "SUITES", "INCLUDE"):
        monkeypatch.setenv(f"VITRET_{name}", "")
    for line in commands(page.read_text(encoding="utf-8")):
        words = _take_common(shlex.split(line.partition(" > ")[0])[1:])
        group, path = build_command(), []
        while hasattr(group, "commands"):
            assert words, line
            assert words[0] in group.commands, line
            path.append(words[0])
            group, words = group.commands[words[0]], words[1:]
        group.make_context(" ".join(path), list(words))


def test_the_first_command_stands_within_120_words():
    before = (ROOT / "README.md").read_text(encoding="utf-8").partition("```")[0]
    assert len(before.split()) <= 120


@pytest.mark.slow
def test_the_four_commands_on_own_photographs_run(
    shared: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys
):
    lines = [line for line in commands((ROOT / "README.md").read_text()) if "minilandmarks" in line]
    assert len(lines) == 4
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("VITRET_WEIGHTS", str(shared / "weights"))
    monkeypatch.setenv("VITRET_RESULTS", str(tmp_path / "results"))
    for line in lines:
        words = shlex.split(line.replace("~/minilandmarks", str(shared / "minilandmarks")))[1:]
        assert run(words) == 0, f"{line}\n{capsys.readouterr().err}"
    printed = capsys.readouterr().out
    assert "ViT-Ti/16 CLS, frozen" in printed
    assert "mAP" in printed
