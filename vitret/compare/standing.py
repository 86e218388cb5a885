"""How the rows of a table stand to each other: all pairs tested, corrected by Holm, and the ranks that follow.

All pairs are tested and not only those with the best row: which row is best was seen in the same numbers.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from itertools import combinations

import numpy as np

from vitret.compare.intervals import Units, answered, score_interval, spread
from vitret.compare.paired import PairedTest, holm, paired_over, rank_intervals
from vitret.core.records import Float64, Int64

ONE_RUN = "One run each: this tells which checkpoint is better, not which method."
# Below so many groups a table says that its intervals are rough: in the simulation of docs/statistics.md they hold the
# truth so often.
FEW_GROUPS = 30
ROUGH = "93 to 99 %"


def few_groups(groups: Iterable[tuple[str, int]]) -> list[str]:
    """Where few groups answer, that intervals are rough; a sentence or none, from the groups of each set by its name.

    >>> few_groups([("shop", 29), ("town", 30)])[0][:45]
    'Fewer than 30 groups in shop: the intervals a'
    """
    few = [name for name, count in groups if 0 < count < FEW_GROUPS]
    if not few:
        return []
    return [
        f"Fewer than {FEW_GROUPS} groups in {', '.join(few)}: the intervals are rough. In simulations they "
        f"hold the truth {ROUGH} of the time, not 95 %, and of a kind that no group shows they know nothing."
    ]


def seeds_words(once: Sequence[str], *, others: bool) -> str:
    """What methods of one run tell, by their titles; empty where there is none of them.

    `others` says that beside them stands a method that was run several times, or one that is frozen.

    >>> seeds_words(["GeM", "SOLAR"], others=True)
    'One run of GeM, SOLAR: such a row tells of a checkpoint, not of a method.'
    """
    if not once:
        return ""
    if not others:
        return ONE_RUN
    return f"One run of {', '.join(once)}: such a row tells of a checkpoint, not of a method."


@dataclass(frozen=True, kw_only=True, eq=False)
class Answers:
    """Values of the primary number of one system, (S, Q), end to end over evaluation sets, and their units."""

    values: Float64
    units: Units

    @classmethod
    def of(cls, tables: Sequence[Float64], groups: Sequence[Int64]) -> Answers:
        """From the values (S, Q_k) and groups (Q_k,) of each set; queries without positives are left out."""
        values, numbers = [], []
        for table, group in zip(tables, groups, strict=True):
            (known,), kept = answered(table)
            values.append(known)
            numbers.append(group[kept])
        return cls(values=np.concatenate(values, axis=1), units=Units.of(numbers))

    @property
    def mean(self) -> float:
        """Mean of the sets' means over seeds: a set with more queries counts no more."""
        return float(spread(self.values, self.units).mean)

    @property
    def interval(self) -> tuple[float, float]:
        """The 95 % interval of `mean`."""
        low, high = score_interval(spread(self.values, self.units), groups=self.units.groups)
        return float(low), float(high)


@dataclass(frozen=True, kw_only=True)
class Standing:
    """One row among others: its test against each row above, in their order, and its first and last rank."""

    against: tuple[PairedTest, ...]
    ranks: tuple[int, int]

    @property
    def against_best(self) -> PairedTest | None:
        """The test against the first row; None for the first row itself."""
        return self.against[0] if self.against else None


def standings(rows: Sequence[Answers]) -> tuple[list[Standing], float | None]:
    """How rows stand, the best of them first; and the difference that a pair of them shows four times in five.

    The difference is the median over the pairs, and None where a row stands alone.
    """
    count = len(rows)
    pairs = list(combinations(range(count), 2))
    tests = [paired_over(rows[j].values, rows[i].values, rows[i].units) for i, j in pairs]
    corrected = [
        replace(test, p_value=p)
        for test, p in zip(tests, holm([test.p_value for test in tests]), strict=True)
    ]
    differences, p_values = np.zeros((count, count)), np.ones((count, count))
    for (i, j), test in zip(pairs, corrected, strict=True):
        differences[j, i], differences[i, j] = test.difference, -test.difference
        p_values[i, j] = p_values[j, i] = test.p_value
    against: list[list[PairedTest]] = [[] for _ in range(count)]
    for (_, j), test in zip(pairs, corrected, strict=True):
        against[j].append(test)
    found = [
        Standing(against=tuple(tests_above), ranks=ranks)
        for tests_above, ranks in zip(against, rank_intervals(differences, p_values), strict=True)
    ]
    return found, float(np.median([test.detectable for test in tests])) if tests else None
