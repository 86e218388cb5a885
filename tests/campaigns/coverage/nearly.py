"""The third population: groups of one query that are nearly right, but for the few in a hundred that are wrong.

A sample often holds none of those few, and then its values hardly vary.
"""

from dataclasses import dataclass

import numpy as np

WRONG = 0.03
GROUPS = (7, 14, 30, 70)


@dataclass(frozen=True, kw_only=True)
class Nearly:
    """Values uniform between `least` and 1, and 0 for the share `WRONG`."""

    groups: int
    least: float

    @property
    def truth(self) -> float:
        return (1 - WRONG) * (1 + self.least) / 2

    def draws(self, *, repetitions: int, rng: np.random.Generator) -> np.ndarray:
        """Values (repetitions, 1, Q)."""
        shape = (repetitions, 1, self.groups)
        return np.where(rng.random(shape) < WRONG, 0.0, rng.uniform(self.least, 1, shape))


def cells() -> list[Nearly]:
    """Three widths, four numbers of groups."""
    return [Nearly(groups=groups, least=least) for least in (0.99, 0.95, 0.9) for groups in GROUPS]
