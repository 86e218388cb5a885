"""Where the time of a training step goes: data, forward, backward, optimiser, communication between processes."""

import contextlib
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import AbstractContextManager
from typing import TypeVar

import torch

PHASES = ("data", "forward", "backward", "optimiser", "communication")
# The first steps allocate memory and choose kernels; they are left out.
WARM = 5

Item = TypeVar("Item")


class StepClock:
    """Seconds of each phase over the steps so far; what is in no phase is "rest".

    Without a device it is off and costs nothing. At every change of phase the device is waited for, so that work is
    counted where it was asked for; what would have overlapped does not, and training is a little slower.
    """

    def __init__(
        self, device: torch.device | None = None, *, now: Callable[[], float] = time.perf_counter
    ) -> None:
        self.device, self._now = device, now
        self.steps = 0
        self.seconds: dict[str, float] = {}
        self._phases = ["rest"]
        self._since: float | None = None

    def phase(self, name: str) -> AbstractContextManager[None]:
        """What runs inside is counted as `name`, and no longer as what is around it."""
        return contextlib.nullcontext() if self.device is None else self._counted(name)

    @contextlib.contextmanager
    def _counted(self, name: str) -> Iterator[None]:
        self._charge()
        self._phases.append(name)
        try:
            yield
        finally:
            self._charge()
            self._phases.pop()

    def _charge(self) -> None:
        """Count the time since the last change of phase for the phase that ends."""
        if self.device is not None and self.device.type == "cuda":
            torch.cuda.synchronize(self.device)
        now = self._now()
        if self._since is not None:
            ending = self._phases[-1]
            self.seconds[ending] = self.seconds.get(ending, 0.0) + now - self._since
        self._since = now

    def each(self, items: Iterable[Item]) -> Iterator[Item]:
        """The items, one a step; waiting for the next one is "data"."""
        waiting = iter(items)
        while True:
            with self.phase("data"):
                try:
                    item = next(waiting)
                except StopIteration:
                    return
            yield item
            self._step()

    def _step(self) -> None:
        if self.device is None:
            return
        self._charge()
        self.steps += 1
        if self.steps == WARM:
            self.seconds = {}

    def report(self) -> str:
        """A line for each phase: milliseconds a step, and its share.

        >>> clock = StepClock()
        >>> clock.steps, clock.seconds = 15, {"data": 1.0, "forward": 3.0, "rest": 1.0}
        >>> print(clock.report())
        Time of a step, mean of 10:
          data             100.0 ms   20 %
          forward          300.0 ms   60 %
          rest             100.0 ms   20 %
        """
        steps = self.steps - WARM
        if steps < 1:
            return f"Time of a step: not measured, there were no steps after the first {WARM}."
        whole = sum(self.seconds.values())
        lines = [f"Time of a step, mean of {steps}:"]
        for name in (*PHASES, "rest"):
            if seconds := self.seconds.get(name, 0.0):
                lines.append(
                    f"  {name:<13}{1000 * seconds / steps:>9.1f} ms {seconds / whole:>5.0%}".replace(
                        "%", " %"
                    )
                )
        return "\n".join(lines)


OFF = StepClock()
