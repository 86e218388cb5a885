"""`vitret report`: the leaderboard as a folder for a web server, and what changed in the results."""

from pathlib import Path
from typing import Annotated

import typer

from vitret.cli import console


def report(
    out: Annotated[
        Path | None,
        typer.Option("--out", help="Write the page into this folder; default, without --against: report."),
    ] = None,
    against: Annotated[
        Path | None,
        typer.Option("--against", help="Print how the rows differ from this results folder, in Markdown."),
    ] = None,
) -> None:
    """Write the leaderboard as a folder for a web server.

    Open index.html in it: leaderboard.html with the curves of training of the runs on this machine. LEADERBOARD.md and
    leaderboard.csv lie beside it. With --against, new rows and rows that were measured again are compared with those of
    another results folder by paired tests.

    Examples:
      vitret report
      vitret report --out public
      vitret report --against ../main/results > changes.md
    """
    from vitret.core import config
    from vitret.pages import report as page

    root = config.location("results").path
    if out is None and against is None:
        out = Path("report")
    if out is not None:
        for path in page.write_bundle(root, out, home=config.location("home").path):
            console.say(f"wrote {path}")
    if against is not None:
        console.put(page.changes(root, against).rstrip("\n"))
