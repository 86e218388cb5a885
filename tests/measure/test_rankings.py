"""Rankings in files: what is read, what is turned, and what is refused in one line."""

import numpy as np
import pytest

from vitret.core.errors import DataError
from vitret.measure.rankings import read_ranking

RANKS = np.array([[2, 0, 1], [1, 2, 3]])


def read(path, *, queries=2, images=4):
    return read_ranking(str(path), queries=queries, images=images)


@pytest.mark.parametrize("kind", [np.int64, np.int32, np.uint16, np.float64])
def test_whole_numbers_of_any_type(tmp_path, kind):
    np.save(tmp_path / "r.npy", RANKS.astype(kind))
    found = read(tmp_path / "r.npy")
    assert found.ranking.indices.dtype == np.int64
    assert found.ranking.indices.tolist() == RANKS.tolist()
    assert found.notes == ()


def test_the_array_of_revisitop_is_turned(tmp_path):
    np.savez(tmp_path / "r.npz", ranks=RANKS.T, scores=np.zeros((3, 2, 1)))
    found = read(tmp_path / "r.npz")
    assert found.ranking.indices.tolist() == RANKS.tolist()
    assert "turned" in found.notes[0]


def test_a_named_array_of_several(tmp_path):
    np.savez(tmp_path / "r.npz", a=RANKS, b=RANKS[:, ::-1])
    assert read(f"{tmp_path / 'r.npz'}:b").ranking.indices[0].tolist() == [1, 0, 2]
    with pytest.raises(DataError, match="which array holds the ranking"):
        read(tmp_path / "r.npz")


@pytest.mark.parametrize("text", ["2,0,1\n1\n", "2;0;1\r\n1\r\n", "2 0 1\n1", "2\t0\t1\n1\t-1\n"])
def test_lines_of_different_length(tmp_path, text):
    (tmp_path / "r.csv").write_text(text, newline="")
    assert read(tmp_path / "r.csv").ranking.indices.tolist() == [[2, 0, 1], [1, -1, -1]]


def test_a_query_that_found_nothing_is_an_empty_line(tmp_path):
    (tmp_path / "r.txt").write_text("\n1,2\n")
    assert read(tmp_path / "r.txt").ranking.indices.tolist() == [[-1, -1], [1, 2]]


def test_distractors_lie_beyond_the_database(tmp_path):
    (tmp_path / "r.csv").write_text("0,9,7\n1,9,2\n")
    assert "2 ranked images lie beyond the 4" in read(tmp_path / "r.csv").notes[0]


@pytest.mark.parametrize(
    ("array", "said"),
    [
        (RANKS + 1, "counted from 1"),
        (RANKS - 3, "holds -3"),
        (RANKS + 0.5, "holds fractions"),
        (RANKS[0], "one row a query"),
        (np.vstack([RANKS, RANKS, RANKS]), "asks 2 queries"),
        (np.full((2, 3), -1), "ranks no image"),
        (RANKS == 1, "holds bool"),
    ],
)
def test_what_is_no_ranking_is_said(tmp_path, array, said):
    np.save(tmp_path / "r.npy", array)
    with pytest.raises(DataError, match=said):
        read(tmp_path / "r.npy")


@pytest.mark.parametrize(
    ("text", "said"),
    [("0,1\n", "1 lines for 2 queries"), ("0,1\n2,a.jpg\n", "r.csv:2: 'a.jpg'"), ("\n\n", "no image")],
)
def test_a_text_that_is_no_ranking_is_said(tmp_path, text, said):
    (tmp_path / "r.csv").write_text(text)
    with pytest.raises(DataError, match=said):
        read(tmp_path / "r.csv")
