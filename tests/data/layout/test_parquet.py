from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from vitret.core.errors import DataError
from vitret.data.layout.parquet import digest_columns, encoded, read_table, text_column, write_table

WORDS = st.lists(
    st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"]), max_size=9), max_size=9
)


@settings(deadline=None)
@given(WORDS)
def test_texts_of_any_alphabet_become_bytes(words: list[str]):
    assert [word.decode() for word in encoded(words).tolist()] == words


def test_slices_and_chunks_of_a_column_are_read_whole():
    column = pa.chunked_array([["zero", "one"], ["two", "", "é"]])
    assert text_column(column.slice(1, 4)).tolist() == [b"one", b"two", b"", "é".encode()]
    assert text_column(column.combine_chunks().slice(2)).tolist() == [b"two", b"", "é".encode()]


def test_columns_come_back_from_parquet(tmp_path: Path):
    columns = {
        "path": np.array([b"a", "é/b".encode()]),
        "label": np.array([3, -1]),
        "x0": np.array([np.nan, 2.5]),
        "flag": np.array([True, False]),
        "sha256": np.frombuffer(bytes(range(64)), "V32"),
    }
    write_table(tmp_path / "t.parquet", columns)
    again = read_table(tmp_path / "t.parquet")
    assert list(again) == list(columns)
    for name, values in columns.items():
        if values.dtype.kind == "f":
            np.testing.assert_array_equal(again[name], values)
        else:
            assert again[name].tolist() == values.tolist()


def test_a_digest_tells_names_shapes_and_values_apart():
    base = {"a": np.array([1, 2]), "b": np.array([b"x"])}
    others = [
        {"a": np.array([1, 3]), "b": np.array([b"x"])},
        {"c": np.array([1, 2]), "b": np.array([b"x"])},
        {"a": np.array([1, 2], np.int32), "b": np.array([b"x"])},
        {"a": np.array([[1, 2]]), "b": np.array([b"x"])},
    ]
    assert digest_columns(base) == digest_columns(dict(reversed(base.items())))
    assert len({digest_columns(columns) for columns in [base, *others]}) == 5


def test_damage_and_absence_are_errors_with_the_path(tmp_path: Path):
    with pytest.raises(DataError, match=r"t\.parquet: no such file"):
        read_table(tmp_path / "t.parquet")
    (tmp_path / "t.parquet").write_bytes(b"PAR1")
    with pytest.raises(DataError, match=r"t\.parquet: not readable"):
        read_table(tmp_path / "t.parquet")


@pytest.mark.parametrize("texts", [[None, None], ["a", None]])
def test_a_text_that_is_missing_is_damage(tmp_path: Path, texts: list[str | None]):
    pq.write_table(pa.table({"path": pa.array(texts, pa.string())}), tmp_path / "t.parquet")
    with pytest.raises(DataError, match="'path' has rows without a text"):
        read_table(tmp_path / "t.parquet")
