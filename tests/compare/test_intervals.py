"""Intervals over groups of queries and over seeds: against plain formulas, at the ends, and by simulation."""

import numpy as np
import pytest
from scipy import stats

from vitret.compare.intervals import Units, answered, interval, score_interval, spread
from vitret.core.errors import EmptyError, UserError

CLUSTERS, SIZE = 14, 5
GROUPS = np.repeat(np.arange(CLUSTERS), SIZE)


def beta_values(rng: np.random.Generator, *, rho: float, mean: float = 0.6) -> np.ndarray:
    """Values of one set, (Q,), uniform margins bent to a skewed beta, correlated by `rho` within a group."""
    own, shared = rng.standard_normal(CLUSTERS * SIZE), rng.standard_normal(CLUSTERS)[GROUPS]
    uniform = stats.norm.cdf(np.sqrt(rho) * shared + np.sqrt(1 - rho) * own)
    return stats.beta.ppf(uniform, 2 * mean, 2 * (1 - mean))


def test_independent_queries_have_the_classic_standard_error():
    values = np.random.default_rng(0).random((1, 40))
    found = spread(values, Units.of([np.arange(40)]))
    assert found.variance == pytest.approx(values.var(ddof=1) / 40)
    assert found.df == pytest.approx(39)


def test_equal_groups_have_the_standard_error_of_their_means():
    values = np.random.default_rng(1).random((1, CLUSTERS * SIZE))
    means = values.reshape(CLUSTERS, SIZE).mean(axis=1)
    found = spread(values, Units.of([GROUPS]))
    assert found.variance == pytest.approx(means.var(ddof=1) / CLUSTERS)
    assert found.df == pytest.approx(CLUSTERS - 1)


def test_two_sets_count_the_same_whatever_their_sizes():
    values = np.concatenate([np.ones(10), np.zeros(30)])[None]
    found = spread(values, Units.of([np.arange(10), np.arange(30)]))
    assert found.mean == pytest.approx(0.5)


def test_the_order_of_queries_and_the_numbers_of_groups_do_not_matter():
    rng = np.random.default_rng(2)
    values, order = rng.random(CLUSTERS * SIZE), rng.permutation(CLUSTERS * SIZE)
    assert interval(values, GROUPS) == pytest.approx(interval(values[order], 100 - GROUPS[order]))


def test_seeds_that_differ_widen_and_equal_seeds_do_not():
    values = np.random.default_rng(3).random(CLUSTERS * SIZE) / 2
    one = interval(values, GROUPS)
    same = interval(np.stack([values] * 3), GROUPS)
    apart = interval(np.stack([values, values + 0.2, values + 0.4]), GROUPS)
    assert same == pytest.approx(one)
    assert apart[1] - apart[0] > one[1] - one[0]


def test_all_right_is_not_certain():
    low, high = interval(np.ones(30))
    assert (round(low, 2), high) == (0.88, 1.0)
    assert interval(np.zeros(30)) == pytest.approx((1 - high, 1 - low))


def test_one_group_says_nothing():
    assert interval(np.array([0.2, 0.4, 0.3]), np.zeros(3, np.int64)) == pytest.approx((0, 1), abs=0.01)


def test_one_group_says_nothing_with_seeds_and_beside_another_set_either():
    rng = np.random.default_rng(3)
    seeds = 0.6 + 0.01 * rng.standard_normal((3, 5))
    assert interval(seeds, np.zeros(5, np.int64)) == pytest.approx((0, 1), abs=0.01)
    many = rng.random((1, 30))
    units = Units.of([np.arange(30), np.zeros(5, np.int64)])
    low, high = score_interval(spread(np.concatenate([many, seeds[:1]], axis=1), units), groups=units.groups)
    assert (low, high) == pytest.approx((0, 1), abs=0.01)


def test_nearly_all_right_is_no_more_certain_than_all_right():
    nearly = np.where(np.arange(30) < 1, 0.99, 1.0)
    assert interval(nearly) == pytest.approx(interval(np.ones(30)), abs=0.005)
    assert interval(1 - nearly) == pytest.approx(interval(np.zeros(30)), abs=0.005)
    assert interval(0.9 * nearly)[0] > 0.89


@pytest.mark.parametrize("groups", [12, 30, 70])
def test_what_seldom_goes_wrong_is_expected_where_it_did_not(groups: int):
    rng, held = np.random.default_rng(4), 0
    for _ in range(1000):
        values = np.where(rng.random(groups) < 0.03, 0, rng.uniform(0.95, 1, groups))
        low, high = interval(values)
        held += low <= 0.97 * 0.975 <= high
    assert held > 930


def test_queries_without_positives_are_left_out_and_must_be_the_same():
    assert interval(np.array([0.2, np.nan, 0.6, 0.4])) == interval(np.array([0.2, 0.6, 0.4]))
    with pytest.raises(EmptyError, match="no query has a positive"):
        interval(np.array([np.nan, np.nan]))
    with pytest.raises(UserError, match="not asked the same queries"):
        answered(np.array([0.2, np.nan]), np.array([0.2, 0.3]))


def wilson(values: np.ndarray, t: float) -> tuple[float, float]:
    """Wilson's interval, with as many answers as the variance of independent values tells."""
    p = values.mean()
    per = values.var(ddof=1) / len(values) / (p * (1 - p))
    half = np.sqrt(t**2 * per * p * (1 - p) + (t**2 * per / 2) ** 2)
    return (p + t**2 * per / 2 - half) / (1 + t**2 * per), (p + t**2 * per / 2 + half) / (1 + t**2 * per)


def test_even_values_have_wilsons_interval():
    even = np.tile([0.2, 0.4], 7)
    assert interval(even) == pytest.approx(wilson(even, stats.t.ppf(0.975, 13)))


def test_a_few_groups_that_carry_the_mean_move_the_end_on_their_side():
    few = np.where(np.arange(30) < 3, 0.6, 0.15)
    t = stats.t.ppf(0.975, 29)
    error = few.std(ddof=1) / np.sqrt(30)
    p = few.mean()
    # Skewness of the mean, less what Wilson's interval expects; it moves the upper end from t to T, where
    # T + k T²/3 + k² T³/27 + k/6 = −t. The factor 29 for 30 is that of the mean taken from the values themselves.
    k = ((few - p) ** 3).sum() / (30 * 29) ** 1.5 / error**3 - 1.5 * (1 - 2 * p) * error / (p * (1 - p))
    further = 3 / k * (np.cbrt(1 + k * (-t - k / 6)) - 1)
    assert further + k * further**2 / 3 + k**2 * further**3 / 27 + k / 6 == pytest.approx(-t)
    low, high = interval(few)
    assert (low, high) == pytest.approx((wilson(few, t)[0], wilson(few, -further)[1]))
    assert high > wilson(few, t)[1] + 0.01
    assert interval(1 - few) == pytest.approx((1 - high, 1 - low))


def test_one_odd_group_of_many_does_not_decide_alone():
    odd = np.where(np.arange(20) < 1, 0.5, 0.15)
    assert interval(odd)[1] < 0.25


@pytest.mark.parametrize("rho", [0.3, 0.6])
def test_intervals_cover_the_truth_where_those_of_single_queries_do_not(rho: float):
    rng = np.random.default_rng(7)
    draws = [beta_values(rng, rho=rho) for _ in range(600)]
    grouped = np.mean([low <= 0.6 <= high for low, high in (interval(one, GROUPS) for one in draws)])
    single = np.mean([low <= 0.6 <= high for low, high in (interval(one) for one in draws)])
    assert 0.93 <= grouped <= 0.97
    assert single < 0.90
