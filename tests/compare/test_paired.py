"""Paired tests over groups and seeds, Holm's correction and the ranks that follow."""

import numpy as np
import pytest
from scipy import stats

from tests.compare.test_intervals import CLUSTERS, GROUPS, SIZE, beta_values
from vitret.compare.paired import holm, paired_test, rank_intervals


def test_with_one_query_a_group_it_is_the_paired_t_test():
    a, b = np.random.default_rng(0).random((2, 30))
    ours, theirs = paired_test(a, b), stats.ttest_rel(a, b)
    assert ours.p_value == pytest.approx(theirs.pvalue)
    assert (ours.low, ours.high) == pytest.approx(tuple(theirs.confidence_interval(0.95)))


def test_with_equal_groups_it_is_the_t_test_of_the_groups_differences():
    a, b = np.random.default_rng(1).random((2, CLUSTERS * SIZE))
    means = (a - b).reshape(CLUSTERS, SIZE).mean(axis=1)
    assert paired_test(a, b, GROUPS).p_value == pytest.approx(stats.ttest_1samp(means, 0).pvalue)


def test_a_system_is_not_better_than_itself():
    a = np.random.default_rng(2).random(20)
    test = paired_test(a, a)
    assert (test.difference, test.separated) == (0, False)
    assert test.low <= 0 <= test.high


def test_swapping_the_sides_swaps_the_signs():
    a, b = np.random.default_rng(3).random((2, 3, CLUSTERS * SIZE))
    one, other = paired_test(a, b, GROUPS), paired_test(b, a, GROUPS)
    assert (one.difference, one.low, one.high) == pytest.approx((-other.difference, -other.high, -other.low))
    assert one.p_value == pytest.approx(other.p_value)


@pytest.mark.parametrize("groups", [np.zeros(1, np.int64), None])
def test_one_query_separates_nothing(groups: np.ndarray | None):
    test = paired_test(np.array([0.9]), np.array([0.1]), groups)
    assert not test.separated
    assert test.low < 0 < test.high


def test_one_group_separates_nothing():
    a = np.array([0.9, 0.8, 0.95])
    assert not paired_test(a, a - 0.5, np.zeros(3, np.int64)).separated


def test_a_lucky_seed_is_not_a_better_method():
    values = np.random.default_rng(4).random(CLUSTERS * SIZE) / 2
    lucky = np.stack([values, values, values + 0.3])
    steady = np.stack([values] * 3)
    assert paired_test(lucky[2], steady[0], GROUPS).separated
    assert not paired_test(lucky, steady, GROUPS).separated


@pytest.mark.parametrize("rho", [0.0, 0.6])
def test_equal_systems_are_seldom_told_apart(rho: float):
    rng = np.random.default_rng(11)
    found = [
        paired_test(beta_values(rng, rho=rho), beta_values(rng, rho=rho), GROUPS).separated
        for _ in range(600)
    ]
    assert 0.03 <= np.mean(found) <= 0.075


def test_holm_is_never_below_the_p_values_and_keeps_their_order():
    p = [0.04, 0.01, 0.2, 0.03]
    adjusted = holm(p)
    assert adjusted == pytest.approx([0.09, 0.04, 0.2, 0.09])
    assert holm([]) == []


def test_ranks_are_as_wide_as_the_tests_leave_them():
    differences = np.array([[0, 0.1, 0.3], [-0.1, 0, 0.2], [-0.3, -0.2, 0]])
    p = np.array([[1, 0.5, 0.01], [0.5, 1, 0.02], [0.01, 0.02, 1]])
    assert rank_intervals(differences, p) == [(1, 2), (1, 2), (3, 3)]
