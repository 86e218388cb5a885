"""`vitret compare`, `vitret explain`, `vitret diff`: inspect measured results."""

from pathlib import Path
from typing import Annotated

import typer

from vitret.cli import console


def compare(
    a: Annotated[Path, typer.Argument(help="A result file (JSON).")],
    b: Annotated[Path, typer.Argument(help="Another result on the same evaluation set.")],
    form: Annotated[str, typer.Option("--format", help=console.FORMAT_HELP)] = "",
) -> None:
    """Test whether two results differ (paired).

    Tests the queries that both results share.

    Examples:
      vitret compare results/S/dtop/E/1a2b.json results/S/irt_r/E/9f8e.json
      vitret compare A.json B.json
    """
    from vitret.compare.arena import compare_rows

    found = compare_rows(a, b)
    for line in found.words:
        (console.say if form else console.put)(line)
    console.table(found.cells, heads=found.HEADS, right=("A", "B", "B−A", "p"), form=form)


def explain(
    fingerprint: Annotated[
        str, typer.Argument(help="The eight hex digits above a table, or the name of a suite.")
    ],
) -> None:
    """Print the protocol that a fingerprint stands for.

    Examples:
      vitret explain 384b6348
      vitret explain minitown
    """
    import yaml

    from vitret.compare.arena import find_protocol
    from vitret.core import config

    protocol = find_protocol(fingerprint, config.location("suites").path, config.location("results").path)
    console.put(f"# {protocol.fingerprint}: {protocol.line()}")
    console.put(yaml.safe_dump(protocol.model_dump(mode="json"), sort_keys=False).rstrip())


def diff(
    a: Annotated[Path, typer.Argument(help="A result file (JSON).")],
    b: Annotated[Path, typer.Argument(help="Another result.")],
) -> None:
    """Show how the settings of two results differ.

    Compares protocol, data, training, recipe and environment.

    Examples:
      vitret diff A.json B.json
      vitret diff old/results/S/gem/E/1a2b.json results/S/gem/E/1a2b.json
    """
    from vitret.compare.results import read_result
    from vitret.core.protocol import differences

    left, right = (read_result(path).model_dump(mode="json", exclude={"digest"}) for path in (a, b))
    found = differences(left, right)
    for key, (was, now) in found.items():
        console.put(f"{key}: {was} → {now}")
    if not found:
        console.put("The rows are equal.")
