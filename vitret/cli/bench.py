"""`vitret bench`: train, measure and compare systems on one training set."""

import shlex
import sys
from typing import TYPE_CHECKING, Annotated

import typer

from vitret.cli import console

if TYPE_CHECKING:
    from collections.abc import Sequence

    from vitret.compare.work import Places, Work


def bench(
    train_set: Annotated[
        str,
        typer.Option("--train-set", help="Training set; its track fixes the budget: `vitret list tracks`."),
    ],
    systems: Annotated[str, typer.Option(help="Names, comma-separated; default: the track's systems.")] = "",
    suite: Annotated[
        str,
        typer.Option(
            help="How to measure; default: the suite of the track, or of the recipe with --published alone."
        ),
    ] = "",
    eval_set: Annotated[
        list[str] | None,
        typer.Option("--eval-set", help="Measure on this dataset instead of those of the suite; repeatable."),
    ] = None,
    seeds: Annotated[
        int | None, typer.Option(min=1, help="Number of seeds; default: that of the track.")
    ] = None,
    published: Annotated[str, typer.Option(help="Recipes of papers to run as well, comma-separated.")] = "",
    ablate: Annotated[
        str, typer.Option(help="Run an ablation study, e.g. dtop; `vitret list ablations`.")
    ] = "",
    set_: Annotated[
        list[str] | None, typer.Option("--set", help="Change one value, e.g. optimiser.lr=1e-4; repeatable.")
    ] = None,
    device: Annotated[str, typer.Option(help="Where to compute: auto, cpu, cuda or mps.")] = "auto",
    precision: Annotated[str, typer.Option(help="Number format: auto, fp32, bf16 or fp16.")] = "auto",
    workers: Annotated[
        int | None, typer.Option(min=0, help="Image-loading processes; default: chosen for this machine.")
    ] = None,
    plan: Annotated[bool, typer.Option("--plan", help="Print what would be done; change nothing.")] = False,
) -> None:
    """Train, measure and compare systems on one training set.

    Only what is missing is trained or measured. Prints tables of comparable rows.

    Examples:
      vitret bench --train-set minitown-sfm
      vitret bench --train-set gldv2 --systems dtop,irt_r --seeds 3 --plan
      vitret bench --train-set minitown-sfm --ablate dtop
    """
    from vitret.compare.work import Places, Request, resolve
    from vitret.compare.work import plan as planned
    from vitret.core.recipes import unalias

    if unalias(train_set) != train_set:
        console.say(f"{train_set} stands for {unalias(train_set)}.")
    request = Request(
        train_set=train_set,
        systems=_names(systems),
        published=_names(published),
        ablation=ablate or None,
        seeds=seeds,
        assignments=set_ or (),
        suite=suite or None,
        eval_sets=eval_set or (),
    )
    places = Places.default()
    work = resolve(places, request)
    if plan:
        console.put("\n".join(planned(places, work)))
        return
    run_and_print(places, work, device=device, precision=precision, workers=workers)


def _names(text: str) -> list[str]:
    return [name.strip() for name in text.split(",") if name.strip()]


def run_and_print(
    places: "Places", work: "Work", *, device: str, precision: str, workers: int | None
) -> None:
    """Do the work of a bench and print its tables, and only its tables."""
    from vitret.compare.published import published_files
    from vitret.compare.tables import read_all, tables
    from vitret.compare.work import missing_rows
    from vitret.data.layout import notes_of
    from vitret.pages.terminal import print_tables

    for name, evalset in work.evaluations.items():
        for note in notes_of(places.data, evalset):
            console.say(f"{name}: {note}")
    if any(missing_rows(work, task) for task in work.tasks):
        from vitret.compare.bench import bench
        from vitret.compare.machine import Machine
        from vitret.describe.devices import pick_device

        bench(
            places,
            work,
            machine=Machine(device=pick_device(device), precision=precision, workers=workers),
            command="vitret " + " ".join(sys.argv[1:]),
            say=console.say,
            steps=console.steps,
        )
    rows = {path for task in work.tasks for path in task.rows.values()}
    found = tables(entry for entry in read_all(places.results) if entry[0] in rows)
    print_tables(found, published_files(places.results))
    if any(table.one_run for table in found):
        console.say(f"To compare methods, add seeds: {seeds_to_add(sys.argv[1:])}")


def seeds_to_add(words: "Sequence[str]") -> str:
    """The same command with three seeds; for another verb, the option that `vitret bench` takes.

    >>> seeds_to_add(["bench", "--train-set", "sop", "--seeds", "1"])
    'vitret bench --train-set sop --seeds 3'
    """
    if not words or words[0] != "bench":
        return "vitret bench --train-set SET --seeds 3"
    kept = []
    given = iter(words)
    for word in given:
        if word == "--seeds":
            next(given, None)
        elif not word.startswith("--seeds="):
            kept.append(shlex.quote(word))
    return " ".join(["vitret", *kept, "--seeds 3"])
