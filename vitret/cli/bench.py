"""`vitret bench`: train, measure and compare systems on one training set."""

import os
import re
import shlex
import sys
from dataclasses import KW_ONLY, dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from vitret.cli import bench_options as options
from vitret.cli import console
from vitret.cli.options import Device, Precision, Search, Trust, Wide, Workers

if TYPE_CHECKING:
    from collections.abc import Sequence

    from vitret.compare.asked import Places, Request
    from vitret.compare.baseline import Baseline
    from vitret.compare.comparable import Entry
    from vitret.compare.jobs import Job
    from vitret.compare.machine import Machine
    from vitret.compare.overlap.affected import Affected
    from vitret.compare.work import Work
    from vitret.core.recipes import Track


def bench(
    train_set: options.TrainSet,
    systems: options.Systems = "",
    suite: options.Suite = "",
    eval_set: options.EvalSet = None,
    without_distractors: options.WithoutDistractors = False,
    seeds: options.Seeds = None,
    published: options.Published = "",
    ablate: options.Ablate = "",
    set_: options.Assignments = None,
    exclude: options.Exclude = None,
    baseline: options.Baseline = None,
    require: options.Require = "",
    without_overlap: options.WithoutOverlap = "",
    device: Device = "auto",
    precision: Precision = "auto",
    workers: Workers = None,
    run: options.Run = None,
    jobs: options.Jobs = 1,
    launcher: options.Launcher = "",
    slurm: options.Slurm = None,
    plan: options.Plan = False,
    cost: options.Cost = False,
    dims: options.Dims = "",
    search: Search = "",
    form: options.Form = "",
    wide: Wide = False,
    trust: Trust = False,
) -> None:
    """Train, measure and compare systems on one training set.

    Only what is missing is trained or measured. Prints tables of comparable rows.

    Examples:
      vitret bench --train-set minitown-sfm
      vitret bench --train-set gldv2 --systems dtop,irt_r --seeds 3 --plan
      vitret bench --train-set gldv2 --without-distractors
      vitret bench --train-set minitown-sfm --cost --dims 16,32
      vitret bench --train-set minitown-sfm --ablate dtop
      vitret bench --train-set gldv2 --systems mine --baseline ROW.json
      vitret bench --train-set sop --launcher slurm --slurm partition=gpu
      vitret bench --train-set none --systems timm:resnet50,dinov2_s
    """
    from vitret.compare.asked import Places, Request
    from vitret.core.errors import UserError

    _check(train_set, form=form, launcher=launcher, baseline=baseline, require=require)
    if cost and without_overlap:
        raise UserError("--cost counts every query: give it without --without-overlap.")
    request = Request(
        train_set=train_set,
        systems=_names(systems),
        published=_names(published),
        ablation=ablate or None,
        seeds=seeds,
        assignments=set_ or (),
        suite=suite or None,
        eval_sets=eval_set or (),
        without_distractors=without_distractors,
        runs=run or (),
        search=search,
        exclude=exclude,
    )
    reduced = _numbers("--dims", dims)
    wanted = _Wanted(
        cost, form=form, wide=wide, without_overlap=without_overlap, baseline=baseline, require=require
    )
    if plan:
        _plan(Places.default(), request, reduced, device=device, wanted=wanted)
        return
    way = _Way(device, precision, workers=workers, jobs=jobs, launcher=launcher, slurm=slurm or ())
    _carry_out(Places.default(), request, reduced, way=way, wanted=wanted)


@dataclass(frozen=True)
class _Way:
    """On what the work is done: here one run after the other or side by side, or on a cluster."""

    device: str
    precision: str
    _: KW_ONLY
    workers: int | None
    jobs: int
    launcher: str
    slurm: "Sequence[str]"


@dataclass(frozen=True)
class _Wanted:
    """What is printed when the work is done, and against what it is judged."""

    cost: bool
    _: KW_ONLY
    form: str
    wide: bool
    without_overlap: str
    baseline: Path | None
    require: str


def _check(train_set: str, *, form: str, launcher: str, baseline: Path | None, require: str) -> None:
    """Refuse unknown words before anything is done, and say what an alias stands for."""
    from vitret.compare.baseline import REQUIREMENTS
    from vitret.core.errors import UserError
    from vitret.core.recipes import unalias
    from vitret.pages.formats import FORMS

    if unalias(train_set) != train_set:
        console.say(f"{train_set} stands for {unalias(train_set)}.")
    if form:
        console.require_choice("--format", form, FORMS)
    if launcher:
        console.require_choice("--launcher", launcher, ("slurm",))
    if require:
        console.require_choice("--require", require, REQUIREMENTS)
        if baseline is None:
            raise UserError(
                f"--require {require}: of what? Name the row to compare with: --baseline ROW.json"
            )


def _requests(request: "Request", dims: "Sequence[int]") -> "list[Request]":
    """The request, and once more for each reduced dimension."""
    return [request, *(replace(request, dim=dim) for dim in dims)]


def _plan(
    places: "Places", request: "Request", dims: "Sequence[int]", *, device: str, wanted: _Wanted
) -> None:
    from vitret.compare.plan import plan as planned
    from vitret.compare.work import resolve_prepared
    from vitret.describe.devices import device_label, pick_device

    if wanted.baseline is not None or wanted.without_overlap:
        _read_given(places, resolve_prepared(places, request), wanted)
    label = device_label(pick_device(device))
    every = _requests(request, dims)
    console.put("\n".join(line for one in every for line in planned(places, one, device=label)))


def _read_given(
    places: "Places", work: "Work", wanted: _Wanted
) -> "tuple[Baseline | None, Sequence[Affected]]":
    """The files of --baseline and --without-overlap; what is wrong with them is said before anything is trained."""
    from vitret.compare.baseline import read_baseline
    from vitret.compare.overlap.affected import affected_by, require_about

    against = None if wanted.baseline is None else read_baseline(wanted.baseline, work)
    affected = affected_by(wanted.without_overlap, places.results) if wanted.without_overlap else []
    if affected:
        sets = {(task.recipe.track.train_set, name) for task in work.tasks for name in work.suite.sets}
        require_about(affected, sets, where="of this bench")
    return against, affected


def _carry_out(
    places: "Places", request: "Request", dims: "Sequence[int]", *, way: _Way, wanted: _Wanted
) -> None:
    """Do what is missing, print the tables, and end with what failed or with the verdict."""
    from vitret.compare.baseline import verdict
    from vitret.compare.work import resolve
    from vitret.core.errors import PartialError

    works = [resolve(places, one) for one in _requests(request, dims)]
    against, affected = _read_given(places, works[0], wanted)
    # A login node may have no such device.
    machine = machine_of("cpu" if way.launcher else way.device, way.precision, way.workers)
    failed: list[Job] = []
    if way.jobs > 1 or way.launcher:
        failed = _as_jobs(places, works, request, dims, way=way)
    else:
        for work in works:
            do(places, work, machine=machine)
    if wanted.cost:
        show_costs(places, works, machine=machine, form=wanted.form)
    else:
        show(places, works, command=sys.argv[1:], form=wanted.form, wide=wanted.wide, affected=affected)
        console.say("These tables as a page: vitret report")
    if failed:
        raise PartialError(
            f"{len(failed)} runs failed: {', '.join(job.run for job in failed)}; the logs say why."
        )
    if against is not None:
        found = verdict(against, works[0])
        (console.say if wanted.form else console.put)("\n".join(found.lines))
        found.require(wanted.require or "better")


def _as_jobs(
    places: "Places", works: "Sequence[Work]", request: "Request", dims: "Sequence[int]", *, way: _Way
) -> "list[Job]":
    """Hand each run to a process of its own; those that failed."""
    from vitret.compare.jobs import jobs_of
    from vitret.models.foreign.consent import trusted

    words = ["--device", way.device, "--precision", way.precision]
    words += [] if way.workers is None else ["--workers", str(way.workers)]
    words += ["--trust"] if trusted() else []
    waiting = jobs_of(works, request, dims=dims, options=[*words, *_folders()], logs=places.home / "jobs")
    return _launch(waiting, places, launcher=way.launcher, slots=way.jobs, device=way.device, slurm=way.slurm)


def _folders() -> list[str]:
    """Options that give a job the folders of this command, whatever its own settings are."""
    from vitret.core.config import locations

    others = {"weights": "--weights-folder"}
    words = []
    for place in locations():
        words += [others.get(place.name, f"--{place.name}"), str(place.path.absolute())]
    include = os.environ.get("VITRET_INCLUDE")
    return words + (["--include", include] if include else [])


def _launch(
    waiting: "Sequence[Job]",
    places: "Places",
    *,
    launcher: str,
    slots: int,
    device: str,
    slurm: "Sequence[str]",
) -> "list[Job]":
    """Run jobs side by side here or on a cluster; those that failed."""
    if not waiting:
        return []
    if launcher:
        from vitret.compare.cluster import options_of, run_on_cluster

        folder = places.home / "jobs" / "slurm"
        return run_on_cluster(waiting, folder=folder, options=options_of(slurm), say=console.say)
    from vitret.compare.jobs import divided, run_side_by_side

    devices = _cuda_devices() if device in ("auto", "cuda") else []
    environments = divided(devices, os.cpu_count() or 1, slots)
    return run_side_by_side(waiting, environments, console.say)


def _cuda_devices() -> list[str]:
    """The CUDA devices that this process may use."""
    named = os.environ.get("CUDA_VISIBLE_DEVICES")
    if named is not None:
        return [name for name in named.split(",") if name]
    import torch

    return [str(number) for number in range(torch.cuda.device_count())]


def _numbers(option: str, text: str) -> list[int]:
    """Positive whole numbers, comma-separated."""
    from vitret.core.errors import UserError

    words = _names(text)
    if not all(word.isdecimal() and int(word) > 0 for word in words):
        raise UserError(
            f"{option} {text}: not whole numbers above zero, comma-separated. For example: {option} 128,512"
        )
    return [int(word) for word in words]


def _names(text: str) -> list[str]:
    """Comma-separated names; a comma in brackets is of an option of a network: hf:A/B:mean=[0.5,0.5,0.5]."""
    return [name.strip() for name in re.split(r",(?![^\[]*\])", text) if name.strip()]


def machine_of(device: str, precision: str, workers: int | None) -> "Machine":
    """What computes, from the values of a verb's options."""
    from vitret.compare.machine import Machine
    from vitret.describe.devices import pick_device

    return Machine(device=pick_device(device), precision=precision, workers=workers)


def do(places: "Places", work: "Work", *, machine: "Machine") -> None:
    """Do the work of a bench, and say what a reader should know of the sets."""
    from vitret.compare.groups import write_groups
    from vitret.compare.work import missing_rows
    from vitret.data.layout import notes_of

    for name, evalset in work.evaluations.items():
        for note in notes_of(places.data, evalset):
            console.say(f"{name}: {note}")
    if any(missing_rows(work, task) for task in work.tasks):
        from vitret.compare.bench import bench

        bench(
            places,
            work,
            machine=machine,
            command="vitret " + " ".join(sys.argv[1:]),
            say=console.say,
            steps=console.steps,
        )
    else:  # rows are there, and their groups may have been lost
        for evalset in work.evaluations.values():
            write_groups(places.results, evalset)


def entries_of(works: "Sequence[Work]") -> "list[Entry]":
    """All rows that a bench is about and that are there."""
    from vitret.compare.results import read_result

    rows = {path for work in works for task in work.tasks for path in task.rows.values()}
    return [(path, read_result(path)) for path in sorted(rows) if path.is_file()]


def show(
    places: "Places",
    works: "Sequence[Work]",
    *,
    command: "Sequence[str]",
    form: str = "",
    wide: bool = False,
    affected: "Sequence[Affected]" = (),
) -> None:
    """Print the tables of a bench, and only these; with `affected`, those without its queries behind them.

    `command` are the words of the bench, to which seeds are added where some system has one run.
    """
    from vitret.compare.overlap.affected import said_of
    from vitret.compare.overlap.known import known
    from vitret.compare.published import published_files, rows_of
    from vitret.compare.tables import tables
    from vitret.pages.leaderboard import RENDERERS, sections
    from vitret.pages.terminal import print_tables

    entries, known_here, files = entries_of(works), known(places.results), published_files(places.results)
    found = tables(entries, known=known_here)
    shown = list(found)
    if affected:
        for sentence in said_of(affected, [row for _, row in entries]):
            console.say(sentence)
        shown += tables(entries, known=known_here, without=affected)
    if form == "md":
        console.put("\n\n".join(sections(shown, rows_of(files))).rstrip("\n"))
    elif form:
        console.put(RENDERERS[form](shown, files).rstrip("\n"))
    else:
        print_tables(shown, rows_of(files), wide=wide)
    if any(table.one_run for table in found):
        track = works[0].tasks[0].recipe.track
        console.say(f"To compare methods, add seeds: {with_seeds(command, track)}")


def show_costs(places: "Places", works: "Sequence[Work]", *, machine: "Machine", form: str) -> None:
    """Print accuracy against cost; what a row does not say of itself is measured here and now."""
    from vitret.compare.costs import cost_tables, measured_now
    from vitret.compare.tables import tables
    from vitret.pages import cost

    known = measured_now(works, machine, home=places.home)
    for table in cost_tables(tables(entries_of(works)), known):
        tell = console.say if form else console.put
        tell(cost.title(table))
        console.table(cost.cells(table), heads=cost.HEADS, right=cost.RIGHT, form=form)
        for line in cost.notes(table):
            tell(line)


def with_seeds(words: "Sequence[str]", track: "Track") -> str:
    """The same command with as many seeds as the track has, or as tracks have by default where it has one.

    `--run` is left out: it would keep to the runs that are there.

    >>> from vitret.core.recipes import Track
    >>> track = Track(name="sop", train_set="sop", images_seen=64, seeds=(0, 1, 2, 3, 4))
    >>> with_seeds(["--results", "of mine", "bench", "--train-set", "sop", "--seeds", "1"], track)
    "vitret --results 'of mine' bench --train-set sop --seeds 5"
    """
    by_default = type(track).model_fields["seeds"].default
    count = len(track.seeds if len(track.seeds) > 1 else by_default)
    kept = []
    given = iter(words)
    for word in given:
        if word in ("--seeds", "--run"):
            next(given, None)
        elif not word.startswith(("--seeds=", "--run=")):
            kept.append(shlex.quote(word))
    return " ".join(["vitret", *kept, f"--seeds {count}"])
