"""The bench: train what is missing, extract what is not cached, measure what has no row yet.

Work that was done is not done again: a run with a checkpoint is not trained, descriptors are found by the digest
of all that made them, and a row that stands for this data and protocol is not measured a second time.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from vitret.compare import results
from vitret.compare.arena import read_suite
from vitret.compare.significance import bootstrap_interval
from vitret.core.config import location
from vitret.core.errors import DataError, UserError, VitretError
from vitret.core.protocol import Suite, metric_key
from vitret.core.recipes import Recipe, make_recipe, read_published, read_track, split_assignments, unalias
from vitret.core.runs import Run, code, locked, open_run
from vitret.data import layout

if TYPE_CHECKING:
    import torch

    from vitret.core.records import Descriptors, EvalSet, Images, ImageSet
    from vitret.measure.evaluate import Measurement
    from vitret.models.model import Retriever

Say = Callable[[str], None]
Progress = Callable[[int, int, str], None]
Steps = Callable[[str], AbstractContextManager[Progress]]


@contextmanager
def silent(_: str) -> Iterator[Progress]:
    """Steps that nobody hears of."""
    yield lambda done, total, words: None


@dataclass(frozen=True, kw_only=True)
class Places:
    """The folders a bench reads and writes."""

    home: Path
    data: Path
    results: Path
    configs: Path
    suites: Path

    @classmethod
    def default(cls) -> Places:
        return cls(
            home=location("home").path,
            data=location("data").path,
            results=location("results").path,
            configs=location("configs").path,
            suites=location("suites").path,
        )


@dataclass(frozen=True, kw_only=True)
class Machine:
    """What computes: decided once, in the verb."""

    device: torch.device
    precision: str
    workers: int | None

    @property
    def loaders(self) -> int:
        """Threads that read images for extraction."""
        return min(8, os.cpu_count() or 1) if self.workers is None else self.workers

    @property
    def engine(self) -> str:
        """What searches: torch where there is an accelerator; the ranks are the same either way."""
        return "numpy" if self.device.type == "cpu" else "torch"


@dataclass(frozen=True, kw_only=True)
class Task:
    """One recipe, and the rows it owes: evaluation set (with or without distractors) → file."""

    recipe: Recipe
    rows: dict[str, Path]


@dataclass(frozen=True, kw_only=True)
class Work:
    """All that a bench will do, resolved before anything is touched."""

    suite: Suite
    tasks: tuple[Task, ...]
    evaluations: dict[str, EvalSet]
    distractors: ImageSet | None


def resolve(
    places: Places,
    train_set: str,
    *,
    systems: Sequence[str] = (),
    seeds: int | None = None,
    suite: str | None = None,
    eval_sets: Sequence[str] = (),
    assignments: Sequence[str] = (),
    published: Sequence[str] = (),
) -> Work:
    """Turn names into recipes, data and rows; every problem that can be found now is found now, and all are listed.

    Raises:
        UserError: unknown names or options.
        DataError: a set that is not prepared.
    """
    track = read_track(places.configs, train_set, split_assignments(assignments)[1])
    names = tuple(systems) or (() if published else track.systems)
    if not names and not published:
        raise UserError(
            f"the track of {train_set} names no systems. Say which: --systems a,b (`vitret list systems`)."
        )
    chosen = read_suite(places.suites, suite or track.suite)
    if eval_sets:
        chosen = chosen.model_copy(update={"sets": tuple(eval_sets)})
    if not chosen.sets:
        raise UserError(f"suite '{chosen.name}' measures no set of its own. Name one: --eval-set NAME.")
    problems: list[VitretError] = []
    recipes = _recipes(places, train_set, names, _seeds(track.seeds, seeds), assignments, problems)
    recipes += [read_published(places.configs, name, assignments) for name in published]
    trains = any(not recipe.system.frozen for recipe in recipes)
    evaluations, distractors = _data(places, track.train_set, chosen, problems, trains)
    if problems:
        kind = DataError if all(isinstance(p, DataError) for p in problems) else UserError
        raise kind("\n".join(dict.fromkeys(str(p) for p in problems)))
    tasks = tuple(_task(places, recipe, chosen) for recipe in _once(recipes))
    return Work(suite=chosen, tasks=tasks, evaluations=evaluations, distractors=distractors)


def _recipes(
    places: Places,
    train_set: str,
    names: Sequence[str],
    seeds: Sequence[int],
    assignments: Sequence[str],
    problems: list[VitretError],
) -> list[Recipe]:
    found = []
    for name in names:
        try:
            found += [
                make_recipe(places.configs, name, train_set, seed=s, assignments=assignments) for s in seeds
            ]
        except VitretError as error:
            problems.append(error)
    return found


def _seeds(named: Sequence[int], count: int | None) -> list[int]:
    """The track's seeds, or the first `count` of them continued upwards."""
    further = range(max(named) + 1, max(named) + 1 + max(0, (count or 0) - len(named)))
    return [*named, *further][:count]


def _once(recipes: Sequence[Recipe]) -> list[Recipe]:
    """Each recipe once; a frozen pre-trained network has no seeds to repeat."""
    seen: dict[str, Recipe] = {}
    for recipe in recipes:
        pretrained = recipe.system.model.backbone.options.get("pretrained", True)
        key = recipe.system.name if recipe.system.frozen and pretrained else recipe.run_id
        seen.setdefault(key, recipe)
    return list(seen.values())


def _data(
    places: Places, train_set: str, suite: Suite, problems: list[VitretError], trains: bool
) -> tuple[dict[str, EvalSet], ImageSet | None]:
    evaluations: dict[str, EvalSet] = {}
    distractors = None
    if trains and not layout.exists(places.data, unalias(train_set)):
        problems.append(_not_prepared(places, train_set))
    for name in suite.sets:
        try:
            evaluations[name] = layout.load_eval(places.data, name)
        except VitretError as error:
            problems.append(error)
    if suite.distractors:
        try:
            distractors = layout.load_images(places.data, suite.distractors)
        except VitretError as error:
            problems.append(error)
    return evaluations, distractors


def _not_prepared(places: Places, name: str) -> DataError:
    return DataError(f"{name} is not in {places.data}. Prepare it: vitret prepare {name}")


def _task(places: Places, recipe: Recipe, suite: Suite) -> Task:
    names = [results.eval_name(name, None) for name in suite.sets]
    if suite.distractors:
        names += [results.eval_name(name, suite.distractors) for name in suite.sets]
    rows = {name: results.result_path(places.results, recipe, name, suite.protocol) for name in names}
    return Task(recipe=recipe, rows=rows)


def missing_rows(work: Work, task: Task) -> list[str]:
    """Rows of a task that are not there, or were measured on other bytes of the data."""
    return [name for name, path in task.rows.items() if not _stands(work, name, path)]


def _stands(work: Work, name: str, path: Path) -> bool:
    if not path.is_file():
        return False
    row = results.read_result(path)
    plain, _, distractors = name.partition("+")
    same = row.data.manifest == work.evaluations[plain].digest
    if distractors:
        assert work.distractors is not None
        same = same and row.data.distractors_manifest == work.distractors.digest
    return same and set(work.suite.keys) <= set(row.metrics)


def plan(places: Places, work: Work) -> list[str]:
    """What `bench` would do, one line each; touches nothing."""
    lines = []
    for task in work.tasks:
        run = Run(path=places.home / "runs" / task.recipe.run_id)
        missing = missing_rows(work, task)
        if not missing:
            lines.append(f"{run.id}: nothing to do, {len(task.rows)} rows stand")
            continue
        if task.recipe.system.frozen:
            what = "frozen"
        elif run.finished:
            what = "trained already"
        else:
            what = f"train on {task.recipe.track.images_seen:,} images"
        lines.append(f"{run.id}: {what}, then measure {', '.join(missing)}")
    return lines


def bench(
    places: Places, work: Work, machine: Machine, *, command: str, say: Say, steps: Steps = silent
) -> list[Path]:
    """Do the work; returns the rows written. Each run is held by a lock, so two benches share the work.

    `steps(name)` is entered around a training and gives the function that is told of every step.
    """
    written: list[Path] = []
    for number, task in enumerate(work.tasks, start=1):
        if not missing_rows(work, task):
            continue
        recipe = task.recipe
        say(
            f"[{number}/{len(work.tasks)}] {recipe.system.title}, {recipe.track.train_set}, seed {recipe.seed}"
        )
        run = open_run(places.home, recipe)
        with locked(run.path / "run.lock", say):
            missing = missing_rows(work, task)  # somebody else may have measured them while we waited
            if missing:
                written += _measure_run(places, work, machine, task, run, missing, command, say, steps)
    return written


def _measure_run(
    places: Places,
    work: Work,
    machine: Machine,
    task: Task,
    run: Run,
    missing: Sequence[str],
    command: str,
    say: Say,
    steps: Steps,
) -> list[Path]:
    """Train one run if it is not trained, then write its missing rows."""
    from vitret.models.model import load_model, model_digest

    train_seconds = _train(places, machine, task.recipe, run, say, steps)
    model, _ = load_model(run.checkpoint)
    spec = task.recipe.system.model
    facts = results.ModelFacts(
        system=task.recipe.system.name,
        title=task.recipe.system.title,
        backbone=str(spec.backbone.options.get("arch", spec.backbone.name)),
        head=spec.head.name,
        dim=model.dim,
        parameters=sum(p.numel() for p in model.parameters()),
        weights_sha256=model_digest(model),
    )
    written = []
    for name in missing:
        measured = _measure(places, work, machine, model, name)
        row = _row(places, work, machine, task, name, measured, facts, command, train_seconds)
        written.append(results.write_result(places.results, row, measured.measurement.ranks))
    return written


def _train(
    places: Places, machine: Machine, recipe: Recipe, run: Run, say: Say, steps: Steps
) -> float | None:
    """Make the run's checkpoint if it has none; a frozen network's is its initial weights. Seconds spent training."""
    from vitret.learn.train import initial_model, train
    from vitret.models.model import save_model

    if run.finished:
        return None
    if recipe.system.frozen:
        save_model(run.checkpoint, initial_model(recipe), recipe.system.model)
        return None
    started = time.monotonic()
    trainset = layout.load_train(places.data, recipe.track.train_set)
    with steps(run.id) as progress:
        train(
            recipe,
            trainset,
            run,
            device=machine.device,
            precision=machine.precision,
            workers=machine.workers,
            say=say,
            progress=progress,
        )
    return time.monotonic() - started


@dataclass(frozen=True, kw_only=True)
class _Measured:
    """One evaluation of one network, and the descriptors it was made from."""

    measurement: Measurement
    queries: Descriptors
    database: Descriptors
    distractors: Descriptors | None

    @property
    def failed(self) -> int:
        return sum(len(d.failed) for d in (self.queries, self.database, self.distractors) if d is not None)


def _measure(places: Places, work: Work, machine: Machine, model: Retriever, name: str) -> _Measured:
    from vitret.measure.evaluate import evaluate

    plain, _, with_distractors = name.partition("+")
    evalset = work.evaluations[plain]

    def descriptors(images: Images, digest: str) -> Descriptors:
        from vitret.describe.cache import cached_extract

        return cached_extract(
            model,
            images,
            work.suite.protocol,
            images_digest=digest,
            home=places.home,
            device=machine.device,
            precision=machine.precision,
            workers=machine.loaders,
        )

    queries = descriptors(evalset.queries, f"{evalset.digest}/queries")
    database = descriptors(evalset.database, f"{evalset.digest}/database")
    distractors = None
    if with_distractors:
        assert work.distractors is not None
        distractors = descriptors(work.distractors.images, work.distractors.digest)
    measurement = evaluate(
        queries,
        database,
        evalset,
        protocol=work.suite.protocol,
        metrics=work.suite.metrics,
        levels=work.suite.levels,
        distractors=distractors,
        engine=machine.engine,
        device=str(machine.device),
    )
    return _Measured(measurement=measurement, queries=queries, database=database, distractors=distractors)


def _metrics(measurement: Measurement) -> dict[str, results.Metric]:
    found = {}
    for (level, metric), values in measurement.per_query.items():
        low, high = bootstrap_interval(values, seed=0)
        kept = values[~np.isnan(values)]
        found[metric_key(metric, level)] = results.Metric(
            value=float(kept.mean()),
            low=max(0.0, low),
            high=min(1.0, high),
            n=len(values),
            n_effective=len(kept),
        )
    return found


def _row(
    places: Places,
    work: Work,
    machine: Machine,
    task: Task,
    name: str,
    measured: _Measured,
    model: results.ModelFacts,
    command: str,
    train_seconds: float | None,
) -> results.Result:
    from vitret.describe.devices import pick_precision

    recipe, suite, provenance = task.recipe, work.suite, code()
    plain, _, with_distractors = name.partition("+")
    evalset, distractors = work.evaluations[plain], measured.distractors
    return results.Result(
        status="complete",
        model=model,
        training=results.TrainingFacts(
            set=recipe.track.train_set,
            manifest=_training_manifest(places, recipe),
            images_seen=0 if recipe.system.frozen else recipe.track.images_seen,
            seed=recipe.seed,
            budget=recipe.budget,
            pretraining=recipe.track.pretraining,
        ),
        data=results.DataFacts(
            set=plain,
            manifest=evalset.digest,
            image_set_version=str(evalset.card.get("image_set_version", "")),
            queries=len(evalset.queries),
            database=len(evalset.database),
            distractors=with_distractors or None,
            distractors_manifest=work.distractors.digest if with_distractors and work.distractors else "",
            distractor_images=0 if distractors is None else len(distractors),
            failed_images=measured.failed,
            warning=str(evalset.card.get("warning", "")),
        ),
        suite=results.SuiteFacts(
            name=suite.name, primary=suite.primary, metrics=suite.metrics, levels=suite.levels
        ),
        protocol=suite.protocol,
        fingerprint=suite.protocol.fingerprint,
        metrics=_metrics(measured.measurement),
        cost=results.Cost(
            descriptor_bytes=measured.database.dim * measured.database.rows.dtype.itemsize,
            train_seconds=train_seconds,
        ),
        environment=results.Environment(
            device=_device_name(machine.device),
            precision=pick_precision(machine.precision, machine.device),
            search_engine=machine.engine,
            commit=provenance["commit"],
            dirty=provenance["dirty"],
            versions=provenance["versions"],
        ),
        command=command,
        recipe=recipe,
    )


def _training_manifest(places: Places, recipe: Recipe) -> str:
    return "" if recipe.system.frozen else layout.load_train(places.data, recipe.track.train_set).digest


def _device_name(device: torch.device) -> str:
    import torch

    return torch.cuda.get_device_name(device) if device.type == "cuda" else device.type


def needed_sets(places: Places, train_sets: Sequence[str]) -> list[str]:
    """The sets that benches on these training sets read: training sets, evaluation sets, distractors."""
    tracks = [read_track(places.configs, name) for name in train_sets]
    suites = [read_suite(places.suites, track.suite) for track in tracks]
    names = [t.train_set for t in tracks] + [s for suite in suites for s in suite.sets]
    names += [suite.distractors for suite in suites if suite.distractors]
    return list(dict.fromkeys(names))
