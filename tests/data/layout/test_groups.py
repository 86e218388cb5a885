"""Which queries ask about one thing: by labels, by shared positives, and on the real ground truth."""

from pathlib import Path

import numpy as np
import pytest

from vitret.core.records import Ragged, Truth
from vitret.data.layout.groups import BY_COLUMN, BY_LABEL, BY_POSITIVES, groups_of
from vitret.measure.bare import truth_of_file


def revisited(easy: list[list[int]], *, hard: list[list[int]], junk: list[list[int]]) -> Truth:
    return Truth(judgements={"easy": Ragged.of(easy), "hard": Ragged.of(hard), "junk": Ragged.of(junk)})


def test_labels_are_groups():
    truth = Truth(judgements={"positive": Ragged.of([[1], [0], [3]])})
    groups, rule = groups_of(truth, np.array([7, 7, 2]))
    assert (groups.tolist(), rule) == ([0, 0, 1], BY_LABEL)


def test_given_groups_come_before_labels_and_a_query_without_one_stands_alone():
    truth = Truth(judgements={"positive": Ragged.of([[1]] * 5)})
    groups, rule = groups_of(truth, np.array([7, 7, 2, 2, 2]), np.array([4, -1, 4, -1, 0]))
    assert (groups.tolist(), rule) == ([0, 1, 0, 2, 3], BY_COLUMN)


def test_half_of_the_smaller_set_of_positives_links_and_links_chain():
    easy, hard = [[0, 1], [1], [], [3]], [[2, 3], [2, 4, 5, 6, 7], [6, 7, 8], [20, 21, 22]]
    truth = revisited(easy, hard=hard, junk=[[9]] * 4)
    groups, rule = groups_of(truth, None)
    assert (groups.tolist(), rule) == ([0, 0, 0, 1], BY_POSITIVES)


def test_junk_and_queries_without_positives_link_nothing():
    truth = revisited([[], [], [1]], hard=[[], [], []], junk=[[0, 1], [0, 1], []])
    assert groups_of(truth, None)[0].tolist() == [0, 1, 2]


@pytest.mark.parametrize(
    ("name", "sizes"),
    [
        ("roxford5k", [8, 8, 4, 1, 5, 8, 5, 8, 5, 5, 5, 8]),
        ("rparis6k", [8, 8, 5, 5, 5, 5, 8, 8, 5, 5, 8]),
    ],
)
def test_the_revisited_sets_have_a_group_for_each_landmark(shared: Path, name: str, sizes: list[int]):
    evalset = truth_of_file(shared / "groundtruth" / f"gnd_{name}.pkl")
    groups, _ = groups_of(evalset.truth, None)
    assert np.bincount(groups).tolist() == sizes
