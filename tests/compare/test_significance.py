import numpy as np
import pytest
from scipy import stats

from vitret.compare.significance import (
    bootstrap_interval,
    bootstrap_intervals,
    paired_bootstrap,
)
from vitret.core.errors import EmptyError, UserError


def test_the_interval_of_a_mean_agrees_with_its_standard_error():
    values = np.random.default_rng(0).random(400)
    low, high = bootstrap_interval(values, seed=1)
    error = values.std() / np.sqrt(400)
    assert low == pytest.approx(values.mean() - 1.96 * error, abs=0.1 * error)
    assert high == pytest.approx(values.mean() + 1.96 * error, abs=0.1 * error)


def test_equal_values_have_no_width_and_the_seed_decides():
    assert bootstrap_interval(np.full(9, 0.25), seed=0) == pytest.approx((0.25, 0.25), abs=1e-15)
    values = np.random.default_rng(0).random(30)
    assert bootstrap_interval(values, seed=3) == bootstrap_interval(values, seed=3)
    assert bootstrap_interval(values, seed=3) != bootstrap_interval(values, seed=4)


def test_the_interval_is_that_of_scipy():
    values = np.random.default_rng(0).beta(0.5, 0.7, 70)
    theirs = stats.bootstrap(
        (values,), np.mean, n_resamples=10_000, method="percentile", rng=np.random.default_rng(5)
    ).confidence_interval
    assert bootstrap_interval(values, seed=5) == pytest.approx((theirs.low, theirs.high), abs=1e-15)


def test_intervals_of_several_metrics_are_those_of_each():
    rng = np.random.default_rng(0)
    columns = [rng.random(40), rng.random((3, 40))]
    together = bootstrap_intervals(columns, seed=2)
    assert together[0] == pytest.approx(bootstrap_interval(columns[0], seed=2))
    assert all(low < np.mean(column) < high for column, (low, high) in zip(columns, together, strict=True))


def test_queries_without_positives_are_left_out():
    values = np.random.default_rng(0).random(30)
    with_gaps = np.full(35, np.nan)
    with_gaps[np.arange(30) + np.arange(30) // 6] = values
    assert bootstrap_interval(with_gaps, seed=0) == bootstrap_interval(values, seed=0)
    with pytest.raises(EmptyError, match="no query"):
        bootstrap_interval(np.array([np.nan]), seed=0)


def test_95_percent_intervals_cover_the_mean_of_70_skewed_values():
    # Values as average precisions lie: many near 0 and near 1. Mean of Beta(0.5, 0.7) is 5/12.
    rng = np.random.default_rng(0)
    covered = 0
    for i in range(500):
        low, high = bootstrap_interval(rng.beta(0.5, 0.7, 70), seed=i, resamples=400)
        covered += low <= 5 / 12 <= high
    assert 0.91 <= covered / 500 <= 0.98


def test_the_paired_test_rejects_a_true_null_at_its_level():
    rng = np.random.default_rng(1)
    separated = 0
    for i in range(500):
        difficulty = rng.random(70)
        a, b = (np.clip(difficulty + rng.normal(0, 0.1, 70), 0, 1) for _ in range(2))
        separated += paired_bootstrap(a, b, seed=i, resamples=400).separated
    assert 0.02 <= separated / 500 <= 0.09


def test_pairing_separates_what_intervals_cannot():
    rng = np.random.default_rng(2)
    difficulty = rng.random(70)
    a, b = difficulty + 0.02 + rng.normal(0, 0.01, 70), difficulty
    (low_a, _), (_, high_b) = bootstrap_interval(a, seed=0), bootstrap_interval(b, seed=0)
    assert low_a < high_b  # the intervals overlap widely
    test = paired_bootstrap(a, b, seed=0)
    assert test.separated
    assert test.difference == pytest.approx(0.02, abs=0.005)
    assert test.p_value == pytest.approx(2 / 10_001)


def test_a_system_does_not_differ_from_itself():
    values = np.random.default_rng(0).random(20)
    test = paired_bootstrap(values, values, seed=0)
    assert (test.difference, test.low, test.high, test.p_value) == (0.0, 0.0, 0.0, 1.0)
    assert not test.separated


def test_swapping_the_sides_swaps_the_sign():
    rng = np.random.default_rng(4)
    a, b = rng.random(50), rng.random(50)
    forth, back = paired_bootstrap(a, b, seed=7), paired_bootstrap(b, a, seed=7)
    assert forth.difference == pytest.approx(-back.difference)
    assert (forth.low, forth.high) == pytest.approx((-back.high, -back.low))
    assert forth.p_value == back.p_value


def test_p_against_a_slow_loop():
    rng = np.random.default_rng(5)
    a, b = rng.random(12) + 0.1, rng.random(12)
    slow = np.random.default_rng(6)
    differences = np.array([np.mean((a - b)[slow.integers(0, 12, 12)]) for _ in range(20_000)])
    expected = 2 * min((differences <= 0).mean(), (differences >= 0).mean())
    assert paired_bootstrap(a, b, seed=0, resamples=20_000).p_value == pytest.approx(expected, abs=0.01)


def test_seeds_that_disagree_widen_the_interval():
    rng = np.random.default_rng(8)
    queries = rng.random(70)
    agreeing = np.stack([queries, queries, queries])
    spread = np.stack([queries - 0.1, queries, queries + 0.1])
    assert bootstrap_interval(agreeing, seed=0) == pytest.approx(
        bootstrap_interval(queries, seed=0), abs=0.01
    )
    narrow, wide = (np.diff(bootstrap_interval(values, seed=0))[0] for values in (agreeing, spread))
    assert wide > 1.2 * narrow
    # Three seeds against three: the mean gap is clear although single seeds cross.
    assert paired_bootstrap(spread + 0.5, spread, seed=0).separated
    assert not paired_bootstrap(spread + 0.01, spread, seed=0).separated


def test_sides_of_different_queries_are_refused():
    with pytest.raises(UserError, match="same queries"):
        paired_bootstrap(np.ones(3), np.ones(4), seed=0)
    with pytest.raises(UserError, match="same queries"):
        paired_bootstrap(np.array([1.0, np.nan]), np.ones(2), seed=0)
