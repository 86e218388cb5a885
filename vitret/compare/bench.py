"""The bench: train what is missing, extract what is not cached, measure what has no row yet.

Work that was done is not done again: a run with a checkpoint is not trained, descriptors are found by the digest
of all that made them, and a row that stands for this data and protocol is not measured a second time.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from vitret.compare import results
from vitret.compare.asked import Places
from vitret.compare.groups import write_groups
from vitret.compare.levels import measurable
from vitret.compare.machine import Machine, Say, Steps, silent
from vitret.compare.rows import Measured, Network, result_of
from vitret.compare.work import Task, Work, missing_rows, other_weights
from vitret.core.errors import DataError
from vitret.core.locks import locked
from vitret.core.recipes import Recipe, ResolvedRecipe
from vitret.core.runs import Run, open_run
from vitret.data import layout

if TYPE_CHECKING:
    from vitret.core.protocol import Protocol
    from vitret.core.records import Descriptors, EvalSet, Images, ImageSet, TrainSet
    from vitret.describe.whitening import Whitening
    from vitret.measure.reranking_shortlist import PairScore
    from vitret.models.model import Retriever
    from vitret.models.reranking import Matcher


@dataclass(frozen=True, kw_only=True)
class _Bench:
    """What stays the same for every run of a bench."""

    places: Places
    work: Work
    machine: Machine
    command: str
    say: Say
    steps: Steps


def bench(
    places: Places, work: Work, *, machine: Machine, command: str, say: Say, steps: Steps = silent
) -> list[Path]:
    """Do the work; returns the rows written. Each run is held by a lock, so two benches share the work.

    `steps(name)` is entered around a training and gives the function that is told of every step.
    """
    job = _Bench(places=places, work=work, machine=machine, command=command, say=say, steps=steps)
    written: list[Path] = []
    for evalset in work.evaluations.values():
        write_groups(places.results, evalset)
    for number, task in enumerate(work.tasks, start=1):
        if not missing_rows(work, task):
            continue
        recipe = task.recipe
        say(
            f"[{number}/{len(work.tasks)}] {recipe.system.title}, {recipe.track.train_set}, seed {recipe.seed}"
        )
        run = open_run(places.home, recipe)
        with locked(run.path / "run.lock", say):
            # Another process may have measured them while this one waited for the lock.
            missing = missing_rows(work, task)
            if missing and other_weights(task):
                say(f"{run.id}: has rows of other weights than those that are here now; measured again")
            if missing:
                written += _measure_run(job, task, run=run, missing=missing)
    return written


def _measure_run(job: _Bench, task: Task, *, run: Run, missing: Sequence[str]) -> list[Path]:
    """Train one run if it is not trained, then write its missing rows."""
    from vitret.models.origin import recorded_start

    trained = _network(job, task.recipe, run=run)
    cost = job.machine.cost(trained.model, job.work.suite.protocol, home=job.places.home)
    network = replace(trained, start_sha256=recorded_start(run), cost=cost)
    facts = network.facts()
    written = []
    for name in missing:
        measured = _measure(job, network, name=name)
        row = result_of(
            job.work, network, measured, facts=facts, name=name, machine=job.machine, command=job.command
        )
        written.append(results.write_result(job.places.results, row, measured.measurement.ranks))
    return written


def measure_again(
    places: Places, work: Work, recipe: ResolvedRecipe, *, name: str, machine: Machine, say: Say
) -> Measured:
    """One evaluation of a run that is there, of which no row is written; `name` as in `_measure`.

    A frozen network's checkpoint is made where it is not there; another run raises `DataError`.
    """
    job = _Bench(places=places, work=work, machine=machine, command="", say=say, steps=silent)
    run = Run.of(places.home, recipe.run_id)
    if not recipe.system.frozen and not run.finished:
        raise DataError(f"{run.path}: the run is not here, and it is needed to measure again.")
    with locked(open_run(places.home, recipe).path / "run.lock", say):
        return _measure(job, _network(job, recipe, run=run), name=name)


def _network(job: _Bench, recipe: ResolvedRecipe, *, run: Run) -> Network:
    """The network of a run, trained where it is not, with what the protocol fits to it."""
    from vitret.models.model import load_model

    train_seconds = _train(job, recipe, run=run)
    model, _ = load_model(run.checkpoint)
    return Network(
        recipe=recipe,
        model=model,
        whitening=_whitening(job, model, run=run),
        matcher=_matcher(job, model, run=run, recipe=recipe),
        train_seconds=train_seconds,
    )


def _train(job: _Bench, recipe: ResolvedRecipe, *, run: Run) -> float | None:
    """Make the run's checkpoint if it has none. Seconds spent training, None where not all of them were spent now.

    A frozen network's checkpoint is its initial weights, written again where their file was replaced.
    """
    from vitret.learn.train import initial_model, train
    from vitret.models.model import save_model
    from vitret.models.origin import checkpoint_digest, digest_now

    home = job.places.home
    if recipe.system.frozen:
        now = digest_now(recipe.system.model, seed=recipe.seed, home=home) if run.finished else None
        if not run.finished or now not in (None, checkpoint_digest(run, home=home)):
            save_model(run.checkpoint, initial_model(recipe), recipe.system.model)
        return None
    if run.finished:
        return None
    started, continued = time.monotonic(), run.state.is_dir()
    trainset = _trainset(job, recipe)
    with job.steps(run.id) as progress:
        train(
            recipe,
            trainset,
            run,
            device=job.machine.device,
            precision=job.machine.precision,
            workers=job.machine.workers,
            say=job.say,
            progress=progress,
        )
    return None if continued else time.monotonic() - started


def _trainset(job: _Bench, recipe: Recipe) -> TrainSet:
    """What a recipe learns from, the images that it leaves out marked."""
    trainset = layout.load_train(job.places.data, recipe.track.train_set)
    if recipe.exclude is None:
        return trainset
    assert job.work.left_out is not None
    return job.work.left_out.mark(trainset)


def _whitening(job: _Bench, model: Retriever, *, run: Run) -> Whitening | None:
    """The protocol's whitening of this network, kept in the run's folder."""
    from vitret.compare.whiten import fitted

    if job.work.whitening_source is None:
        return None
    return fitted(
        model,
        job.work.whitening_source,
        job.work.suite.protocol,
        folder=run.path / "whitening",
        home=job.places.home,
        machine=job.machine,
    )


def _matcher(job: _Bench, model: Retriever, *, run: Run, recipe: Recipe) -> Matcher | None:
    """The matcher that the protocol re-ranks with, trained on this network's tokens and kept in the run's folder."""
    from vitret.compare.reranking import trained

    if not job.work.suite.protocol.rerank.learned:
        return None
    return trained(
        model,
        _trainset(job, recipe),
        job.work.suite.protocol,
        validation=recipe.track.validation,
        folder=run.path / "matchers",
        home=job.places.home,
        machine=job.machine,
        step=job.steps(f"{run.id}: matcher"),
    )


def _measure(job: _Bench, network: Network, *, name: str) -> Measured:
    """One evaluation of one network; `name` is an evaluation set, with `+distractors` behind it or without."""
    from vitret.measure.evaluate import evaluate
    from vitret.measure.reranking_shortlist import Evidence

    plain, _, with_distractors = name.partition("+")
    evalset, suite = job.work.evaluations[plain], job.work.suite
    extra = job.work.distractors if with_distractors else None
    queries, database = (
        _described(job, network, images, digest=digest, protocol=protocol)
        for images, digest, protocol in (
            (evalset.queries, evalset.queries_digest, suite.protocol.of_queries()),
            (evalset.database, evalset.database_digest, suite.protocol),
        )
    )
    distractors = None
    if extra is not None:
        distractors = _described(job, network, extra.images, digest=extra.digest, protocol=suite.protocol)
    logits = _logits(job, network, evalset=evalset, distractors=extra)
    measurement = evaluate(
        Evidence.of(queries, database, distractors=distractors, logits=logits),
        evalset,
        protocol=suite.protocol,
        metrics=suite.metrics,
        levels=measurable(suite, evalset),
        engine=job.machine.engine,
        device=str(job.machine.device),
    )
    return Measured(measurement=measurement, queries=queries, database=database, distractors=distractors)


def _described(
    job: _Bench, network: Network, images: Images, *, digest: str, protocol: Protocol
) -> Descriptors:
    from vitret.describe.cache import cached_extract
    from vitret.describe.whitening import apply

    request = job.machine.request(network.model, images, protocol, images_digest=digest)
    found = cached_extract(request, home=job.places.home)
    return found if network.whitening is None else apply(network.whitening, found)


def _logits(
    job: _Bench, network: Network, *, evalset: EvalSet, distractors: ImageSet | None
) -> PairScore | None:
    """The opinion of the network's matcher, where the protocol re-ranks with one."""
    from vitret.compare.reranking import logits

    if network.matcher is None:
        return None
    return logits(
        network.matcher,
        network.model,
        evalset,
        distractors=distractors,
        protocol=job.work.suite.protocol,
        machine=job.machine,
    )
