"""Columns between numpy and parquet without a Python loop, and digests of columns."""

import hashlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from numpy.typing import NDArray

from vitret.core.disguise import require_content
from vitret.core.errors import DataError
from vitret.core.store import writing

Bytes = NDArray[np.bytes_]
Columns = Mapping[str, NDArray[Any]]


def text_column(column: Any) -> Bytes:
    r"""An arrow text column as (n,) numpy S, UTF-8: four million names in one block of memory.

    >>> text_column(pa.chunked_array([["a/é.jpg", "b"]])).tolist()
    [b'a/\xc3\xa9.jpg', b'b']
    """
    column = column.cast(pa.large_string())
    column = column.combine_chunks() if isinstance(column, pa.ChunkedArray) else column
    if len(column) == 0:
        return np.empty(0, "S1")
    width = max(1, pc.max(pc.binary_length(column)).as_py())
    padded = pc.ascii_rpad(column, width=width, padding="\0")
    start = np.frombuffer(padded.buffers()[1], np.int64, 1, padded.offset * 8)[0]
    # A copy, so that the array owns its memory and can be shared or written.
    return np.frombuffer(padded.buffers()[2], f"S{width}", len(padded), int(start)).copy()


def encoded(texts: Any) -> Bytes:
    """A sequence of str, or an S array as it is, as (n,) numpy S, UTF-8."""
    if isinstance(texts, np.ndarray) and texts.dtype.kind == "S":
        return texts
    return text_column(pa.array(list(texts), pa.large_string()))


def write_table(path: Path, columns: Columns) -> None:
    """Write columns as parquet: S becomes text, V32 fixed bytes, a NaN box null. The same columns, the same bytes."""
    arrays = {name: _arrow(values) for name, values in columns.items()}
    with writing(path) as handle:
        pq.write_table(pa.table(arrays), handle, compression="zstd", row_group_size=1 << 20)


def _arrow(values: NDArray[Any]) -> Any:
    if values.dtype.kind == "S":
        return pa.array(values).cast(pa.large_string()).cast(pa.string())
    if values.dtype.kind == "V":
        fixed = pa.binary(values.dtype.itemsize)
        return pa.Array.from_buffers(fixed, len(values), [None, pa.py_buffer(values.tobytes())])
    return pa.array(values, from_pandas=values.dtype.kind == "f")


def read_table(path: Path) -> dict[str, NDArray[Any]]:
    """All columns of a parquet file: text as S, null numbers as NaN. A damaged file raises `DataError`."""
    if not path.exists():
        raise DataError(f"{path}: no such file. Prepare the set again with --replace.")
    require_content(path)
    try:
        table = pq.read_table(path)
        names = table.column_names
    except (pa.ArrowException, OSError, UnicodeDecodeError) as error:
        raise DataError(
            f"{path}: not readable as parquet ({_first_line(error)}). Prepare the set again with --replace."
        ) from error
    columns: dict[str, NDArray[Any]] = {}
    for name in names:
        column = table[name]
        if pa.types.is_string(column.type) or pa.types.is_large_string(column.type):
            if column.null_count:
                raise DataError(
                    f"{path}: '{name}' has rows without a text. Prepare the set again with --replace."
                )
            columns[name] = text_column(column)
        elif pa.types.is_fixed_size_binary(column.type):
            whole = column.combine_chunks()
            dtype = np.dtype(f"V{column.type.byte_width}")
            skipped = whole.offset * dtype.itemsize
            columns[name] = np.frombuffer(whole.buffers()[1], dtype, len(whole), skipped).copy()
        else:
            columns[name] = column.to_numpy().copy()
    return columns


def _first_line(error: BaseException) -> str:
    return (str(error).splitlines() or [type(error).__name__])[0]


def digest_columns(columns: Columns) -> str:
    """Sha256 of the values of columns, whatever file they stand in and however wide the array of a text is.

    >>> digest_columns({"a": np.array([1, 2])}) == digest_columns({"a": np.array([1, 3])})
    False
    """
    total = hashlib.sha256()
    for name in sorted(columns):
        values = np.ascontiguousarray(columns[name])
        if values.dtype.kind == "S":
            # A column whose longest text was taken out is as wide as before; read back, it is not.
            values = values.astype(f"S{max(1, int(np.strings.str_len(values).max(initial=0)))}", copy=False)
        total.update(f"{name} {values.dtype.str} {values.shape}\n".encode())
        total.update(values.tobytes())
    return total.hexdigest()
