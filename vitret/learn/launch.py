"""A training as it is started: alone or as one of several processes, the first of which holds the run's lock."""

import contextlib
from collections.abc import Callable
from contextlib import AbstractContextManager
from pathlib import Path

from vitret.core.locks import locked
from vitret.core.recipes import ResolvedRecipe
from vitret.core.records import TrainSet
from vitret.core.runs import open_run
from vitret.describe.devices import pick_device
from vitret.learn import distributed
from vitret.learn.loop import Progress, Say
from vitret.learn.step_clock import StepClock
from vitret.learn.tensorboard import scalars
from vitret.learn.train import train

Steps = Callable[[str], AbstractContextManager[Progress]]
"""A name → where its steps are shown."""


def launch(
    recipe: ResolvedRecipe,
    trainset: TrainSet,
    home: Path,
    *,
    device: str,
    precision: str,
    workers: int | None,
    say: Say,
    steps: Steps,
    profile: bool = False,
    tensorboard: Path | None = None,
) -> Path | None:
    """Train in this process, together with the others where `torchrun` started several.

    Returns the checkpoint; None in all processes but the first, which alone speaks. `profile` says at the end where the
    time of a step went. `tensorboard` is a folder that gets the scalars of the log, below the run's id.
    """
    with distributed.joined(pick_device(device)) as place, contextlib.ExitStack() as held:
        first = distributed.rank() == 0
        run, clock = open_run(home, recipe), StepClock(place if profile else None)
        if first:
            held.enter_context(locked(run.path / "run.lock", say))
        distributed.from_first(None)  # no process reads the run before it is ours
        checkpoint = train(
            recipe,
            trainset,
            run,
            device=place,
            precision=precision,
            workers=workers,
            say=say if first else None,
            progress=held.enter_context(steps(run.id)) if first else None,
            clock=clock,
            tell=held.enter_context(scalars(tensorboard / run.id))
            if first and tensorboard is not None
            else None,
        )
        if profile and first:
            say(clock.report())
        return checkpoint if first else None
