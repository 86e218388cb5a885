"""`vitret leaderboard`: tables of comparable rows from the measured results."""

from typing import Annotated

import typer

from vitret.cli import console


def leaderboard(
    check: Annotated[
        bool,
        typer.Option(
            "--check", help="Write nothing; exit with 1 and show the difference when the tables are stale."
        ),
    ] = False,
    form: Annotated[
        str,
        typer.Option("--format", help="Print md, csv, json, latex or html to stdout; write no files."),
    ] = "",
    without_overlap: Annotated[
        str,
        typer.Option(
            "--without-overlap",
            metavar="FILE|auto",
            help="With --format, print the tables a second time, without the queries that overlap.",
        ),
    ] = "",
) -> None:
    """Write the tables of all measured results.

    Writes LEADERBOARD.md, leaderboard.csv and leaderboard.html from the result files in results/.

    Examples:
      vitret leaderboard
      vitret leaderboard --check
      vitret leaderboard --format latex > table.tex
      vitret leaderboard --format md --without-overlap auto
    """
    from vitret.core import config
    from vitret.core.errors import UserError
    from vitret.pages import leaderboard as board

    root = config.location("results").path
    if form:
        if check:
            raise UserError("--check compares the files that are written, --format prints: give one of them.")
        console.require_choice("--format", form, tuple(board.RENDERERS))
        console.put(board.render(root, form, without=without_overlap, say=console.say).rstrip("\n"))
    elif without_overlap:
        raise UserError("--without-overlap prints tables and writes none: say how, e.g. --format md.")
    elif check:
        board.check(root)
        console.say(f"{root}: the leaderboard is what its rows give.")
    else:
        for path in board.write(root):
            console.say(f"wrote {path}")
