"""`vitret compare`, `vitret explain`, `vitret diff`: look at measured rows side by side."""

from pathlib import Path
from typing import Annotated

import typer

from vitret.cli import console


def compare(
    a: Annotated[Path, typer.Argument(help="A result JSON.")],
    b: Annotated[Path, typer.Argument(help="Another, on the same evaluation set.")],
) -> None:
    """Test two rows against each other: paired bootstrap over the queries they share.

    Examples:
      vitret compare results/S/dtop/E/1a2b-3c4d.json results/S/irt_r/E/1a2b-9f8e.json
      vitret compare A.json B.json
    """
    from vitret.compare.arena import compare_rows

    found = compare_rows(a, b)
    for line in found.words:
        console.put(line)
    console.table(found.cells, heads=found.HEADS, right=("A", "B", "B−A", "p"))


def explain(
    fingerprint: Annotated[
        str, typer.Argument(help="Eight hex digits from a table, or the name of a suite.")
    ],
) -> None:
    """Spell out the protocol behind a fingerprint.

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
    a: Annotated[Path, typer.Argument(help="A result JSON.")],
    b: Annotated[Path, typer.Argument(help="Another.")],
) -> None:
    """Say in what two rows differ: protocol, data, training, recipe, environment.

    Examples:
      vitret diff A.json B.json
      vitret diff old/results/S/gem/E/1a2b-3c4d.json results/S/gem/E/1a2b-3c4d.json
    """
    from vitret.compare.results import read_result
    from vitret.core.protocol import differences

    left, right = (read_result(path).model_dump(mode="json") for path in (a, b))
    found = differences(left, right)
    for key, (was, now) in found.items():
        console.put(f"{key}: {was} → {now}")
    if not found:
        console.put("The rows are equal.")
