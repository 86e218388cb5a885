import json
from pathlib import Path

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from vitret.core.records import Ragged, Truth
from vitret.data.layout.truth import read_truth, truth_of_labels, truth_to_json


@settings(deadline=None)
@given(
    database=st.lists(st.integers(0, 4), min_size=1, max_size=12),
    queries=st.lists(st.tuples(st.integers(0, 5), st.integers(-1, 11)), min_size=1, max_size=6),
)
def test_labels_give_the_truth_of_a_naive_loop(database: list[int], queries: list[tuple[int, int]]):
    rows = [row if row < len(database) else -1 for _, row in queries]
    truth = truth_of_labels(np.array([label for label, _ in queries]), np.array(database), np.array(rows))
    for q, (label, _) in enumerate(queries):
        naive = [i for i, other in enumerate(database) if other == label and i != rows[q]]
        assert truth.judgements["positive"].row(q).tolist() == naive
        assert truth.judgements["junk"].row(q).tolist() == [row for row in [rows[q]] if row >= 0]


def test_without_own_rows_there_is_no_junk():
    truth = truth_of_labels(np.array([1]), np.array([1, 2, 1]), None)
    assert set(truth.judgements) == {"positive"}
    assert truth.judgements["positive"].row(0).tolist() == [0, 2]


def test_judgements_come_back_from_their_text(tmp_path: Path):
    truth = Truth(judgements={"easy": Ragged.of([[3, 1], []]), "hard": Ragged.of([[], [2]])})
    path = tmp_path / "truth.json"
    path.write_text(truth_to_json(truth))
    assert json.loads(path.read_text())["queries"] == [
        {"easy": [3, 1], "hard": []},
        {"easy": [], "hard": [2]},
    ]
    again = read_truth(path, {}, {})
    assert again.judgements["easy"].row(0).tolist() == [3, 1]
    assert again.queries == 2
