"""Which queries gain and which lose between two systems, by group: the landmark or product that they ask about."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from vitret.compare.intervals import answered
from vitret.core.records import Float64, Int64

# A smaller change of a query's value is rounding.
_NOTHING = 1e-9


@dataclass(frozen=True, kw_only=True)
class Gain:
    """One group: the rows of its queries, both sides' means, and how many queries gain and lose from A to B."""

    group: int
    queries: tuple[int, ...]
    a: float
    b: float
    gained: int
    lost: int

    @property
    def difference(self) -> float:
        return self.b - self.a


def gains(a: Float64, b: Float64, groups: Int64) -> list[Gain]:
    """The groups of queries, the greatest gain first; values (S, Q) each, queries without positives left out.

    >>> found = gains(np.array([[0.5, 0.5, 1.0]]), np.array([[1.0, 0.5, 0.5]]), np.array([0, 0, 1]))
    >>> [(gain.group, gain.difference, gain.gained, gain.lost) for gain in found]
    [(0, 0.25, 1, 0), (1, -0.5, 0, 1)]
    """
    (left, right), kept = answered(a, b)
    rows = np.flatnonzero(kept)
    one, other = left.mean(axis=0), right.mean(axis=0)
    found = []
    for group in np.unique(groups[kept]):
        mine = groups[kept] == group
        change = other[mine] - one[mine]
        found.append(
            Gain(
                group=int(group),
                queries=tuple(int(row) for row in rows[mine]),
                a=float(one[mine].mean()),
                b=float(other[mine].mean()),
                gained=int((change > _NOTHING).sum()),
                lost=int((change < -_NOTHING).sum()),
            )
        )
    return sorted(found, key=lambda gain: (-gain.difference, gain.group))
