"""`vitret report`: the leaderboard as a folder for a web server, and what changed in the results."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from vitret.cli import console
from vitret.cli.options import Trust

if TYPE_CHECKING:
    from collections.abc import Sequence

    from vitret.compare.tables import Table
    from vitret.pages.board.links import Pictures


def report(
    out: Annotated[
        Path | None,
        typer.Option("--out", help="Write the page into this folder; default, without --against: report."),
    ] = None,
    panels: Annotated[
        list[str] | None,
        typer.Option(
            "--panels",
            metavar="SET",
            help="Add pictures of this evaluation set: what each row finds; repeatable.",
        ),
    ] = None,
    maps: Annotated[
        bool,
        typer.Option("--maps", help="With --panels: draw where each network looks in them, too."),
    ] = False,
    against: Annotated[
        Path | None,
        typer.Option("--against", help="Print how the rows differ from this results folder, in Markdown."),
    ] = None,
    trust: Trust = False,
) -> None:
    """Write the leaderboard as a folder for a web server.

    Open index.html in it: leaderboard.html with the curves of training of the runs on this machine. LEADERBOARD.md and
    leaderboard.csv lie beside it. With --against, new rows and rows that were measured again are compared with those of
    another results folder by paired tests.

    With --panels, pages in panels/ show queries with the first ten images that each row finds, framed by how they are
    judged, and what one row loses and gains against another. The networks and the set must be on this machine. Only
    your own photographs and sets whose terms allow it are shown, because the pages hold small copies. With --maps each
    row has a page with maps of attention and similarity over them, as `vitret maps` draws.

    Examples:
      vitret report
      vitret report --panels rminitown-east --maps
      vitret report --out public
      vitret report --against ../main/results > changes.md
    """
    from vitret.core import config
    from vitret.core.errors import UserError
    from vitret.pages import report as page
    from vitret.pages.leaderboard import measured_tables

    if maps and not panels:
        raise UserError("--maps draws over the pictures of --panels SET; name a set.")
    root = config.location("results").path
    if out is None and (against is None or panels):
        out = Path("report")
    if out is not None:
        found = measured_tables(root)
        pictures, pages = _pictures(found, list(dict.fromkeys(panels or [])), out, maps=maps)
        pages += page.write_bundle(found, root, out, home=config.location("home").path, pictures=pictures)
        for path in pages:
            console.say(f"wrote {path}")
    if against is not None:
        console.put(page.changes(root, against).rstrip("\n"))


def _pictures(
    found: "Sequence[Table]", names: "Sequence[str]", out: Path, *, maps: bool
) -> "tuple[Pictures, list[Path]]":
    """Write the pages of pictures of some evaluation sets; their addresses and the pages."""
    from vitret.pages.board.links import NO_PICTURES

    if not names:
        return NO_PICTURES, []
    from vitret.cli.bench import machine_of
    from vitret.compare.asked import Places
    from vitret.pages.board.pictures import write_pictures

    machine = machine_of("auto", "auto", None)
    return write_pictures(
        found, names, out, places=Places.default(), machine=machine, say=console.say, maps=maps
    )
