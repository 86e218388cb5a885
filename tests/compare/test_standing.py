"""How the rows of one table stand to each other."""

import numpy as np
import pytest

from vitret.compare.standing import Answers, standings


def answers(*values: float, queries: int = 30) -> Answers:
    """One system whose queries all have nearly `values[seed]`."""
    noise = np.linspace(-0.05, 0.05, queries)
    return Answers.of(
        [np.array([value + noise * (-1) ** np.arange(queries) for value in values])], [np.arange(queries)]
    )


def test_rows_far_apart_have_ranks_of_their_own():
    found, detectable = standings([answers(0.8, 0.81), answers(0.5, 0.52), answers(0.2, 0.21)])
    assert [one.ranks for one in found] == [(1, 1), (2, 2), (3, 3)]
    assert found[0].against_best is None
    assert found[2].against_best is not None
    assert found[2].against_best.difference == pytest.approx(-0.6)
    assert detectable is not None
    assert 0 < detectable < 0.3


def test_a_row_alone_has_nothing_to_stand_against():
    found, detectable = standings([answers(0.8)])
    assert (found[0].against_best, found[0].ranks, detectable) == (None, (1, 1), None)


def test_one_query_leaves_every_rank_open():
    found, _ = standings([answers(0.8, queries=1), answers(0.2, queries=1)])
    assert [one.ranks for one in found] == [(1, 2), (1, 2)]


def test_one_group_leaves_every_rank_open_whatever_its_seeds_say():
    def system(value: float) -> Answers:
        noise = 0.01 * np.random.default_rng(round(100 * value)).standard_normal((3, 5))
        return Answers.of([value + noise], [np.zeros(5, np.int64)])

    found, detectable = standings([system(0.8), system(0.2)])
    assert [one.ranks for one in found] == [(1, 2), (1, 2)]
    assert detectable == 1


def test_each_set_counts_the_same_and_queries_without_positives_do_not():
    values = [np.array([[1.0, np.nan]]), np.array([[0.0, 0.0, 0.0]])]
    assert Answers.of(values, [np.arange(2), np.arange(3)]).mean == pytest.approx(0.5)
