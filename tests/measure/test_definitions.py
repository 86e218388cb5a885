"""Definitions differ where they should; docs/metrics.md lists each with its users and source."""

from pathlib import Path

import numpy as np
import pytest

from vitret.core.errors import EmptyError
from vitret.core.records import EvalSet, Images, Ragged, Ranking, Truth
from vitret.measure.definitions import definitions, judge_ranking, values

PAGE = Path(__file__).resolve().parents[2] / "docs" / "metrics.md"


def evalset(judgements, *, queries, images, query_rows=None):
    return EvalSet(
        name="toy",
        queries=Images.of(Path(), [f"q{q}" for q in range(queries)]),
        database=Images.of(Path(), [str(i) for i in range(images)]),
        truth=Truth(judgements={kind: Ragged.of(rows) for kind, rows in judgements.items()}),
        query_rows=query_rows,
    )


def test_one_ranking_worked_on_paper():
    # The ranking of the official junk toy: 5 1 0 3 2 4, positives 0 and 2, junk 5 and 3.
    toy = evalset({"easy": [[0, 2], []], "hard": [[], []], "junk": [[3, 5], [1]]}, queries=2, images=6)
    ranking = Ranking(indices=np.array([[5, 1, 0, 3, 2, 4], [0, 1, 2, 3, 4, 5]]))
    found = {one.name: at["medium"] for one, at in values(judge_ranking(ranking, toy))}
    # Without junk 1 0 2 4: precision 1/2 and 2/3. With it: 1/3 at place 3, 2/5 at place 5.
    assert found["AP by rectangles"] == pytest.approx((1 / 2 + 2 / 3) / 2)
    assert found["AP by rectangles, empty as 0"] == pytest.approx((1 / 2 + 2 / 3) / 4)
    assert found["AP by rectangles, junk counted"] == pytest.approx((1 / 3 + 2 / 5) / 2)
    assert found["mAP"] == pytest.approx(0.41666667, abs=1e-8)
    assert found["mAP, junk counted"] == pytest.approx(((0 + 1 / 3) / 2 + (1 / 4 + 2 / 5) / 2) / 2)
    assert found["R-precision"] == 0.5
    assert found["MAP@R"] == 0.25
    assert found["MRR"] == 0.5
    assert (found["R@1"], found["R@5"]) == (0, 1)


def test_no_definition_lets_a_query_find_itself():
    # Query 0 is database image 0, its own junk; image 3 is junk that some definitions count.
    sets = [
        evalset({"positive": [[1]], "junk": [[0, 3]]}, queries=1, images=4, query_rows=np.array([0])),
        evalset({"positive": [[1]], "junk": [[0]]}, queries=1, images=4, query_rows=np.array([0])),
    ]
    ranking = Ranking(indices=np.array([[0, 3, 1, 2]]))
    with_junk, own_alone = (judge_ranking(ranking, one) for one in sets)
    assert with_junk.removed["all"].values.tolist() == [0]
    assert with_junk.counted["all"].values.tolist() == [1]
    assert own_alone.counted == {}
    assert not any(one.junk == "counted" for one, _ in values(own_alone))


def test_a_set_with_labels_gets_the_k_of_labelled_sets():
    toy = evalset({"positive": [[1]]}, queries=1, images=2)
    names = [one.name for one, _ in values(judge_ranking(Ranking(indices=np.array([[0, 1]])), toy))]
    assert {"R@1", "R@8", "R@1000"} <= set(names)
    assert len(names) == len(set(names))


def test_nothing_to_measure_is_no_table_of_nothing():
    toy = evalset({"positive": [[], []]}, queries=2, images=2)
    with pytest.raises(EmptyError, match="no query has a positive"):
        values(judge_ranking(Ranking(indices=np.array([[0, 1], [1, 0]])), toy))


def test_each_definition_is_in_the_page_with_users_and_source():
    text = PAGE.read_text(encoding="utf-8")
    for one in definitions():
        row = f"| {one.name} | {one.formula} | {one.used_by} | {one.source} |"
        assert row in text, row
