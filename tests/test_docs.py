"""The site has a page for every verb and option, its pages are in the navigation, and it builds without warnings."""

import doctest
import importlib.util
import inspect
import re
import subprocess
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
import yaml

from vitret.cli import build_command

ROOT = Path(__file__).resolve().parents[1]


def _hook(name: str) -> ModuleType:
    spec = importlib.util.spec_from_file_location(f"docs_hook_{name}", ROOT / "docs" / "hooks" / f"{name}.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


COMMANDS = _hook("commands")
VERBS = dict(COMMANDS.verbs(build_command()))


def test_the_site_has_one_page_per_verb_and_an_overview():
    assert list(COMMANDS.pages()) == ["index.md", *(f"{'-'.join(path)}.md" for path in VERBS)]


@pytest.mark.parametrize("path", sorted(VERBS), ids=" ".join)
def test_the_page_of_a_verb_holds_its_help(path: tuple[str, ...]):
    page = COMMANDS.pages()[f"{'-'.join(path)}.md"]
    command: Any = VERBS[path]
    assert page.startswith(f"# vitret {' '.join(path)}\n")
    assert inspect.cleandoc(command.help).splitlines()[0] in page
    assert page.count("$ vitret ") + page.count("$ VITRET_") >= 2
    for parameter in command.params:
        if parameter.param_type_name == "option" and parameter.name != "help":
            assert f"| `{parameter.opts[0]}" in page, parameter.name
        elif parameter.param_type_name == "argument":
            assert f"| `{parameter.name.upper()}`" in page
    assert "object at 0x" not in page


def test_the_overview_links_every_verb_and_names_the_exit_codes():
    overview = COMMANDS.pages()["index.md"]
    assert re.findall(r"\]\((.*?)\.md\)", overview) == ["-".join(path) for path in VERBS]
    assert "130  interrupted" in overview


def test_every_page_is_in_the_navigation():
    config = yaml.safe_load((ROOT / "mkdocs.yml").read_text(encoding="utf-8"))
    listed = {page for entry in config["nav"] for page in entry.values() if isinstance(page, str)}
    assert listed == {path.name for path in (ROOT / "docs").glob("*.md")}


def test_the_api_page_shows_what_python_prints():
    failed, tried = doctest.testfile(str(ROOT / "docs" / "api.md"), module_relative=False)
    assert failed == 0
    assert tried > 8


def test_a_doctest_in_a_docstring_is_shown_as_code():
    pytest.importorskip("griffe")
    text = "One.\n>>> 1 + 1\n2\n\nTwo."
    assert _hook("doctests").fenced(text) == "One.\n\n```pycon\n>>> 1 + 1\n2\n```\n\nTwo."


def test_the_site_builds_without_warnings(tmp_path: Path):
    pytest.importorskip("mkdocstrings")
    pytest.importorskip("material")
    done = subprocess.run(
        [sys.executable, "-m", "mkdocs", "build", "--strict", "--site-dir", str(tmp_path / "site")],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "site" / "commands" / "prepare.html").is_file()
    # A page that asks another host for a font or a script would not open offline.
    page = (tmp_path / "site" / "index.html").read_text(encoding="utf-8")
    assert re.findall(r"(?:src|href)=\"(?:https?:)?//[^\"]+", page) == []
