"""`vitret compare`, `vitret explain`, `vitret diff`: inspect measured results."""

from pathlib import Path
from typing import Annotated

import typer

from vitret.cli import console
from vitret.cli.options import Device, Precision


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
    rerun: Annotated[
        bool,
        typer.Option("--rerun", help="Measure A's network with each protocol switch of B, one at a time."),
    ] = False,
    device: Device = "auto",
    precision: Precision = "auto",
    workers: Annotated[
        int | None, typer.Option(min=0, help="With --rerun: image-loading threads; default: one per core.")
    ] = None,
    form: Annotated[str, typer.Option("--format", help=console.FORMAT_HELP)] = "",
) -> None:
    """Show how the settings of two results differ.

    Compares protocol, data, training, recipe and environment. With --rerun, prints
    how much each protocol switch moves the numbers; the run of A must be here.

    Examples:
      vitret diff A.json B.json
      vitret diff old/results/S/gem/E/1a2b.json results/S/gem/E/1a2b.json
      vitret diff results/S/gem/E/1a2b.json results/S/gem/E/9f8e.json --rerun
    """
    if rerun:
        _put_rerun(a, b, device=device, precision=precision, workers=workers, form=form)
        return
    from vitret.compare.results import read_result
    from vitret.core.protocol import differences

    left, right = (read_result(path).model_dump(mode="json", exclude={"digest"}) for path in (a, b))
    found = differences(left, right)
    if form:
        rows = [(key, str(was), str(now)) for key, (was, now) in found.items()]
        console.table(rows, heads=("setting", "A", "B"), form=form)
        return
    for key, (was, now) in found.items():
        console.put(f"{key}: {was} → {now}")
    if not found:
        console.put("The rows are equal.")


def _put_rerun(a: Path, b: Path, *, device: str, precision: str, workers: int | None, form: str) -> None:
    """A table of switches × metrics: how many points each switch moves the number, with its 95 % interval."""
    from vitret.cli.bench import machine_of
    from vitret.compare.asked import Places
    from vitret.compare.rerun import rerun

    machine = machine_of(device, precision, workers)
    found = rerun(Places.default(), a, b, machine=machine, say=console.say)
    rows = [
        ["A, measured now", *(f"{100 * value:.1f}" for value in found.base.values())],
        ["A, as its row says", *(f"{100 * found.stored[key]:.1f}" for key in found.base)],
    ]
    for one in found.moved:
        cells = [
            f"{100 * t.difference:+.1f} [{100 * t.low:+.1f}, {100 * t.high:+.1f}]" for t in one.tests.values()
        ]
        rows.append([one.what, *(cells or ["not measured"] * len(found.base))])
    console.table(rows, heads=["switch", *found.base], form=form)
    tell = console.say if form else console.put
    for line in [f"{one.what}: {one.why}" for one in found.moved if one.why] + list(found.others):
        tell(line)
    tell("Points that the switch alone moves A's number, with 95 % intervals; nothing is written.")
