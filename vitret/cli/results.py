"""`vitret results`: check the measured results, and bring those of an earlier version up to date."""

from pathlib import Path

import typer

from vitret.cli import console

app = typer.Typer(
    help="Check the measured results, and bring old ones up to date.",
    no_args_is_help=True,
    rich_markup_mode=None,
)


@app.callback()
def _results() -> None:
    """Check the measured results, and bring old ones up to date."""


@app.command()
def validate() -> None:
    """Check every result file.

    Checks schema and path, that facts written twice agree, the digest of every row and of its groups, and recomputes
    every metric and its interval from the stored ranks.

    Examples:
      vitret results validate
      vitret --results other/results results validate
    """
    from vitret.compare.validation import problems
    from vitret.core import config
    from vitret.core.errors import CheckError

    root = config.location("results").path
    count = _require_rows(root)
    found = list(problems(root))
    if found:
        console.put("\n".join(found))
        raise CheckError(f"{len(found)} problems in {count} rows.")
    console.say(f"{count} rows are valid; their digests agree and their numbers follow from their ranks.")


@app.command()
def renew() -> None:
    """Bring rows of an earlier version up to date.

    Writes today's 95 % intervals into rows, from their ranks and groups. Values stay as they were measured. What
    `vitret results validate` finds damaged or edited is left alone.

    Examples:
      vitret results renew
      vitret --results other/results results renew
    """
    from vitret.compare.renewal import renew as renewed
    from vitret.core import config
    from vitret.core.errors import PartialError

    root = config.location("results").path
    _require_rows(root)
    found = renewed(root)
    console.put("\n".join(map(str, found.written)) or f"{root}: no row is of an earlier version.")
    if found.written:
        console.say("Make the tables again: vitret leaderboard")
    if found.left:
        raise PartialError(
            f"{len(found.left)} rows were left alone, first {found.left[0]}. What is wrong: vitret results validate"
        )


def _require_rows(root: Path) -> int:
    """The number of rows below a results folder; raises `EmptyError` where there are none."""
    from vitret.compare.results import result_files
    from vitret.core.errors import EmptyError

    count = len(result_files(root))
    if not count:
        raise EmptyError(
            f"{root}: there are no rows. Run `vitret bench` first, or name the folder with --results."
        )
    return count
