"""A table as spreadsheets save it: parquet, or text whose separator and encoding are found by looking at it.

The separator is a comma, a semicolon, a tab or a bar, whichever gives the header most of the known columns. The text is
UTF-8, with a byte-order mark or not, or UTF-16 or UTF-32.
"""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.csv as pacsv
import pyarrow.parquet as pq

from vitret.core.disguise import require_content
from vitret.core.errors import DataError

SEPARATORS = (",", ";", "\t", "|")
# No header is longer.
LONGEST_HEADER = 1 << 20


def read_table(path: Path, known: Sequence[str], *, as_text: Sequence[str]) -> Any:
    """The table in a file; the columns `as_text` as they are written, so that 007 and 7 are two labels.

    What is no table raises `DataError`, and so does a `known` column that is no text of a known encoding.
    """
    head = require_content(path)
    try:
        table = (
            pq.read_table(path)
            if path.suffix.lower() == ".parquet"
            else _read_text(path, head, known, as_text)
        )
        # Names that are no UTF-8 are only found when they are asked for; columns that are none come as bytes.
        table = table.rename_columns(table.column_names)
        table.validate(full=True)
    except (pa.ArrowException, OSError, UnicodeError) as error:
        said = (str(error).splitlines() or [type(error).__name__])[0]
        raise DataError(f"{path}: not readable as a table ({said}).") from error
    for field in table.schema:
        if field.name in known and pa.types.is_binary(field.type):
            raise DataError(f"{path}: the column '{field.name}' is not UTF-8 text. Save the table as UTF-8.")
    return table


def _read_text(path: Path, head: bytes, known: Sequence[str], as_text: Sequence[str]) -> Any:
    encoding = json.detect_encoding(head)
    with path.open(encoding=encoding, errors="replace") as handle:
        separator = separator_of(handle.readline(LONGEST_HEADER), known)
    return pacsv.read_csv(
        path,
        # pyarrow passes over the mark of UTF-8 itself, and looks for damage only in what it takes for UTF-8.
        read_options=pacsv.ReadOptions(encoding="utf8" if encoding.startswith("utf-8") else encoding),
        parse_options=pacsv.ParseOptions(delimiter=separator),
        convert_options=pacsv.ConvertOptions(column_types=dict.fromkeys(as_text, pa.string())),
    )


def separator_of(header: str, known: Sequence[str]) -> str:
    """What stands between the columns of a header.

    >>> separator_of("label;path;split", ["label", "path", "split"])
    ';'
    """

    def fits(separator: str) -> tuple[int, int]:
        cells = {cell.strip().strip('"') for cell in header.split(separator)}
        return len(cells & set(known)), header.count(separator)

    return max(SEPARATORS, key=fits)
