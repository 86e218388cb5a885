"""`vitret results`: check the measured results."""

import typer

from vitret.cli import console

app = typer.Typer(help="Check the measured results.", no_args_is_help=True, rich_markup_mode=None)


@app.callback()
def _results() -> None:
    """Check the measured results."""


@app.command()
def validate() -> None:
    """Check every result file.

    Checks schema and path, that facts written twice agree, the digest of every row, and recomputes every metric
    from the stored ranks.

    Examples:
      vitret results validate
      vitret --results other/results results validate
    """
    from vitret.compare.results import result_files
    from vitret.compare.validation import problems
    from vitret.core import config
    from vitret.core.errors import CheckError, EmptyError

    root = config.location("results").path
    count = len(result_files(root))
    if not count:
        raise EmptyError(
            f"{root}: no rows to check. Run `vitret bench` first, or name the folder with --results."
        )
    found = list(problems(root))
    if found:
        console.put("\n".join(found))
        raise CheckError(f"{len(found)} problems in {count} rows.")
    console.say(f"{count} rows are valid; their digests agree and their metrics follow from their ranks.")
