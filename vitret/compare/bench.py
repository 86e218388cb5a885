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
from vitret.compare.significance import bootstrap_interval
from vitret.compare.work import Places, Task, Work, missing_rows
from vitret.core.locks import locked
from vitret.core.protocol import Protocol, metric_key
from vitret.core.recipes import Recipe
from vitret.core.runs import Run, code, open_run
from vitret.data import layout

if TYPE_CHECKING:
    import torch

    from vitret.core.records import Descriptors, EvalSet, Images, ImageSet
    from vitret.describe.whitening import Whitening
    from vitret.measure.evaluate import Measurement
    from vitret.models.matching import Matcher
    from vitret.models.model import Retriever

Say = Callable[[str], None]
Progress = Callable[[int, int, str], None]
Steps = Callable[[str], AbstractContextManager[Progress]]


@contextmanager
def silent(_: str) -> Iterator[Progress]:
    """Steps that nobody hears of."""
    yield lambda done, total, words: None


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
    whitening = _whitening(places, work, machine, model, run)
    matcher = _matcher(places, work, machine, model, task.recipe, run, steps)
    written = []
    for name in missing:
        measured = _measure(places, work, machine, model, name, whitening, matcher)
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


def _whitening(places: Places, work: Work, machine: Machine, model: Retriever, run: Run) -> Whitening | None:
    """The protocol's whitening of this network, kept in the run's folder."""
    from vitret.compare.whiten import fitted

    if work.whitening_source is None:
        return None
    return fitted(
        model,
        work.whitening_source,
        work.suite.protocol,
        folder=run.path / "whitening",
        home=places.home,
        device=machine.device,
        precision=machine.precision,
        workers=machine.loaders,
    )


def _matcher(
    places: Places, work: Work, machine: Machine, model: Retriever, recipe: Recipe, run: Run, steps: Steps
) -> Matcher | None:
    """The matcher that the protocol re-ranks with, trained on this network's tokens and kept in the run's folder."""
    from vitret.compare.rematch import trained

    if not work.suite.protocol.rerank.learned:
        return None
    return trained(
        model,
        layout.load_train(places.data, recipe.track.train_set),
        work.suite.protocol,
        validation=recipe.track.validation,
        folder=run.path / "matchers",
        home=places.home,
        device=machine.device,
        precision=machine.precision,
        workers=machine.loaders,
        step=steps(f"{run.id}: matcher"),
    )


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


def _measure(
    places: Places,
    work: Work,
    machine: Machine,
    model: Retriever,
    name: str,
    whitening: Whitening | None,
    matcher: Matcher | None,
) -> _Measured:
    from vitret.compare.rematch import logits
    from vitret.measure.evaluate import evaluate

    plain, _, with_distractors = name.partition("+")
    evalset = work.evaluations[plain]

    protocol = work.suite.protocol

    def descriptors(images: Images, digest: str, protocol: Protocol) -> Descriptors:
        from vitret.describe.cache import cached_extract
        from vitret.describe.request import Request
        from vitret.describe.whitening import apply

        request = Request(
            model=model,
            images=images,
            protocol=protocol,
            device=machine.device,
            precision=machine.precision,
            images_digest=digest,
            workers=machine.loaders,
        )
        found = cached_extract(request, home=places.home)
        return found if whitening is None else apply(whitening, found)

    queries = descriptors(evalset.queries, f"{evalset.digest}/queries", protocol.of_queries())
    database = descriptors(evalset.database, f"{evalset.digest}/database", protocol)
    distractors = None
    if with_distractors:
        assert work.distractors is not None
        distractors = descriptors(work.distractors.images, work.distractors.digest, protocol)
    scored = None
    if matcher is not None:
        scored = logits(
            matcher,
            model,
            evalset,
            work.distractors if with_distractors else None,
            work.suite.protocol,
            device=machine.device,
            workers=machine.loaders,
        )
    measurement = evaluate(
        queries,
        database,
        evalset,
        protocol=work.suite.protocol,
        metrics=work.suite.metrics,
        levels=work.suite.levels,
        distractors=distractors,
        logits=scored,
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
    trained_on, trained_part = work.training(recipe)
    plain, _, with_distractors = name.partition("+")
    evalset, distractors = work.evaluations[plain], measured.distractors
    return results.Result(
        status="complete",
        # What is searched may be shorter than what the network gives: whitening can leave dimensions out.
        model=model.model_copy(update={"dim": measured.database.dim}),
        training=results.TrainingFacts(
            set=recipe.track.train_set,
            manifest=trained_on,
            subset=trained_part,
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
            subset=_subset(evalset, work.distractors if with_distractors else None),
            whitening_manifest=work.whitening_source.digest if work.whitening_source else "",
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


def _subset(evalset: EvalSet, distractors: ImageSet | None) -> str:
    """Which part of what is searched was prepared, in words; empty for all of it."""
    parts = [(one.name, layout.subset_of(one.card)) for one in (evalset, distractors) if one is not None]
    return "; ".join(f"{name}: {words}" for name, words in parts if words)


def _device_name(device: torch.device) -> str:
    import torch

    return torch.cuda.get_device_name(device) if device.type == "cuda" else device.type
