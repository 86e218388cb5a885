"""Places on a chart: a strip of 0 to 100 for the values of one axis, with round ends and ticks."""

import math
from collections.abc import Iterable
from dataclasses import dataclass

# Distances between ticks, in per cent points.
_STEPS = (0.1, 0.2, 0.5, 1, 2, 5, 10, 20, 25, 50, 100)
_MOST_STEPS = 4


@dataclass(frozen=True, kw_only=True)
class Bar:
    """A number as a dot and its interval as a bar: places on a strip of 0 to 100."""

    low: float
    value: float
    high: float


@dataclass(frozen=True, kw_only=True)
class Scale:
    """An axis from `low` to `high`; `log` for amounts, whose ratio counts."""

    low: float
    high: float
    step: float = 0.0
    log: bool = False

    @classmethod
    def of_fractions(cls, values: Iterable[float], *, zero: bool = False) -> "Scale":
        """Round ends in per cent points around fractions; with `zero` the axis holds 0.

        >>> Scale.of_fractions([0.62, 0.78])
        Scale(low=0.6, high=0.8, step=0.05, log=False)
        """
        found = [100 * value for value in values] + ([0.0] if zero else [])
        low, high = min(found), max(found)
        wide = max(high - low, 0.1)
        for step in _STEPS:
            first, last = math.floor(low / step + 1e-9), math.ceil(high / step - 1e-9)
            if wide / step <= _MOST_STEPS and last - first <= _MOST_STEPS + 1:
                break
        last = max(last, first + 1)
        return cls(low=round(first * step / 100, 6), high=round(last * step / 100, 6), step=step / 100)

    @classmethod
    def of_amounts(cls, values: Iterable[float]) -> "Scale":
        """A logarithmic axis with some room on both sides of amounts above 0."""
        found = list(values)
        room = max((max(found) / min(found)) ** 0.08, 1.1)
        return cls(low=min(found) / room, high=max(found) * room, log=True)

    def at(self, value: float) -> float:
        """The place of a value, 0 to 100, one decimal; values outside stand at the ends.

        >>> Scale(low=0.6, high=0.8).at(0.65)
        25.0
        """
        low, high = self.low, self.high
        if self.log:
            low, high, value = math.log(low), math.log(high), math.log(value)
        return round(100 * min(1.0, max(0.0, (value - low) / (high - low))), 1)

    def bar(self, value: float, low: float, high: float) -> Bar:
        """The places of a number and of its interval."""
        return Bar(low=self.at(low), value=self.at(value), high=self.at(high))

    @property
    def ticks(self) -> list[float]:
        """Values of the ticks of a linear axis, both ends among them.

        >>> Scale.of_fractions([0.62, 0.78]).ticks
        [0.6, 0.65, 0.7, 0.75, 0.8]
        """
        return [
            round(self.low + i * self.step, 6) for i in range(round((self.high - self.low) / self.step) + 1)
        ]


def percent(fraction: float, *, digits: int = 1) -> str:
    """A fraction in per cent.

    >>> percent(0.6489), percent(0.6, digits=0)
    ('64.9', '60')
    """
    return f"{100 * fraction:.{digits}f}"
