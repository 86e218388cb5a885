"""One page of the site per verb, made from the help of the verb when the site is built: no page can be stale."""

from __future__ import annotations

import inspect
import re
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from vitret.cli import build_command

if TYPE_CHECKING:
    from mkdocs.config.defaults import MkDocsConfig
    from mkdocs.structure.files import Files

FOLDER = "commands"
SECTION = "Command line"


def verbs(group: Any, path: tuple[str, ...] = ()) -> Iterator[tuple[tuple[str, ...], Any]]:
    """Every verb with its path, ("labels", "write"); groups of verbs are not verbs."""
    for name, command in group.commands.items():
        if hasattr(command, "commands"):
            yield from verbs(command, (*path, name))
        else:
            yield (*path, name), command


def pages() -> dict[str, str]:
    """File name → Markdown of the overview and of every verb, in the order of `vitret --help`."""
    command = build_command()
    found = {"index.md": _overview(command)}
    found |= {f"{'-'.join(path)}.md": _page(path, verb) for path, verb in verbs(command)}
    return found


def _overview(command: Any) -> str:
    rows = [
        f"| [`vitret {' '.join(path)}`]({'-'.join(path)}.md) | {_first_sentence(verb)} |"
        for path, verb in verbs(command)
    ]
    after = command.epilog.replace("\b\n", "").strip()
    table = "\n".join(["| verb | does |", "| --- | --- |", *rows])
    return f"# Command line\n\n{command.help}\n\n{table}\n\n```text\n{after}\n```\n"


def _page(path: tuple[str, ...], command: Any) -> str:
    name = " ".join(path)
    about, _, examples = command.help.replace("\b\n", "").partition("Examples:\n")
    shown = "\n".join(f"$ {line.strip()}" for line in examples.strip().splitlines())
    parts = [f"# vitret {name}", inspect.cleandoc(about), f"## Examples\n\n```console\n{shown}\n```"]
    given = [p for p in command.params if p.param_type_name == "argument"]
    options = [p for p in command.params if p.param_type_name == "option" and p.name != "help"]
    if given:
        parts.append("## Arguments\n\n" + _table("argument", [(_argument(p), p) for p in given]))
    if options:
        parts.append("## Options\n\n" + _table("option", [(_option(p), p) for p in options]))
    return "\n\n".join(parts) + "\n"


def _first_sentence(command: Any) -> str:
    return command.short_help or re.split(r"(?<=\.)\s", inspect.cleandoc(command.help), maxsplit=1)[0]


def _table(kind: str, rows: list[tuple[str, Any]]) -> str:
    lines = [f"| {names} | {_cell(p.help or '')}{_default(p)} |" for names, p in rows]
    return "\n".join([f"| {kind} | meaning |", "| --- | --- |", *lines])


def _argument(parameter: Any) -> str:
    return f"`{parameter.name.upper()}`"


def _option(parameter: Any) -> str:
    value = "" if parameter.is_flag else f" {parameter.name.strip('_').upper()}"
    return f"`{parameter.opts[0]}{value}`"


def _default(parameter: Any) -> str:
    """What holds when nothing is given; words for it are in the help of options whose default depends."""
    default = parameter.default
    if parameter.required:
        return " **Required.**"
    # Anything else is the library's mark for "no default".
    if isinstance(default, bool) or not isinstance(default, (str, int, float)) or default == "":
        return ""
    return f" Default: `{default}`."


def _cell(text: str) -> str:
    return re.sub(r"\s+", " ", text).replace("|", "\\|").strip()


def on_config(config: MkDocsConfig) -> MkDocsConfig:
    """List the pages of the verbs in the navigation."""
    assert config.nav is not None
    for entry in config.nav:
        if isinstance(entry, dict) and SECTION in entry:
            overview, *rest = (f"{FOLDER}/{name}" for name in pages())
            entry[SECTION] = [{"Overview": overview}, *rest]
    return config


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Add the pages of the verbs; they are never written into docs/."""
    from mkdocs.structure.files import File

    for name, text in pages().items():
        files.append(File.generated(config, f"{FOLDER}/{name}", content=text))
    return files
