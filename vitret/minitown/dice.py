"""Random choices that are the same on every machine: a keyed PCG64 stream read through `random()` only.

NumPy may change what its distributions make of a stream (NEP 19), so everything that decides a label or a shape
is built here from uniform numbers.
"""

import math
from collections.abc import Sequence
from typing import TypeVar

import numpy as np

T = TypeVar("T")


class Dice:
    """A stream of choices named by a key of non-negative integers; equal keys give equal streams.

    >>> Dice(1, 2).integer(0, 99) == Dice(1, 2).integer(0, 99)
    True
    """

    def __init__(self, *key: int) -> None:
        self.generator = np.random.Generator(np.random.PCG64(np.random.SeedSequence(key)))

    def uniform(self, low: float, high: float) -> float:
        return low + (high - low) * float(self.generator.random())

    def integer(self, low: int, high: int) -> int:
        """A whole number in low…high, both included."""
        return low + int(float(self.generator.random()) * (high - low + 1))

    def chance(self, probability: float) -> bool:
        return float(self.generator.random()) < probability

    def pick(self, choices: Sequence[T]) -> T:
        return choices[self.integer(0, len(choices) - 1)]

    def weighted(self, choices: Sequence[tuple[T, float]]) -> T:
        """One of the first members, as often as the second members say; these need not sum to 1."""
        mark = self.uniform(0.0, sum(weight for _, weight in choices))
        for choice, weight in choices:
            mark -= weight
            if mark < 0:
                return choice
        return choices[-1][0]

    def sample(self, choices: Sequence[T], count: int) -> list[T]:
        """`count` different members, in random order."""
        left = list(choices)
        return [left.pop(self.integer(0, len(left) - 1)) for _ in range(min(count, len(left)))]

    def bell(self, spread: float) -> float:
        """A bell-shaped number around 0: the sum of four uniform numbers, standard deviation `spread`."""
        return spread * math.sqrt(3.0) * sum(self.uniform(-0.5, 0.5) for _ in range(4))
