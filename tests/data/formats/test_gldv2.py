from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest

from vitret.core.errors import DataError
from vitret.data.formats import gldv2

A, B, C = "17660ef415d37059", "92b6290d571448f6", "00000000000000ff"


def write(path: Path, text: str) -> Path:
    path.write_text(text)
    return path


def test_a_clean_row_holds_all_images_of_a_landmark(tmp_path: Path) -> None:
    # The first row of the official file begins `1,17660ef415d37059 92b6290d571448f6`.
    listed = gldv2.read_clean(write(tmp_path / "c.csv", f"landmark_id,images\n1,{A} {B}\n203092,{C}\n"))
    assert listed.ids.to_pylist() == [A, B, C]
    assert listed.landmarks.tolist() == [1, 1, 203092]


def test_the_list_of_a_row_may_be_very_long(tmp_path: Path) -> None:
    ids = [f"{n:016x}" for n in range(100_000)]  # 1.7 MB in a row.
    listed = gldv2.read_clean(write(tmp_path / "c.csv", f"landmark_id,images\n5,{' '.join(ids)}\n"))
    assert len(listed.ids) == 100_000


def test_addresses_may_hold_commas_and_fields_look_like_formulas(tmp_path: Path) -> None:
    listed = gldv2.read_train(
        write(tmp_path / "t.csv", f'id,url,landmark_id\n{A},"=cmd|x, http://h/a,b",9\n')
    )
    assert (listed.ids.to_pylist(), listed.landmarks.tolist()) == ([A], [9])


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        (f"id,url,landmark_id\n{A},u,9\n{A},u,9\n", "listed twice"),
        (f"id,url,landmark_id\n../../etc/{A},u,9\n", "sixteen hexadecimal"),
        (f"id,url,landmark_id\n{A},u,nine\n", "not a table"),
        (f"id,url,landmark_id\n{A},u,\n", "no landmark_id"),
        ("id,url\n", "not a table"),
        ("\n", "not a table"),
        ("", "is empty"),
    ],
)
def test_what_does_not_fit_is_refused(tmp_path: Path, text: str, problem: str) -> None:
    with pytest.raises(DataError, match=problem):
        gldv2.read_train(write(tmp_path / "t.csv", text))


def test_ignored_queries_ask_nothing(tmp_path: Path) -> None:
    rows = f"{A},{B} {C},Private\n{B},None,Ignored\n{C},{A},Public\n"
    path = write(tmp_path / "s.csv", f"id,images,Usage\n{rows}")
    assert gldv2.read_solution(path, "private") == gldv2.Solution([A], [[B, C]])
    assert gldv2.read_solution(path, "public") == gldv2.Solution([C], [[A]])


def test_excluded_landmarks_go_with_all_their_images(tmp_path: Path) -> None:
    table = gldv2.Landmarks(pa.array([A, B, C]), np.array([1, 1, 7]))
    excluded = gldv2.read_exclusions(write(tmp_path / "x.txt", "# a remark\n1  # Eiffel Tower\n"))
    assert gldv2.without_landmarks(table, excluded).ids.to_pylist() == [C]
    with pytest.raises(DataError, match="landmark 8"):
        gldv2.without_landmarks(table, np.array([8]))
    with pytest.raises(DataError, match="no landmark id"):
        gldv2.read_exclusions(write(tmp_path / "empty.txt", "# nothing\n"))
