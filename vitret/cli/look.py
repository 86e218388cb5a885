"""`vitret compare`, `vitret explain`, `vitret diff`: inspect measured results."""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from vitret.cli import completions, console
from vitret.cli.options import Device, Format, Precision, Trust

if TYPE_CHECKING:
    from vitret.compare.gains import Gain


def compare(
    a: Annotated[Path, typer.Argument(help="A result file (JSON).")],
    b: Annotated[Path, typer.Argument(help="Another result on the same evaluation set.")],
    seeds: Annotated[
        bool,
        typer.Option(help="Take the other seeds of both too, from the rows beside them."),
    ] = True,
    metric: Annotated[
        str, typer.Option(help="Show gains and losses in this number; default: the primary one.")
    ] = "",
    groups: Annotated[int, typer.Option(min=0, help="Groups to show: half gains, half losses.")] = 20,
    without_overlap: Annotated[
        str,
        typer.Option(
            "--without-overlap",
            metavar="FILE|auto",
            help="Compare a second time, without the queries that overlap.",
        ),
    ] = "",
    form: Format = "",
) -> None:
    """Test whether two results differ (paired).

    Tests the queries that both results share, over their groups and over seeds. Each p is of one test alone: it is
    not corrected for the number of metrics. Then shows which groups of queries (landmarks, products) gain and which
    lose from A to B.

    Examples:
      vitret compare results/S/dtop/E/1a2b.json results/S/irt_r/E/9f8e.json
      vitret compare A.json B.json --no-seeds --metric "mAP (hard)"
    """
    from vitret.compare.arena import compare_rows
    from vitret.compare.overlap.affected import affected_by
    from vitret.core.config import location

    affected = affected_by(without_overlap, location("results").path) if without_overlap else []
    found = compare_rows(a, b, seeds=seeds, metric=metric, without=affected)
    tell = console.say if form else console.put
    for line in found.words:
        tell(line)
    numbers = ("A", "B", "B−A", "p")
    if without_overlap:
        words = "\nWithout the queries that overlap" if found.without else ""
        console.with_and_without(
            found.cells, found.without, words=words, heads=found.HEADS, right=numbers, form=form
        )
    else:
        console.table(found.cells, heads=found.HEADS, right=numbers, form=form)
    tell("Each p is of one test alone: it is not corrected for the number of metrics.")
    if groups and found.gains and not form:
        console.put(f"\n{found.metric} by group of queries, the greatest gain of B first")
        heads = ("group", "queries", "A", "B", "B−A", "gain", "lose", "rows of the queries")
        console.table(_groups(found.gains, groups), heads=heads, right=heads[:-1])


def _groups(gains: Sequence["Gain"], most: int) -> Iterator[tuple[str, ...]]:
    """One line a group; of more than `most`, those at both ends."""
    first, last = (most + 1) // 2, most // 2
    for number, gain in enumerate(gains):
        if first <= number < len(gains) - last:
            if number == first:
                yield ("…", f"{len(gains) - most} more", "", "", "", "", "", "")
            continue
        shown = " ".join(map(str, gain.queries[:8])) + (" …" if len(gain.queries) > 8 else "")
        yield (
            str(gain.group),
            str(len(gain.queries)),
            f"{100 * gain.a:.1f}",
            f"{100 * gain.b:.1f}",
            f"{100 * gain.difference:+.1f}",
            str(gain.gained),
            str(gain.lost),
            shown,
        )


def explain(
    fingerprint: Annotated[
        str,
        typer.Argument(
            help="The eight hex digits above a table, or the name of a suite.",
            autocompletion=completions.suites,
        ),
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
    form: Format = "",
    trust: Trust = False,
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
        cells = [test.points for test in one.tests.values()]
        rows.append([one.what, *(cells or ["not measured"] * len(found.base))])
    console.table(rows, heads=["switch", *found.base], form=form)
    tell = console.say if form else console.put
    for line in [f"{one.what}: {one.why}" for one in found.moved if one.why] + list(found.others):
        tell(line)
    tell("Points that the switch alone moves A's number, with 95 % intervals; nothing is written.")
