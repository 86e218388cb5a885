"""Training: one loop, readable from top to bottom, that goes on after any interruption as if there had been none."""

import contextlib
import math
import signal
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from types import FrameType
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from vitret.core import plugins
from vitret.core.errors import UserError
from vitret.core.recipes import Recipe, require_trainable
from vitret.core.records import Int64, TrainSet
from vitret.core.runs import Run
from vitret.learn import distributed, holdout
from vitret.learn.augment import aspect_groups
from vitret.learn.checkpoints import clear_state, cut_log, load_state, save_state
from vitret.learn.learner import Learner, initial_model, make_learner, train_step
from vitret.learn.loading import (
    TrainImages,
    batches,
    default_workers,
    describe_places,
    forward,
    image_sizes,
    plan_places,
)
from vitret.learn.optimise import lr_at, set_lr
from vitret.learn.sampling import Describe, Facts, Sampler
from vitret.models.model import save_model

__all__ = ["initial_model", "train"]

# Losses wait on the device for this many steps before anybody looks at them: reading one stops the queue.
LOG_EVERY = 20
# How often held-out classes are measured on the way, the end included.
VALIDATIONS = 4
# At most this share of the time goes into saving.
_SAVING = 0.05

Progress = Callable[[int, int, str], None]
"""(steps done, steps in all, words): called at every step."""


def train(
    recipe: Recipe,
    trainset: TrainSet,
    run: Run,
    *,
    device: torch.device,
    precision: str = "auto",
    workers: int | None = None,
    say: Callable[[str], None] | None = None,
    progress: Progress | None = None,
    save_seconds: float = 60.0,
) -> Path:
    """Train a recipe's system on its training set; returns the checkpoint, which exists only when training is over.

    Goes on from the run's saved state where there is one. On the CPU an interrupted and a straight training give the
    same bytes, with any number of `workers` (None: by the machine). The weights of the last step are kept, whatever
    validation says. Ctrl-C saves the state and ends in `KeyboardInterrupt`; a loss that is not finite is a `UserError`.
    """
    require_trainable(recipe)
    _check_tuples(recipe)
    say = say or (lambda text: None)
    if distributed.rank() == 0:
        run.record_data(trainset.name, trainset.digest)
    if distributed.from_first(run.finished):
        clear_state(run.state)
        return run.checkpoint
    learned, held_out = holdout.split(trainset, recipe.track.validation)
    learner = make_learner(
        recipe, classes=learned.classes, images=len(learned.images), device=device, precision=precision
    )
    workers = default_workers(device) if workers is None else workers
    images = _images(recipe, learned, learner, workers)
    sampler = _sampler(recipe, learned)
    validate = _validation(recipe, held_out, learner, workers)
    labels = torch.from_numpy(learned.labels).to(device)

    def describe(rows: Int64) -> NDArray[np.float32]:
        return _describe(learner, images, rows, batch=recipe.track.batch, workers=workers)

    epoch, at, step = 0, 0, 0  # at: the next step within the epoch's plan
    plan: Int64 | None = None
    state = load_state(run.state, recipe=recipe.digest, processes=distributed.world())
    if state is not None:
        learner.restore(state)
        epoch, at, step = state["epoch"], state["at"], state["step"]
        plan = None if state["plan"] is None else state["plan"].numpy()
        say(f"{run.id}: going on after step {step}.")
    if distributed.rank() == 0:
        cut_log(run.log_file, step)

    def save() -> None:
        # A mined plan cannot be made again from the seed; any other is not worth its bytes.
        kept = torch.from_numpy(plan) if sampler.mines and plan is not None else None
        place = {"epoch": epoch, "at": at, "step": step, "plan": kept, "recipe": recipe.digest}
        state = {**learner.state(), **place}
        if distributed.rank() == 0:
            save_state(run.state, state)

    saved, saving = time.monotonic(), 0.0
    window = _Window(run, learner, recipe)
    with _stoppable() as stop, _tensor_cores(learner):
        while True:
            if plan is None:
                if sampler.mines:
                    window.close(step, epoch)
                planning = time.monotonic()
                plan = distributed.from_first(_plan(sampler, epoch, describe, trainset.name))
                if sampler.mines:
                    save()
                window.began += time.monotonic() - planning  # not the loop's time
            slots = distributed.share(plan.shape[1])
            total = recipe.track.images_seen // plan.shape[1]
            if step >= total:
                break
            places = plan_places(plan[: at + total - step], epoch, at, slots)
            for batch in batches(images, places, workers=workers, device=device):
                set_lr(learner.optimiser, lr_at(step, total=total, epoch=epoch, spec=recipe.system.optimiser))
                rows = torch.from_numpy(plan[at]).to(device, non_blocking=True)
                loss, terms = train_step(learner, recipe, batch, labels[rows], step=step)
                at, step = at + 1, step + 1
                window.add(loss, terms, images=plan.shape[1])
                if progress is not None:
                    progress(step, total, window.words)
                marked = step in _marks(total)
                looked = step % LOG_EVERY == 0 or marked
                if looked:
                    window.close(step, epoch)
                if validate is not None and marked:
                    window.log(validate(), step)
                    window.began = time.monotonic()  # validation is not the loop's time
                # Processes may only stop together: they agree where they look at the loss.
                alone = distributed.world() == 1
                if (alone or looked) and _any(stop.asked):
                    window.close(step, epoch)
                    save()
                    raise KeyboardInterrupt
                due = time.monotonic() - saved > max(save_seconds, saving / _SAVING)
                if looked and step < total and distributed.from_first(due):
                    began = time.monotonic()
                    save()
                    saved = time.monotonic()
                    saving = saved - began
            epoch, at, plan = epoch + 1, 0, None
    if distributed.rank() == 0:
        save_model(run.checkpoint, learner.best, recipe.system.model)
        clear_state(run.state)
    distributed.from_first(None)  # nobody returns before the file is there
    return run.checkpoint


class _Window:
    """The losses since somebody last looked, and the log."""

    def __init__(self, run: Run, learner: Learner, recipe: Recipe) -> None:
        self.run, self.learner, self.recipe = run, learner, recipe
        self.losses: list[Tensor] = []
        self.terms: dict[str, Tensor] = {}
        self.images = 0
        self.began = time.monotonic()
        self.words = ""

    def add(self, loss: Tensor, terms: dict[str, Tensor], *, images: int) -> None:
        self.losses.append(loss)
        self.terms = terms
        self.images += images

    def close(self, step: int, epoch: int) -> None:
        """Read the losses, refuse those that are not finite, write a line of the log, begin anew."""
        if not self.losses:
            return
        values = torch.stack(self.losses).tolist()
        first = step - len(values)
        for offset, value in enumerate(values):
            if not math.isfinite(value):
                raise UserError(
                    f"{self.run.id}: the loss is {value} at step {first + offset + 1}. What was saved before is whole. "
                    "Try a lower rate (`--set optimiser.lr=…`), a longer warm-up, or `--precision fp32`."
                )
        seconds = max(time.monotonic() - self.began, 1e-9)
        speed = self.images / seconds
        mean = sum(values) / len(values)
        entry: dict[str, Any] = {"epoch": epoch, "loss": mean}
        entry |= {name: value.item() for name, value in self.terms.items() if torch.isfinite(value)}
        entry |= {"lr": self.learner.optimiser.param_groups[0]["lr"], "images_per_second": round(speed, 2)}
        self.log(entry, step)
        self.words = f"loss {mean:.4f}, {speed:.1f} images/s"
        self.losses, self.images, self.began = [], 0, time.monotonic()

    def log(self, entry: dict[str, Any], step: int) -> None:
        if distributed.rank() == 0:
            self.run.log(step=step, **entry)


def _check_tuples(recipe: Recipe) -> None:
    """A loss that reads rows as tuples and the sampler must mean the same tuples."""
    dealt = recipe.system.sampler.resolved("samplers").options.get("negatives")
    for loss in recipe.system.losses:
        read = loss.resolved("losses").options.get("negatives")
        if read is not None and read != dealt:
            raise UserError(
                f"loss {loss.name} reads tuples of {read} negatives; sampler {recipe.system.sampler.name} deals "
                f"{'no tuples' if dealt is None else dealt}. Take `sampler: {{name: tuples, negatives: {read}}}`."
            )


def _plan(sampler: Sampler, epoch: int, describe: Describe, name: str) -> Int64:
    plan = sampler.plan(epoch, describe)
    if not len(plan):
        raise UserError(f"{name}: fewer images than one batch. Choose a smaller one: `--set track.batch=…`.")
    return plan


def _images(recipe: Recipe, trainset: TrainSet, learner: Learner, workers: int) -> TrainImages:
    images = TrainImages(trainset.images, recipe.track.image, seed=recipe.seed, patch=learner.model.patch)
    images.keep(workers)
    return images


def _sampler(recipe: Recipe, trainset: TrainSet) -> Sampler:
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


def _describe(
    learner: Learner, images: TrainImages, rows: Int64, *, batch: int, workers: int, best: bool = False
) -> NDArray[np.float32]:
    """Descriptors (n, D) of rows, without augmentation or chance; each process does a share."""
    model = (learner.best if best else learner.model).eval()
    mine = np.array_split(rows, distributed.world())[distributed.rank()]
    found = []
    with torch.no_grad():
        for part in batches(images, describe_places(mine, batch), workers=workers, device=learner.device):
            found.append(forward(part, lambda pixels: learner.encode(model, pixels)).cpu().numpy())
    if not found:
        found.append(np.empty((0, learner.model.dim), np.float32))
    return np.concatenate(distributed.from_all(np.concatenate(found)))


def _validation(
    recipe: Recipe, held_out: TrainSet | None, learner: Learner, workers: int
) -> Callable[[], dict[str, Any]] | None:
    """A function that measures recall@1 and mAP on the held-out classes; None where there are none."""
    if held_out is None:
        return None
    images = _images(recipe, held_out, learner, workers)
    rows = holdout.measured_rows(held_out.labels)

    def validate() -> dict[str, Any]:
        descriptors = _describe(learner, images, rows, batch=recipe.track.batch, workers=workers, best=True)
        return {"validation": holdout.score(descriptors, held_out.labels[rows])}

    return validate


def _marks(total: int) -> set[int]:
    """The steps after which held-out classes are measured."""
    return {math.ceil(total * part / VALIDATIONS) for part in range(1, VALIDATIONS + 1)}


def _any(asked: bool) -> bool:
    return any(distributed.from_all(asked))


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


class _Stop:
    asked = False


@contextlib.contextmanager
def _stoppable() -> Iterator[_Stop]:
    """Ctrl-C and SIGTERM set a flag, so that a step ends before the state is saved; a second one ends all at once."""
    stop = _Stop()

    def ask(number: int, frame: FrameType | None) -> None:
        if stop.asked:
            raise KeyboardInterrupt
        stop.asked = True

    if threading.current_thread() is not threading.main_thread():
        yield stop
        return
    before = {number: signal.signal(number, ask) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield stop
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
