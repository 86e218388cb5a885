"""How sure a mean is: an interval over groups of queries and over seeds; docs/statistics.md says why this one.

Variance over groups: bias-reduced linearisation (Bell and McCaffrey, Survey Methodology 2002), for few groups and
groups of unequal size; as two-way variance with the seeds: Cameron and Miller, Journal of Human Resources 2015.
Interval: the score interval of Wilson, JASA 1927, with the effective number of queries that the variance tells (as
Korn and Graubard, Survey Methodology 1998, do for proportions) and a t quantile. Where groups are more skewed than such
an interval expects, as the few easy ones among hard queries are, Hall's correction for skewness (Journal of the Royal
Statistical Society B 1992) moves the end on that side further out. Where most groups lie near 0 or 1, the few that do
not may be missing from the sample: there a group counts for no more than one right or wrong answer.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.special import stdtrit

from vitret.core.errors import EmptyError, UserError
from vitret.core.records import Float64, Int64

LEVEL = 0.95
# Below this, sums of squares of rounding errors.
_NOTHING = 1e-24
# Less skewness than this corrects nothing that could be printed.
_STRAIGHT = 1e-6
# From here on a group is no longer near to 0 or 1.
_NEAR = 0.1
# A quantile that leaves nothing out: that of one group, which has no degree of freedom.
_ENDLESS = 1e6


@dataclass(frozen=True, kw_only=True, eq=False)
class Units:
    """How queries fall into groups, and groups into evaluation sets, whose means count the same.

    `order` (Q,) sorts the queries by group, `starts` (G,) is where each group begins in that order, `sizes` (G,) its
    queries, `sets` (G,) the number 0…K−1 of its evaluation set.
    """

    order: Int64
    starts: Int64
    sizes: Int64
    sets: Int64

    @classmethod
    def of(cls, groups: Sequence[Int64]) -> Units:
        """Units of one array of group numbers (Q_k,) for each evaluation set; groups of two sets are never one.

        >>> Units.of([np.array([0, 1, 0])]).sizes.tolist()
        [2, 1]
        """
        if not groups or any(len(one) == 0 for one in groups):
            raise EmptyError("no query has a positive: there is nothing to measure.")
        set_of_query = np.repeat(np.arange(len(groups)), [len(one) for one in groups])
        order = np.lexsort((np.concatenate(groups), set_of_query))
        group, owner = np.concatenate(groups)[order], set_of_query[order]
        new = np.r_[True, (np.diff(group) != 0) | (np.diff(owner) != 0)]
        starts = np.flatnonzero(new).astype(np.int64)
        return cls(
            order=order.astype(np.int64),
            starts=starts,
            sizes=np.diff(np.r_[starts, len(order)]).astype(np.int64),
            sets=owner[starts].astype(np.int64),
        )

    @property
    def groups(self) -> int:
        """How many groups there are, over all sets."""
        return len(self.sizes)

    @property
    def queries_of_set(self) -> Float64:
        """Queries of each evaluation set, (K,)."""
        return np.bincount(self.sets, weights=self.sizes).astype(np.float64)

    @property
    def shares(self) -> Float64:
        """Share of each group in the queries of its set, (G,)."""
        return self.sizes / self.queries_of_set[self.sets]

    def set_means(self, values: Float64) -> tuple[Float64, Float64]:
        """Sums of each group (…, G) and means of each set (…, K) of values (…, Q)."""
        sums = np.add.reduceat(values[..., self.order], self.starts, axis=-1)
        first_groups = np.flatnonzero(np.r_[True, np.diff(self.sets) != 0])
        return sums, np.add.reduceat(sums, first_groups, axis=-1) / self.queries_of_set

    def deviations(self, values: Float64) -> tuple[Float64, Float64, Float64]:
        """Mean (…) of values (…, Q), and of each group its mean and what it adds to the error (…, G).

        The squares of the latter add up to a variance.

        A group's share inflates its own residual, which is small because the group pulled the mean (Bell–McCaffrey).
        """
        sums, means = self.set_means(values)
        sets = means.shape[-1]
        centred = (sums - self.sizes * means[..., self.sets]) / (sets * self.queries_of_set[self.sets])
        with np.errstate(divide="ignore", invalid="ignore"):
            grown = np.where(self.shares < 1, centred / np.sqrt(1 - self.shares), 0.0)
        return means.mean(axis=-1), sums / self.sizes, grown

    def degrees(self) -> Float64:
        """Degrees of freedom of each set's variance, (K,): groups − 1 for equal sizes, fewer for unequal; 0 for one.

        Bell and McCaffrey's, for queries of one group that agree wholly, the case with the fewest.
        """
        found = []
        for k in range(len(self.queries_of_set)):
            share = self.shares[self.sets == k]
            if len(share) < 2:
                found.append(0.0)
                continue
            # M = cov of the deviations = diag(d) − ab' − ba' + T aa'; degrees = tr(M)² / tr(M²), in closed form.
            spread, grow = share**2, 1 / np.sqrt(1 - share)
            a, b, d, total = grow * share, grow * spread, grow**2 * spread, spread.sum()
            low_rank = -2 * a * b + total * a**2
            aa, ab, bb = a @ a, a @ b, b @ b
            square = (
                d @ d + 2 * d @ low_rank + 2 * ab**2 + 2 * aa * bb + total**2 * aa**2 - 4 * total * ab * aa
            )
            found.append(float((d.sum() + low_rank.sum()) ** 2 / square))
        return np.array(found)


@dataclass(frozen=True, kw_only=True, eq=False)
class Spread:
    """A mean, its squared standard error over groups and over seeds, and their degrees of freedom; each (…).

    `third` is the third central moment of the mean over groups; seeds are taken as symmetric. `near_zero` and
    `near_one` tell how near to these ends the groups lie, 1 where all lie there, 0 where none is nearer than `_NEAR`.
    `seeds_whole` is the variance over seeds before what seeds and groups do together was taken out of it: it varies
    less by chance, and degrees of freedom follow from it. From `over_seeds`, which is zero by chance half of the time
    where seeds differ little, they would be too many when the variance is too small.
    """

    mean: Float64
    over_groups: Float64
    third: Float64
    near_zero: Float64
    near_one: Float64
    groups_df: Float64
    over_seeds: Float64
    seeds_whole: Float64
    seeds_df: float | Float64

    @property
    def variance(self) -> Float64:
        return self.over_groups + self.over_seeds

    @property
    def df(self) -> Float64:
        """Degrees of freedom of the sum: Satterthwaite, Biometrics 1946. 0 where a set has one group alone."""
        both = satterthwaite([(self.over_groups, self.groups_df), (self.seeds_whole, self.seeds_df)])
        return np.where(np.asarray(self.groups_df) == 0, 0.0, both)

    @property
    def varied(self) -> NDArray[np.bool_]:
        """Where a standard error can be told: groups or seeds differ, and no set has one group alone."""
        return (self.variance > _NOTHING) & (self.df > 0)


def satterthwaite(parts: Sequence[tuple[Float64, Any]]) -> Float64:
    """Degrees of freedom of a sum of variances, each with its own; parts that are zero do not count."""
    total = sum((variance for variance, _ in parts), np.zeros(()))
    below = np.zeros_like(total, dtype=np.float64)
    for variance, df in parts:
        below = below + variance**2 / np.maximum(df, 1e-9)
    first_df = np.broadcast_to(np.asarray(parts[0][1], dtype=np.float64), total.shape)
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.where(total > _NOTHING, total**2 / below, first_df)


def spread(values: Float64, units: Units) -> Spread:
    """The mean of values (…, S, Q) over seeds and queries, and what is known of its error."""
    means, of_seeds, deviations = units.deviations(values)
    seeds = means.shape[-1]
    of_groups = of_seeds.mean(axis=-2)
    near_zero, near_one = (np.clip(1 - d / _NEAR, 0, 1).mean(axis=-1) for d in (of_groups, 1 - of_groups))
    mean_deviation = deviations.mean(axis=-2)
    over_groups, groups_df = _over_groups(mean_deviation, units)
    third = (mean_deviation**3).sum(axis=-1)
    if seeds == 1:
        nothing = np.zeros_like(over_groups)
        return Spread(
            mean=means[..., 0],
            over_groups=over_groups,
            third=third,
            near_zero=near_zero,
            near_one=near_one,
            groups_df=groups_df,
            over_seeds=nothing,
            seeds_whole=nothing,
            seeds_df=0,
        )
    own = means.var(axis=-1, ddof=1) / seeds
    # What seeds and groups do together is in both; once is enough.
    both = ((deviations - mean_deviation[..., None, :]) ** 2).sum(axis=(-1, -2)) / (seeds * (seeds - 1))
    return Spread(
        mean=means.mean(axis=-1),
        over_groups=over_groups,
        third=third,
        near_zero=near_zero,
        near_one=near_one,
        groups_df=groups_df,
        over_seeds=np.maximum(0.0, own - both),
        seeds_whole=own,
        seeds_df=seeds - 1,
    )


def _over_groups(deviations: Float64, units: Units) -> tuple[Float64, Float64]:
    """The variance that deviations (…, G) add up to, and its degrees of freedom; 0 where a set has one group."""
    degrees = units.degrees()
    of_set = [(deviations[..., units.sets == k] ** 2).sum(axis=-1) for k in range(len(degrees))]
    variance = sum(of_set, np.zeros(deviations.shape[:-1]))
    if (degrees == 0).any():
        return variance, np.zeros_like(variance)
    return variance, satterthwaite([(v, df) for v, df in zip(of_set, degrees, strict=True)])


def t_quantile(df: Float64, level: float = LEVEL) -> Float64:
    """Two-sided quantile of Student's t; the normal's quantile for endless degrees of freedom."""
    return np.asarray(np.minimum(stdtrit(np.maximum(df, 1e-3), (1 + level) / 2), _ENDLESS))


def score_interval(found: Spread, *, groups: int, level: float = LEVEL) -> tuple[Float64, Float64]:
    """Wilson's interval of a mean of values in [0, 1]; where nothing varies, that of as many answers as groups.

    >>> low, high = score_interval(spread(np.ones((1, 30)), Units.of([np.arange(30)])), groups=30)
    >>> f"{low:.3f} {high:.3f}"
    '0.878 1.000'
    """
    p = np.clip(found.mean, 0.0, 1.0)
    varied = found.varied
    # One over the effective number of answers; 1 / groups where no variance can be seen.
    per = np.where(varied, np.where(varied, found.variance, 1.0) / _inside(p), 1.0 / groups)
    t = t_quantile(found.df, level)
    low, high = (
        _farther(
            _wilson_end(p, per, sign * skewed),
            _wilson_end(p, np.maximum(per, near**2 / groups), sign * t),
            sign,
        )
        for sign, skewed, near in zip(
            (-1, 1), _end_quantiles(found, p, t), (found.near_one, found.near_zero), strict=True
        )
    )
    # Rounding must not leave the mean outside its own interval.
    return np.minimum(np.maximum(0.0, low), p), np.maximum(np.minimum(1.0, high), p)


def _wilson_end(p: Float64, per: Float64, t: Float64) -> Float64:
    """The end of Wilson's interval that lies `t` standard errors above (or below) `p` of 1 / `per` answers."""
    square = t**2
    half = np.sqrt(square * per * p * (1 - p) + (square * per / 2) ** 2)
    end: Float64 = (p + square * per / 2 + np.sign(t) * half) / (1 + square * per)
    return end


def _farther(one: Float64, other: Float64, sign: int) -> Float64:
    return sign * np.maximum(sign * one, sign * other)


def _inside(p: Float64) -> Float64:
    return np.maximum(p * (1 - p), _NOTHING)


def _end_quantiles(found: Spread, p: Float64, t: Float64) -> tuple[Float64, Float64]:
    """How many standard errors the lower and the upper end lie away: t, or more where the groups are more skewed.

    With k the skewness of the mean, T + k T²/3 + k² T³/27 + k/6 is nearly normal where T = (mean − truth) / error is
    not (Hall); here that is solved for T. Wilson's interval does as much for k = 1.5 (1 − 2p) error / p (1 − p), so
    only what groups show beyond it counts. No end comes nearer than t.
    """
    varied = found.varied
    error = np.sqrt(np.where(varied, found.variance, 1.0))
    seen = np.where(varied, found.third, 0.0) / error**3
    expected = 1.5 * (1 - 2 * p) * error / _inside(p)
    same_side = np.sign(seen) == np.sign(expected)
    more = np.where(same_side, np.sign(seen) * np.maximum(np.abs(seen) - np.abs(expected), 0.0), seen)
    skewed = np.abs(more) > _STRAIGHT
    k = np.where(skewed, more, 1.0)
    # Beyond three errors by the skewness the cubic tells nothing, and one odd group of many would decide alone.
    farthest = 3 / np.maximum(np.abs(seen), _STRAIGHT)
    lower, upper = (
        np.where(skewed, np.minimum(np.abs(3 / k * (np.cbrt(1 + k * (y - k / 6)) - 1)), farthest), t)
        for y in (t, -t)
    )
    return np.maximum(t, lower), np.maximum(t, upper)


def interval(values: Float64, groups: Int64 | None = None) -> tuple[float, float]:
    """The 95 % interval of a mean over queries: values (Q,), or (S, Q) for S seeds; NaN queries are left out.

    `groups` (Q,) tells which queries ask about one thing; without, each is a group of its own.
    Raises `EmptyError` where no query is left.
    >>> low, high = interval(np.array([0.0, 1.0] * 35))
    >>> f"{low:.2f} {high:.2f}"
    '0.38 0.62'
    """
    (table,), kept = answered(values)
    groups = np.arange(len(kept)) if groups is None else groups
    units = Units.of([groups[kept]])
    low, high = score_interval(spread(table, units), groups=units.groups)
    return float(low), float(high)


def answered(*systems: Float64) -> tuple[list[Float64], NDArray[np.bool_]]:
    """Each system's values as (S, Q') over the queries that have values, and which of the Q those are.

    Raises `UserError` where the queries differ in number or in which of them have positives.
    """
    tables = [np.atleast_2d(np.asarray(values, dtype=np.float64)) for values in systems]
    absent = np.isnan(tables[0][0])
    for table in tables:
        if table.shape[1] != len(absent) or (np.isnan(table) != absent).any():
            raise UserError(
                "the two sides were not asked the same queries, so no paired test can be made. Compare rows of one "
                "evaluation set and level."
            )
    if absent.all():
        raise EmptyError("no query has a positive: there is nothing to measure.")
    return [table[:, ~absent] for table in tables], ~absent
