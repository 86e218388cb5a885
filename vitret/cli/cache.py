"""`vitret cache`: the descriptors stored in $VITRET_HOME/descriptors."""

import json
from datetime import datetime
from typing import TYPE_CHECKING, Annotated

import typer

from vitret.cli import console
from vitret.cli.options import Format, OneLine

if TYPE_CHECKING:
    from vitret.describe.cache import Entry

app = typer.Typer(
    help="Manage stored descriptors: list, verify, remove, compare.",
    no_args_is_help=True,
    rich_markup_mode=None,
)


@app.callback()
def _cache() -> None:
    """Manage stored descriptors: list, verify, remove, compare."""


_HEADS = ("entry", "made", "MB", "rows", "dim", "failed", "model", "size", "device", "precision", "images")


@app.command()
def ls(
    form: Format = "",
    wide: OneLine = False,
) -> None:
    """List the stored descriptors, newest first.

    Examples:
      vitret cache ls
      vitret --home /big/vitret cache ls --format csv
    """
    from vitret.core.config import location
    from vitret.describe import cache

    entries = cache.ls(location("home").path)
    if entries or form:
        console.table(map(_cells, entries), heads=_HEADS, right=_HEADS[2:6], form=form, wide=wide)
    total = sum(entry.size for entry in entries)
    console.say(f"{len(entries)} entries, {total / 1e6:.1f} MB in {cache.folder(location('home').path)}")


def _made(entry: "Entry") -> str:
    return datetime.fromtimestamp(entry.made).astimezone().strftime("%Y-%m-%d %H:%M")


def _cells(entry: "Entry") -> list[str]:
    """One entry under `_HEADS`; of an unfinished one only what is known."""
    start = [entry.name[:12], _made(entry), f"{entry.size / 1e6:.1f}"]
    if entry.card is None:
        return start + [""] * (len(_HEADS) - len(start))
    card, key = entry.card, entry.card["key"]
    facts = [card["rows"], card["dim"], len(card["failed"]), key["model"][:8], key["protocol"]["size"]]
    return [*start, *map(str, facts), key["device"], key["precision"], card["root"]]


def _line(entry: "Entry") -> str:
    start = f"{entry.name[:12]}  {_made(entry)}  {entry.size / 1e6:9.1f} MB"
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
    """Compare every stored file with its checksum.

    The exit code is 1 when a file is damaged.

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
        list[str] | None,
        typer.Argument(help="First letters of entry names, as `vitret cache ls` shows them."),
    ] = None,
    unfinished: Annotated[
        bool, typer.Option("--unfinished", help="Remove entries that were never finished.")
    ] = False,
    older_than: Annotated[
        float | None, typer.Option(min=0, help="Remove entries older than this number of days.")
    ] = None,
    plan: Annotated[
        bool, typer.Option("--plan", help="Print what would be removed; change nothing.")
    ] = False,
) -> None:
    """Remove stored descriptors.

    They are computed again when they are needed.

    Examples:
      vitret cache prune --older-than 30 --plan
      vitret cache prune 3f2a9c --unfinished
    """
    from vitret.core.config import location
    from vitret.core.errors import UserError
    from vitret.describe import cache

    if not (names or unfinished or older_than is not None):
        raise UserError(
            "Name what to remove: entries, --unfinished, or --older-than DAYS. See: vitret cache ls"
        )
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
    name: Annotated[str, typer.Argument(help="First letters of an entry's name.")],
    other: Annotated[str | None, typer.Argument(help="Another entry; default: the most similar one.")] = None,
) -> None:
    """Show why a stored entry was not reused.

    Prints the settings in which two entries differ.

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
