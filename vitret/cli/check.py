"""`vitret check`: whether a user's own part or track works with the rest, in words."""

from pathlib import Path
from typing import Annotated

import typer

from vitret.cli import console
from vitret.cli.options import Trust


def check(
    file: Annotated[Path, typer.Argument(help="A part (.py), or a track, system or suite (.yaml).")],
    kind: Annotated[
        str, typer.Option(help="What the file is, as head; default: by its folder and content.")
    ] = "",
    set_: Annotated[
        list[str] | None, typer.Option("--set", help="Value of an option of the part, e.g. k=5; repeatable.")
    ] = None,
    source: Annotated[
        Path | None, typer.Option("--from", help="A download to check a dataset's conversion on.")
    ] = None,
    trust: Trust = False,
) -> None:
    """Check your own head, loss, dataset or track, in words.

    Tries what training and measuring rely on: shapes, unit length, gradients, seeds, unusual batches, saving and
    loading. A part is code, and this runs it. Exit code 1 where something is wrong.

    Examples:
      vitret check heads/my_pooling.py
      vitret check my_metric.py --kind metric --set k=5
      vitret check tracks/my_track.yaml
    """
    from vitret.compare.contract import KINDS, check_file
    from vitret.core.config import assign
    from vitret.core.errors import CheckError

    if kind:
        console.require_choice("--kind", kind, KINDS)
    checked = check_file(file, kind=kind, options=assign({}, set_ or []), source=source)
    for fault in checked.faults:
        console.put(fault)
    if checked.faults:
        count = "1 fault" if len(checked.faults) == 1 else f"{len(checked.faults)} faults"
        raise CheckError(f"{file}: {checked.what}: {count}. What comes after them was not checked.")
    console.put(f"{file}: {checked.what} keeps its contract.")
