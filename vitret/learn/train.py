"""Training a recipe's system on its training set: images to batches, batches to steps of the one loop."""

import contextlib
import math
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.utils.data import Dataset

from vitret.core import plugins
from vitret.core.errors import UserError
from vitret.core.recipes import ResolvedRecipe, require_trainable
from vitret.core.records import Int64, TrainSet
from vitret.core.runs import Run, read_log
from vitret.learn import distributed, holdout
from vitret.learn.augment import aspect_groups
from vitret.learn.checkpoints import clear_state
from vitret.learn.frozen import Descriptors, described, rows_of
from vitret.learn.learner import Learner, initial_model, make_learner, train_step
from vitret.learn.loading import (
    Batch,
    TrainImages,
    batches,
    default_workers,
    describe_places,
    forward,
    image_sizes,
    plan_places,
)
from vitret.learn.loop import Outcome, Position, Progress, Say, Training, run_training
from vitret.learn.optimise import lr_at, set_lr
from vitret.learn.sampling import Facts, Sampler
from vitret.learn.split_classes import split_size
from vitret.learn.step_clock import OFF, StepClock
from vitret.models.model import Retriever, save_model
from vitret.models.origin import record_start

__all__ = ["Progress", "initial_model", "require_batches", "train"]

ImagesOf = Callable[[TrainSet], Dataset[Tensor]]
"""A part of the training set → what the network sees of it."""

# How often held-out classes are measured on the way, the end included.
VALIDATIONS = 4


@dataclass(frozen=True, kw_only=True, eq=False)
class _Course:
    """All that the steps of one training need."""

    recipe: ResolvedRecipe
    trainset: TrainSet
    images: Dataset[Tensor]
    labels: Tensor
    learner: Learner
    images_of: ImagesOf
    sampler: Sampler
    workers: int

    @property
    def total(self) -> int:
        return self.recipe.track.images_seen // self.sampler.batch


def train(
    recipe: ResolvedRecipe,
    trainset: TrainSet,
    run: Run,
    *,
    device: torch.device,
    precision: str = "auto",
    workers: int | None = None,
    say: Say | None = None,
    progress: Progress | None = None,
    save_seconds: float = 60.0,
    clock: StepClock = OFF,
    tell: Callable[[Mapping[str, Any]], None] | None = None,
) -> Path:
    """Train a recipe's system on its training set; returns the checkpoint, which exists only when training is over.

    Continues from the run's saved state where there is one. On the CPU an interrupted and a straight training give the
    same bytes, with any number of `workers` (None: by the machine). The weights of the last step are kept, whatever
    validation says. `tell` is given every line of the log. Ctrl-C saves the state and ends in `KeyboardInterrupt`; a
    loss that is not finite is a `UserError`.
    """
    require_trainable(recipe)
    _check_tuples(recipe)
    assert (recipe.exclude is None) == (trainset.excluded is None), (
        "recipe and training set leave out the same"
    )
    if distributed.rank() == 0:
        run.record_data(trainset.name, trainset.digest)
        if trainset.excluded is not None:
            run.record_excluded([trainset.images.name(int(row)) for row in np.flatnonzero(trainset.excluded)])
        record_start(run, recipe)
    if distributed.from_first(run.finished):
        clear_state(run.state)
        if tell is not None:
            for entry in read_log(run.log_file):
                tell(entry)
        return run.checkpoint
    learned, held_out = holdout.split(trainset, recipe.track.validation)
    workers = default_workers(device) if workers is None else workers
    course = _course(
        recipe,
        learned,
        images_from=_images_from(recipe, trainset, run, precision=precision, progress=progress),
        device=device,
        precision=precision,
        workers=workers,
        clock=clock,
    )
    if say is not None and course.learner.split:
        numbers = split_size(course.learner.objective.parameters())
        say(
            f"{run.id}: each of {distributed.world()} processes holds about {numbers:,} numbers of the class centres; "
            f"with gradients and AdamW's moments {16 * numbers / 2**20:,.0f} MiB."
        )
    with _tensor_cores(course.learner):
        run_training(
            replace(_training(course, run, held_out), tell=tell),
            say=say,
            progress=progress,
            save_seconds=save_seconds,
        )
    return run.checkpoint


def _course(
    recipe: ResolvedRecipe,
    learned: TrainSet,
    *,
    images_from: Callable[[Learner, int], ImagesOf],
    device: torch.device,
    precision: str,
    workers: int,
    clock: StepClock,
) -> _Course:
    learner = make_learner(
        recipe,
        classes=learned.classes,
        images=len(learned.images),
        device=device,
        precision=precision,
        clock=clock,
    )
    images_of = images_from(learner, workers)
    return _Course(
        recipe=recipe,
        trainset=learned,
        images=images_of(learned),
        labels=torch.from_numpy(learned.labels).to(device),
        learner=learner,
        images_of=images_of,
        sampler=_sampler(recipe, learned),
        workers=workers,
    )


def _training(course: _Course, run: Run, held_out: TrainSet | None) -> Training[tuple[Int64, Batch]]:
    learner = course.learner
    return Training(
        name=run.id,
        recipe=course.recipe.digest,
        total=course.total,
        batches=lambda start: _batches(course, start),
        step=lambda place, batch: _step(course, place, *batch),
        parts=learner.parts,
        write=lambda: save_model(run.checkpoint, learner.kept, course.recipe.system.model),
        state=run.state,
        device=learner.device,
        advice="Try a lower rate (`--set optimiser.lr=…`), a longer warm-up, or `--precision fp32`.",
        log=run.log_file,
        images=course.sampler.batch,
        marks=_marks(course.total),
        validate=_validation(course, held_out),
        clock=learner.clock,
        split=frozenset(("objective", "optimiser")) if learner.split else frozenset(),
    )


def _batches(course: _Course, start: Position) -> Iterator[tuple[Position, tuple[Int64, Batch]]]:
    """Each batch from a position on, with its rows (B,), epoch after epoch until the budget is spent."""
    slots = distributed.share(course.sampler.batch)
    place, plan = start, start.plan
    while place.step < course.total:
        if plan is None:
            plan = distributed.from_first(_plan(course, place.epoch))
            place = replace(place, plan=plan if course.sampler.mines else None)
        needed = plan[: place.at + course.total - place.step]
        places = plan_places(needed, place.epoch, place.at, slots)
        device = course.learner.device
        for batch in batches(course.images, places, workers=course.workers, device=device):
            yield place, (plan[place.at], batch)
            place = place.next()
        place, plan = replace(place, epoch=place.epoch + 1, at=0, plan=None), None


def _plan(course: _Course, epoch: int) -> Int64:
    def describe(rows: Int64) -> NDArray[np.float32]:
        return _describe(course, course.learner.model, course.images, rows)

    plan = course.sampler.plan(epoch, describe)
    if not len(plan):
        raise UserError(
            f"{course.trainset.name}: fewer images than one batch. Choose a smaller one: `--set track.batch=…`."
        )
    return plan


def _step(course: _Course, place: Position, rows: Int64, batch: Batch) -> Outcome:
    """One step at the rate that the schedule has there."""
    learner, recipe = course.learner, course.recipe
    rate = lr_at(place.step, total=course.total, epoch=place.epoch, spec=recipe.system.optimiser)
    set_lr(learner.optimiser, rate)
    chosen = torch.from_numpy(rows).to(learner.device, non_blocking=True)
    loss, terms = train_step(learner, recipe, batch, course.labels[chosen], step=place.step)
    shown = {"lr": learner.optimiser.param_groups[0]["lr"]}
    return Outcome(loss=loss, last={"epoch": place.epoch, **terms, **shown})


def require_batches(recipe: ResolvedRecipe, trainset: TrainSet) -> None:
    """Refuse a recipe of which the set fills no batch, before anything starts; `UserError` says what to change.

    What only the images' sizes can tell is not looked at.
    """
    _check_tuples(recipe)
    learned, _ = holdout.split(trainset, recipe.track.validation)
    _sampler(recipe, learned)


def _check_tuples(recipe: ResolvedRecipe) -> None:
    """A loss that reads rows as tuples and the sampler must mean the same tuples."""
    dealt = recipe.system.sampler.options.get("negatives")
    for loss in recipe.system.losses:
        read = loss.options.get("negatives")
        if read is not None and read != dealt:
            raise UserError(
                f"loss {loss.name} reads tuples of {read} negatives; sampler {recipe.system.sampler.name} deals "
                f"{'no tuples' if dealt is None else dealt}. Take `sampler: {{name: tuples, negatives: {read}}}`."
            )


def _images_from(
    recipe: ResolvedRecipe, trainset: TrainSet, run: Run, *, precision: str, progress: Progress | None
) -> Callable[[Learner, int], ImagesOf]:
    """What the network of a learner sees of a part of the set: images by chance, or a frozen network's descriptors."""
    policy = recipe.track.image

    def augmented(learner: Learner, workers: int) -> ImagesOf:
        def images_of(part: TrainSet) -> TrainImages:
            images = TrainImages(part.images, policy, seed=recipe.seed, patch=learner.model.patch)
            images.keep(workers)
            return images

        return images_of

    def looked_up(learner: Learner, workers: int) -> ImagesOf:
        assert learner.frozen is not None
        home, device = run.path.parents[1], learner.device
        rows = described(
            learner.frozen, trainset, policy, home=home, device=device, precision=precision, progress=progress
        )
        return lambda part: Descriptors(rows[rows_of(trainset.images, part.images)])

    return looked_up if recipe.system.train_on == "descriptors" else augmented


def _sampler(recipe: ResolvedRecipe, trainset: TrainSet) -> Sampler:
    facts = Facts(
        labels=trainset.labels,
        batch=recipe.track.batch,
        seed=recipe.seed,
        pairs=trainset.pairs,
        groups=lambda: aspect_groups(image_sizes(trainset.images)),
    )
    sampler = plugins.build("samplers", recipe.system.sampler.name, facts, **recipe.system.sampler.options)
    assert isinstance(sampler, Sampler)
    return sampler


def _describe(course: _Course, model: Retriever, images: Dataset[Tensor], rows: Int64) -> NDArray[np.float32]:
    """Descriptors (n, D) of rows, without augmentation or chance; each process does a share."""
    learner, batch = course.learner, course.recipe.track.batch
    model.eval()
    mine = np.array_split(rows, distributed.world())[distributed.rank()]
    found = []
    with torch.no_grad():
        places = describe_places(mine, batch)
        for part in batches(images, places, workers=course.workers, device=learner.device):
            found.append(forward(part, lambda pixels: learner.encode(model, pixels)).cpu().numpy())
    if not found:
        found.append(np.empty((0, learner.model.dim), np.float32))
    return np.concatenate(distributed.from_all(np.concatenate(found)))


def _validation(course: _Course, held_out: TrainSet | None) -> Callable[[], dict[str, Any]] | None:
    """A function that measures recall@1 and mAP on the held-out classes; None where there are none."""
    if held_out is None:
        return None
    images = course.images_of(held_out)
    labels = held_out.labels
    rows = holdout.measured_rows(labels)

    def validate() -> dict[str, Any]:
        descriptors = _describe(course, course.learner.best, images, rows)
        return {"validation": holdout.score(descriptors, labels[rows])}

    return validate


def _marks(total: int) -> frozenset[int]:
    """The steps after which held-out classes are measured."""
    return frozenset(math.ceil(total * part / VALIDATIONS) for part in range(1, VALIDATIONS + 1))


@contextlib.contextmanager
def _tensor_cores(learner: Learner) -> Iterator[None]:
    """On a GPU that trains below float32, let what stays float32 (class weights, similarities) be multiplied as TF32.

    Only while training: descriptors that are extracted later in this process must not depend on it.
    """
    before = torch.get_float32_matmul_precision()
    if learner.device.type == "cuda" and learner.dtype is not None:
        torch.set_float32_matmul_precision("high")
    try:
        yield
    finally:
        torch.set_float32_matmul_precision(before)
