"""Whether systems differ: paired tests over groups and seeds, Holm's correction, ranks with intervals.

Both systems are asked the same queries, so the groups' differences are tested, by t with the variance of
`vitret.compare.intervals`. Each system's seeds are its own and are not paired.
Holm, Scandinavian Journal of Statistics 1979; ranks from pairwise tests as Mohamad, Goeman and van Zwet propose.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from scipy.special import stdtr, stdtrit

from vitret.compare.intervals import LEVEL, Spread, Units, answered, satterthwaite, spread, t_quantile
from vitret.core.records import Float64, Int64

POWER = 0.8
_NOTHING = 1e-24


@dataclass(frozen=True, kw_only=True)
class PairedTest:
    """The mean difference a − b with its interval and two-sided p, as fractions; `error` is its standard error.

    `p_value` is corrected where the test stands among others, the interval never is.
    """

    difference: float
    low: float
    high: float
    p_value: float
    error: float
    df: float

    @property
    def points(self) -> str:
        """The difference in per cent points, with its interval."""
        return f"{100 * self.difference:+.1f} [{100 * self.low:+.1f}, {100 * self.high:+.1f}]"

    @property
    def separated(self) -> bool:
        """True where the systems differ at 5 %."""
        return self.p_value < 1 - LEVEL

    @property
    def detectable(self) -> float:
        """The true difference that such a test would find four times in five; 1 where none can be found."""
        if self.df < 1e-3:
            return 1.0
        if self.error**2 <= _NOTHING:
            return min(1.0, (self.high - self.low) / 2)
        return float(min(1.0, (t_quantile(np.array(self.df)) + stdtrit(self.df, POWER)) * self.error))


def paired_test(a: Float64, b: Float64, groups: Int64 | None = None) -> PairedTest:
    """Test two systems on the queries of one set: values (Q,), or (S, Q) each with seeds of its own.

    Raises `UserError` where the queries differ in number or in which of them have positives.
    >>> test = paired_test(np.array([0.4, 0.6, 0.9, 0.3]), np.array([0.3, 0.5, 0.7, 0.2]))
    >>> f"{test.difference:.3f} {test.separated}"
    '0.125 True'
    """
    (left, right), kept = answered(a, b)
    groups = np.arange(len(kept)) if groups is None else groups
    return paired_over(left, right, Units.of([groups[kept]]))


def paired_over(a: Float64, b: Float64, units: Units) -> PairedTest:
    """Test two systems, values (S, Q) each, over the units of one or several sets."""
    found = difference(a, b, units)
    low, high, p_value = verdict(found, groups=units.groups)
    return PairedTest(
        difference=float(found.mean),
        low=float(low),
        high=float(high),
        p_value=float(p_value),
        error=float(np.sqrt(found.variance)),
        df=float(found.df),
    )


def difference(a: Float64, b: Float64, units: Units) -> Spread:
    """The mean of a − b, values (…, S, Q) and (…, S', Q): over groups paired, over seeds each for itself."""
    over_queries = spread(a.mean(axis=-2, keepdims=True) - b.mean(axis=-2, keepdims=True), units)
    own = [one for one in (spread(a, units), spread(b, units)) if one.seeds_df]
    if not own:
        return over_queries
    return replace(
        over_queries,
        over_seeds=sum((one.over_seeds for one in own), np.zeros(())),
        seeds_whole=sum((one.seeds_whole for one in own), np.zeros(())),
        seeds_df=satterthwaite([(one.seeds_whole, one.seeds_df) for one in own]),
    )


def verdict(found: Spread, *, groups: int) -> tuple[Float64, Float64, Float64]:
    """Interval and p of a difference; where no group differs from another, as far as so many groups can tell."""
    # Rounding must not separate what is equal: a system is not better than itself.
    mean = np.where(np.abs(found.mean) < 1e-12, 0.0, found.mean)
    t = t_quantile(found.df)
    varied = found.varied
    error = np.sqrt(np.where(varied, found.variance, 1.0))
    # With nothing seen to vary, up to t² / (groups + t²) of the groups may still answer otherwise (Wilson at zero).
    half = np.where(varied, t * error, t**2 / (groups + t**2))
    with np.errstate(divide="ignore", invalid="ignore"):
        unseen = np.sqrt(groups * np.abs(mean) / np.maximum(1 - np.abs(mean), 1e-12))
    p_value = 2 * stdtr(np.maximum(found.df, 1e-3), -np.where(varied, np.abs(mean) / error, unseen))
    # Signs of that many groups cannot say more.
    p_value = np.where(varied, p_value, np.maximum(p_value, 2.0 ** (1 - min(groups, 1000))))
    return np.maximum(-1.0, mean - half), np.minimum(1.0, mean + half), np.minimum(1.0, p_value)


def holm(p_values: Sequence[float]) -> list[float]:
    """Holm's adjusted p-values, in the order given.

    >>> [round(p, 3) for p in holm([0.01, 0.04, 0.03])]
    [0.03, 0.06, 0.06]
    """
    order = np.argsort(p_values, kind="stable")
    adjusted = np.empty(len(p_values))
    before = 0.0
    for position, i in enumerate(order):
        before = max(before, min(1.0, (len(p_values) - position) * p_values[i]))
        adjusted[i] = before
    return adjusted.tolist()


def rank_intervals(differences: Float64, p_values: Float64) -> list[tuple[int, int]]:
    """First and last rank that each of R systems may have: those surely better stand above, those surely worse below.

    `differences` (R, R) is row − column, `p_values` (R, R) corrected over all pairs.
    """
    sure = p_values < 1 - LEVEL
    better = (sure & (differences < 0)).sum(axis=1)
    worse = (sure & (differences > 0)).sum(axis=1)
    return [(int(1 + up), int(len(differences) - down)) for up, down in zip(better, worse, strict=True)]
