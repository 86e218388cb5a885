"""The one training loop: readable from top to bottom, and an interrupted training ends as an uninterrupted one does.

A network on its track, an LV-ViT on token labels and a matcher all run in `run_training`. A `Training` says what is to
run, a `Position` where it stands.
"""

import json
import math
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Generic, TypeVar

import torch
from torch import Tensor

from vitret.core.errors import UserError
from vitret.core.records import Int64
from vitret.core.runs import read_log
from vitret.learn import distributed
from vitret.learn.checkpoints import (
    Stateful,
    clear_own,
    clear_state,
    cut_log,
    load_own,
    load_state,
    random_state,
    save_own,
    save_state,
    set_random_state,
)
from vitret.learn.interrupt import stoppable
from vitret.learn.step_clock import OFF, StepClock

# Losses wait on the device for this many steps before they are read: reading one stops the queue.
LOG_EVERY = 20
# At most this share of the time goes into saving.
_SAVING = 0.05

Batch = TypeVar("Batch")
Say = Callable[[str], None]
Progress = Callable[[int, int, str], None]
"""(steps done, steps in all, words): called at every step."""


@dataclass(frozen=True, kw_only=True, eq=False)
class Position:
    """Where a training stands: `step` steps are done, the next one is number `at` in the plan of `epoch`.

    `plan` (steps, B) is that plan where it cannot be made again from the seed, as a mined one; else None.
    """

    step: int = 0
    epoch: int = 0
    at: int = 0
    plan: Int64 | None = None

    def next(self) -> "Position":
        return replace(self, step=self.step + 1, at=self.at + 1)

    @property
    def plan_is_done(self) -> bool:
        return self.plan is not None and self.at == len(self.plan)


@dataclass(frozen=True, kw_only=True, eq=False)
class Outcome:
    """What one step found. Tensors stay on the device until the log is due.

    The log gets the mean of `loss` and of `means` since its last line, and of `last` the newest values.
    """

    loss: Tensor
    means: Mapping[str, Tensor] = field(default_factory=dict)
    last: Mapping[str, Tensor | float] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True, eq=False)
class Training(Generic[Batch]):
    """What is to run.

    `batches` gives from a position on each batch with the position at which it is learned; `step` learns one. `parts`
    are saved and restored by name, `recipe` is the digest that a saved state must have. `write` keeps the result of
    the last step. After the steps in `marks` the log gets a line, and what `validate` finds. `images` is how many a
    step takes, for the speed in the log; None tells no speed. `tell` is given every line of the log too, at the start
    those that are there. `advice` follows where a loss is not finite. `clock` is
    told when a step waits for its batch. The parts named in `split` are others in each process.
    """

    name: str
    recipe: str
    total: int
    batches: Callable[[Position], Iterator[tuple[Position, Batch]]]
    step: Callable[[Position, Batch], Outcome]
    parts: Mapping[str, Stateful | None]
    write: Callable[[], None]
    state: Path
    device: torch.device
    advice: str
    log: Path | None = None
    tell: Callable[[Mapping[str, Any]], None] | None = None
    images: int | None = None
    marks: frozenset[int] = frozenset()
    validate: Callable[[], dict[str, Any]] | None = None
    clock: StepClock = OFF
    split: frozenset[str] = frozenset()


def run_training(
    training: Training[Batch],
    *,
    say: Say | None = None,
    progress: Progress | None = None,
    save_seconds: float = 60.0,
) -> None:
    """Run a training to its end, from its saved state where there is one; then write its result and clear the state.

    Ctrl-C saves the state and ends in `KeyboardInterrupt`; a loss that is not finite is a `UserError`.
    """
    position = _start(training, say)
    window = _Window(training)
    saved, cost = time.monotonic(), 0.0
    with stoppable() as stop:
        for place, batch in training.clock.each(training.batches(position)):
            if place.plan is not position.plan:  # just mined: save it before anything depends on it
                _save(training, place)
                window.restart()
            outcome = training.step(place, batch)
            position = place.next()
            window.add(outcome)
            marked = position.step in training.marks or position.step == training.total
            looked = marked or position.step % LOG_EVERY == 0 or position.plan_is_done
            if looked:
                window.close(position.step)
            if progress is not None:
                progress(position.step, training.total, window.words)
            if marked and training.validate is not None:
                _log(training, {"step": position.step, **training.validate()})
                window.restart()
            # Several processes can only stop together: they agree where they look at the losses.
            if (looked or distributed.world() == 1) and any(distributed.from_all(stop.asked)):
                window.close(position.step)
                _save(training, position)
                raise KeyboardInterrupt
            due = time.monotonic() - saved > max(save_seconds, cost / _SAVING)
            if looked and position.step < training.total and distributed.from_first(due):
                began = time.monotonic()
                _save(training, position)
                saved = time.monotonic()
                cost = saved - began
    if distributed.rank() == 0:
        training.write()
        clear_state(training.state)
    distributed.from_first(None)  # no process returns before the file is there


def _start(training: Training[Batch], say: Say | None) -> Position:
    """Restore what was saved, cut the log to it, and return where the training stands."""
    state = load_state(training.state, recipe=training.recipe, processes=distributed.world())
    position = Position()
    if state is not None:
        if training.split and distributed.rank() > 0:
            state |= load_own(training.state, step=state["step"], rank=distributed.rank())
        for name, part in training.parts.items():
            if part is not None:
                part.load_state_dict(state[name])
        set_random_state(state["random"][distributed.rank()], training.device)
        plan = state.get("plan")
        position = Position(
            step=state["step"],
            epoch=state.get("epoch", 0),
            at=state.get("at", 0),
            plan=None if plan is None else plan.numpy(),
        )
        if say is not None:
            say(f"{training.name}: continues after step {position.step}.")
    if distributed.rank() == 0 and training.log is not None:
        cut_log(training.log, position.step)
        if training.tell is not None:
            for entry in read_log(training.log):
                training.tell(entry)
    return position


def _save(training: Training[Batch], position: Position) -> None:
    parts = {name: None if part is None else part.state_dict() for name, part in training.parts.items()}
    state = {
        **parts,
        "random": distributed.from_all(random_state(training.device)),
        "step": position.step,
        "epoch": position.epoch,
        "at": position.at,
        "plan": None if position.plan is None else torch.from_numpy(position.plan),
        "recipe": training.recipe,
    }
    if training.split:
        if distributed.rank() > 0:
            own = {name: parts[name] for name in training.split}
            save_own(training.state, own, step=position.step, rank=distributed.rank())
        distributed.from_first(None)
    if distributed.rank() == 0:
        save_state(training.state, state)
        clear_own(training.state, step=position.step)


def _log(training: Training[Batch], entry: Mapping[str, Any]) -> None:
    if distributed.rank() != 0 or training.log is None:
        return
    with training.log.open("a", encoding="utf-8") as handle:
        handle.write(json.dumps(entry, ensure_ascii=False, allow_nan=False) + "\n")
    if training.tell is not None:
        training.tell(entry)


class _Window:
    """What was found since the last line of the log."""

    def __init__(self, training: Training[Any]) -> None:
        self.training = training
        self.words = ""
        self.clear()

    def clear(self) -> None:
        self.losses: list[Tensor] = []
        self.means: dict[str, list[Tensor]] = {}
        self.last: Mapping[str, Tensor | float] = {}
        self.restart()

    def restart(self) -> None:
        """Measure the speed from now on."""
        self.began = time.monotonic()

    def add(self, outcome: Outcome) -> None:
        self.losses.append(outcome.loss)
        for name, value in outcome.means.items():
            self.means.setdefault(name, []).append(value)
        self.last = outcome.last

    def close(self, step: int) -> None:
        """Read the losses, refuse those that are not finite, write a line of the log, and begin again."""
        if not self.losses:
            return
        losses = torch.stack(self.losses).tolist()
        self._require_finite(losses, step)
        loss = sum(losses) / len(losses)
        means = {name: torch.stack(values).mean().item() for name, values in self.means.items()}
        last = {name: v.item() if isinstance(v, Tensor) else v for name, v in self.last.items()}
        entry = {"step": step, "steps": self.training.total, "loss": loss, **means}
        entry |= {name: value for name, value in last.items() if math.isfinite(value)}
        words = ["steps", f"loss {loss:.4f}", *(f"{name} {value:.0%}" for name, value in means.items())]
        if self.training.images is not None:
            seconds = max(time.monotonic() - self.began, 1e-9)
            speed = self.training.images * len(losses) / seconds
            entry["images_per_second"] = round(speed, 2)
            words.append(f"{speed:.1f} images/s")
        _log(self.training, entry)
        self.words = ", ".join(words)
        self.clear()

    def _require_finite(self, losses: list[float], step: int) -> None:
        for offset, loss in enumerate(losses, start=1 - len(losses)):
            if not math.isfinite(loss):
                raise UserError(
                    f"{self.training.name}: the loss is {loss} at step {step + offset}. "
                    f"What was saved before is whole. {self.training.advice}"
                )
