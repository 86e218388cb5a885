"""`vitret report`: the leaderboard as a folder for a web server, and what changed in the results."""

from pathlib import Path
from typing import Annotated

import typer

from vitret.cli import console


def report(
    out: Annotated[
        Path | None,
        typer.Option("--out", help="Write the page into this folder, for any web server."),
    ] = None,
    against: Annotated[
        Path | None,
        typer.Option("--against", help="Print how the rows differ from this results folder, in Markdown."),
    ] = None,
) -> None:
    """Write the leaderboard as a folder for a web server.

    The folder holds index.html, LEADERBOARD.md and leaderboard.csv. The page is leaderboard.html with the curves of
    training of the runs on this machine. With --against, new rows and rows that were measured again are compared with
    those of another results folder by paired tests.

    Examples:
      vitret report --out public
      vitret report --against ../main/results > changes.md
    """
    from vitret.core import config
    from vitret.core.errors import UserError
    from vitret.pages import report as page

    if out is None and against is None:
        raise UserError("Nothing to do: name a folder with --out, other results with --against, or both.")
    root = config.location("results").path
    if out is not None:
        for path in page.write_bundle(root, out, home=config.location("home").path):
            console.say(f"wrote {path}")
    if against is not None:
        console.put(page.changes(root, against).rstrip("\n"))
