"""`vitret cache`: the descriptors kept in $VITRET_HOME/descriptors."""

import json
from datetime import datetime
from typing import TYPE_CHECKING, Annotated

import typer

from vitret.cli import console

if TYPE_CHECKING:
    from vitret.describe.cache import Entry

app = typer.Typer(help="Look after kept descriptors.", no_args_is_help=True, rich_markup_mode=None)


@app.callback()
def _cache() -> None:
    """Look after kept descriptors."""


@app.command()
def ls() -> None:
    """List what is kept, the newest first.

    Examples:
      vitret cache ls
      vitret --home /big/vitret cache ls
    """
    from vitret.core.config import location
    from vitret.describe import cache

    entries = cache.ls(location("home").path)
    for entry in entries:
        console.put(_line(entry))
    total = sum(entry.size for entry in entries)
    console.say(f"{len(entries)} entries, {total / 1e6:.1f} MB in {cache.folder(location('home').path)}")


def _line(entry: "Entry") -> str:
    made = datetime.fromtimestamp(entry.made).astimezone().strftime("%Y-%m-%d %H:%M")
    start = f"{entry.name[:12]}  {made}  {entry.size / 1e6:9.1f} MB"
    if entry.card is None:
        return f"{start}  unfinished"
    key = entry.card["key"]
    failed = f", {len(entry.card['failed'])} failed" if entry.card["failed"] else ""
    return (
        f"{start}  {entry.card['rows']} × {entry.card['dim']}{failed}, model {key['model'][:8]}, "
        f"size {key['protocol']['size']}, {key['device']} {key['precision']}, {entry.card['root']}"
    )


@app.command()
def verify() -> None:
    """Read everything that is kept and compare it with its checksum.

    Exit code 1 when something is damaged.

    Examples:
      vitret cache verify
      vitret --home /big/vitret cache verify
    """
    from vitret.core.config import location
    from vitret.core.errors import CheckError
    from vitret.describe import cache

    checked = list(cache.verify(location("home").path))
    bad = [(entry, problem) for entry, problem in checked if problem]
    if bad:
        listed = "\n".join(f"{entry.path}: {problem}." for entry, problem in bad)
        names = " ".join(entry.name[:12] for entry, _ in bad)
        raise CheckError(f"{listed}\nRemove them: vitret cache prune {names}")
    console.say(f"{len(checked)} entries are as they were written.")


@app.command()
def prune(
    names: Annotated[
        list[str] | None, typer.Argument(help="Beginnings of names, as `vitret cache ls` shows them.")
    ] = None,
    unfinished: Annotated[
        bool, typer.Option("--unfinished", help="Remove entries that were never finished.")
    ] = False,
    older_than: Annotated[
        float | None, typer.Option(min=0, help="Remove entries made more than so many days ago.")
    ] = None,
    plan: Annotated[bool, typer.Option("--plan", help="Show what would be removed; change nothing.")] = False,
) -> None:
    """Remove kept descriptors; they are made again when they are needed.

    Examples:
      vitret cache prune --older-than 30 --plan
      vitret cache prune 3f2a9c --unfinished
    """
    from vitret.core.config import location
    from vitret.core.errors import UserError
    from vitret.describe import cache

    if not (names or unfinished or older_than is not None):
        raise UserError("say what to remove: names, --unfinished, or --older-than DAYS. See: vitret cache ls")
    gone = cache.prune(
        location("home").path,
        names=tuple(names or ()),
        unfinished=unfinished,
        older_than_days=older_than,
        dry=plan,
    )
    for entry in gone:
        console.put(_line(entry))
    verb = "would be removed" if plan else "removed"
    console.say(f"{len(gone)} entries, {sum(entry.size for entry in gone) / 1e6:.1f} MB {verb}.")


@app.command()
def why(
    name: Annotated[str, typer.Argument(help="The beginning of an entry's name.")],
    other: Annotated[str | None, typer.Argument(help="Another; default: the one most like it.")] = None,
) -> None:
    """Show the settings in which two kept entries differ.

    They are the reason why one was not used for the other.

    Examples:
      vitret cache why 3f2a9c
      vitret cache why 3f2a9c 77b01e
    """
    from vitret.core.config import location
    from vitret.describe import cache

    one, two, apart = cache.why(location("home").path, name, other)
    console.put(f"A  {_line(one)}\nB  {_line(two)}")
    for key, (left, right) in apart.items():
        console.put(f"{key}: {json.dumps(left)} / {json.dumps(right)}")
