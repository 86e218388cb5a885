"""A table of images in the column names of Open Metric Learning (OML): label, path, split, is_query, is_gallery.

One row is one image, or one box of an image (x_1, y_1, x_2, y_2, all four or none, in pixels; empty: the whole image).
`split` is "train" or "validation"; what OML calls validation is our evaluation: is_query and is_gallery say which side
a row is on, both where it asks and is searched. Without these two columns every validation row is on both. Paths are
relative to the table's folder. Labels are whole numbers or words; 007 is a word, and another label than 7. A query
ignores the images of its own `sequence` (frames of one video), whatever their label, as in OML. A column `group`,
`landmark` or `product` says which queries ask about one thing, for intervals and tests; without, a label is a group.
Other columns are left alone, unless one looks like a known one misspelt.
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from difflib import get_close_matches
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from vitret.core.errors import DataError, EmptyError, shortened
from vitret.core.records import Float64, Int64
from vitret.core.store import file_sha256
from vitret.data.layout.parts import Side
from vitret.data.layout.write import LayoutWriter
from vitret.data.own.record import OwnData, require_files, spelt_as_there
from vitret.data.own.table_file import read_table

REQUIRED = ("label", "path", "split")
SIDES = ("is_query", "is_gallery")
CORNERS = ("x_1", "y_1", "x_2", "y_2")
KNOWN = (*REQUIRED, *SIDES, *CORNERS, "category", "sequence")
# Any one of these; the word is the user's. They are not looked for among misspelt ones: `product_id` is no mistake.
GROUPS = ("group", "landmark", "product")
SPLITS = ("train", "validation")
Flags = NDArray[np.bool_]


def read_own_table(path: Path) -> OwnData:
    """Read and check a table; every wrong row is found before anything is written, the first is named by its line."""
    table = read_table(path, (*KNOWN, *GROUPS), as_text=(*REQUIRED, "sequence", *GROUPS))
    _check_columns(path, table.column_names)
    if len(table) == 0:
        raise EmptyError(f"{path}: holds no row. Nothing is prepared.")
    files = spelt_as_there(path.parent, _texts(path, table, "path"))
    labels = _labels(path, table)
    split = _split(path, table)
    query, gallery = _sides(path, table, split)
    boxes = _boxes(path, table)
    sequences = _named(path, table, "sequence")
    group_column = _group_column(path, table.column_names)
    groups = _named(path, table, group_column)
    _check_repeats(path, files, boxes)
    names = [_inside(path.parent, file) for file in files]
    require_files(path.parent, files, lambda row: _line(path, row))
    train = np.flatnonzero(~split)
    notes = []
    both = np.intersect1d(labels[~split], labels[split])
    if len(both):
        notes.append(f"{len(both)} labels are both in train and in validation: the test is not zero-shot")
    if SIDES[0] not in table.column_names and split.any():
        notes.append("no is_query and is_gallery: every validation image asks all the others")
    if sequences is not None and split.any():
        notes.append(_said_of_sequences(sequences[query | gallery], labels[query | gallery]))
    if groups is not None and query.any():
        notes.append(_said_of_groups(groups[query], group_column))

    def fill(writer: LayoutWriter) -> None:
        texts = np.array([name.encode() for name in names], dtype=np.bytes_)
        if len(train):
            writer.train(texts[train], labels[train], boxes=_take(boxes, train))
        if split.any():
            asks, searched = np.flatnonzero(query), np.flatnonzero(gallery)
            writer.evaluation(
                Side(
                    texts[searched],
                    labels=labels[searched],
                    boxes=_take(boxes, searched),
                    sequences=None if sequences is None else sequences[searched],
                ),
                Side(
                    texts[asks],
                    labels=labels[asks],
                    boxes=_take(boxes, asks),
                    sequences=None if sequences is None else sequences[asks],
                    groups=None if groups is None else groups[asks],
                ),
                query_rows=_own_rows(asks, gallery),
            )

    return OwnData(
        kind=f"table {path.name}",
        root=path.parent,
        paths=files,
        names=names,
        fill=fill,
        source={"kind": "table", "sha256": file_sha256(path)},
        remarks=notes,
    )


def _check_columns(path: Path, columns: Sequence[str]) -> None:
    twice = sorted({name for name in columns if columns.count(name) > 1})
    if twice:
        raise DataError(f"{path}: the column '{twice[0]}' is there twice.")
    absent = [name for name in KNOWN if name not in columns]
    for name in columns:
        near = get_close_matches(name.strip().lower(), absent, n=1, cutoff=0.75) if name not in KNOWN else []
        if near:
            raise DataError(f"{path}: there is a column '{name}'. Did you mean '{near[0]}'?")
    missing = [name for name in REQUIRED if name not in columns]
    for group in (SIDES, CORNERS):
        absent_ones = [name for name in group if name not in columns]
        missing += absent_ones if len(absent_ones) < len(group) else []
    if missing:
        raise DataError(
            f"{path}: the column {' and '.join(repr(name) for name in missing)} is missing; a table needs label, path, "
            "split, and all of is_query, is_gallery or none, all of x_1, y_1, x_2, y_2 or none."
        )


def _line(path: Path, row: int) -> str:
    """Where a row stands, as an editor counts it."""
    return f"{path} line {row + 2}" if path.suffix.lower() != ".parquet" else f"{path} row {row}"


def _texts(path: Path, table: Any, column: str) -> list[str]:
    texts: list[str] = table[column].cast(pa.string()).to_pylist()
    for row, text in enumerate(texts):
        if not text:
            raise DataError(f"{_line(path, row)}: the {column} is empty.")
    return texts


def _labels(path: Path, table: Any) -> NDArray[Any]:
    """Whole numbers where every label is written as one, otherwise words as they are written, (n,)."""
    column = table["label"].combine_chunks()
    if pa.types.is_dictionary(column.type):
        column = column.dictionary_decode()
    if not (pa.types.is_integer(column.type) or pa.types.is_floating(column.type)):
        column = column.cast(pa.string())
        column = pc.if_else(pc.equal(column, ""), None, column)
        column = _as_numbers(column)
    if column.null_count:
        row = int(np.flatnonzero(np.asarray(column.is_null()))[0])
        raise DataError(f"{_line(path, row)}: the label is empty.")
    if pa.types.is_floating(column.type):
        if not pc.all(pc.equal(column, pc.floor(column)), min_count=0).as_py():
            raise DataError(f"{path}: label must be whole numbers or words, not fractions.")
        column = column.cast(pa.int64())
    if pa.types.is_integer(column.type):
        return np.asarray(column.to_numpy(zero_copy_only=False), dtype=np.int64)
    return np.array(column.to_pylist(), dtype=np.str_)


def _group_column(path: Path, columns: Sequence[str]) -> str | None:
    """Which column tells the groups of queries. A column without a name, as pandas writes its index, is none."""
    found = [name for name in GROUPS if name in columns]
    if len(found) > 1:
        raise DataError(
            f"{path}: the columns {' and '.join(repr(name) for name in found)} both say which queries ask about one "
            "thing. Keep one of them, or give the other another name."
        )
    return found[0] if found else None


def _named(path: Path, table: Any, column: str | None) -> Int64 | None:
    """A number for each word of a column, −1 where it is empty, (n,); None where no row has one."""
    if column is None or column not in table.column_names:
        return None
    try:
        cells = table[column].cast(pa.string()).to_pylist()
    except pa.ArrowException as error:
        raise DataError(f"{path}: the column '{column}' holds neither words nor numbers.") from error
    words = np.array([word or "" for word in cells], dtype=np.str_)
    named = ~np.isin(words, ("", "nan", "None"))
    if not named.any():
        return None
    return np.where(named, np.unique(words, return_inverse=True)[1], -1).astype(np.int64)


def _said_of_sequences(sequences: Int64, labels: NDArray[Any]) -> str:
    """What a user should know of the sequences of an evaluation."""
    known = sequences >= 0
    pairs = np.unique(np.stack([sequences[known], np.unique(labels[known], return_inverse=True)[1]]), axis=1)
    several = int((np.unique(pairs[0], return_counts=True)[1] > 1).sum())
    more = f"; {several} hold several labels, all of which it ignores" if several else ""
    return (
        "sequence: a query ignores all images of its own sequence, as in Open Metric Learning "
        f"({len(np.unique(pairs[0]))} sequences{more})"
    )


def _said_of_groups(groups: Int64, column: str | None) -> str:
    """What a user should know of the groups of queries."""
    known, alone = groups[groups >= 0], int((groups < 0).sum())
    more = f" and {alone} that stand alone" if alone else ""
    return f"{column}: {len(groups)} queries in {len(np.unique(known))} groups{more}, which intervals and tests count"


def _as_numbers(texts: Any) -> Any:
    """Texts as numbers where all are written as such, pandas' 7.0 too; as they are where one is a word, as 007 is."""
    # So many digits fit int64; with a point, so many are exact in float64.
    for pattern, kind in (
        (r"^-?(0|[1-9][0-9]{0,17})$", pa.int64()),
        (r"^-?(0|[1-9][0-9]{0,14})(\.[0-9]*)?$", pa.float64()),
    ):
        if pc.all(pc.match_substring_regex(texts, pattern), min_count=0).as_py():
            return texts.cast(kind)
    return texts


def _split(path: Path, table: Any) -> Flags:
    """True for validation, (n,)."""
    column = table["split"].cast(pa.string())
    known = np.asarray(pc.fill_null(pc.is_in(column, value_set=pa.array(SPLITS)), False))
    if not known.all():
        row = int(np.flatnonzero(~known)[0])
        raise DataError(
            f"{_line(path, row)}: split is {shortened(repr(column[row].as_py()))}; it must be 'train' or 'validation' "
            "(which evaluates)."
        )
    return np.asarray(pc.equal(column, "validation"))


def _sides(path: Path, table: Any, split: Flags) -> tuple[Flags, Flags]:
    if SIDES[0] not in table.column_names:
        return split, split
    query, gallery = (_flags(path, table, name) for name in SIDES)
    for wrong, said in (
        (~split & (query | gallery), "a training image is marked as query or gallery"),
        (split & ~(query | gallery), "a validation image is neither query nor gallery"),
    ):
        if wrong.any():
            raise DataError(f"{_line(path, int(np.flatnonzero(wrong)[0]))}: {said}.")
    return query, gallery


def _flags(path: Path, table: Any, name: str) -> Flags:
    values = table[name].to_pylist()
    meanings: Mapping[Any, bool] = {
        None: False, "": False, "False": False, "false": False, False: False,
        "True": True, "true": True, True: True,
    }  # fmt: skip
    for row, value in enumerate(values):
        # NaN is how pandas writes "no answer" beside truth values; 1.0 and 0.0 equal True and False.
        if value not in meanings and value == value:
            raise DataError(
                f"{_line(path, row)}: {name} is {shortened(repr(value))}; it must be True, False or empty."
            )
    return np.array([meanings.get(value, False) for value in values], dtype=np.bool_)


def _boxes(path: Path, table: Any) -> Float64 | None:
    if CORNERS[0] not in table.column_names:
        return None
    try:
        corners = [
            np.asarray(table[name].cast(pa.float64()).to_numpy(), dtype=np.float64) for name in CORNERS
        ]
    except pa.ArrowException as error:
        raise DataError(f"{path}: x_1, y_1, x_2, y_2 must be numbers ({error}).") from error
    boxes = np.stack(corners, axis=1)
    known = ~np.isnan(boxes)
    partly = known.any(axis=1) & ~known.all(axis=1)
    wrong = known.all(axis=1) & ~((boxes[:, 0] < boxes[:, 2]) & (boxes[:, 1] < boxes[:, 3]))
    if partly.any():
        raise DataError(f"{_line(path, int(np.flatnonzero(partly)[0]))}: the box is not complete.")
    if wrong.any():
        raise DataError(
            f"{_line(path, int(np.flatnonzero(wrong)[0]))}: the box needs x_1 < x_2 and y_1 < y_2."
        )
    return boxes if known.any() else None


def _check_repeats(path: Path, files: Sequence[str], boxes: Float64 | None) -> None:
    seen: dict[Any, int] = {}
    for row, file in enumerate(files):
        place = os.path.normpath(file)
        key = place if boxes is None else (place, boxes[row].tobytes())
        first = seen.setdefault(key, row)
        if first != row:
            raise DataError(
                f"{_line(path, row)}: repeats {_line(path, first).removeprefix(f'{path} ')}: {file}."
            )


def _inside(folder: Path, file: str) -> str:
    """Name of an image inside the set: below the table's folder as it is, elsewhere by its whole path."""
    place = Path(os.path.normpath(folder.absolute() / file))
    if place.is_relative_to(folder.absolute()):
        return place.relative_to(folder.absolute()).as_posix()
    return place.relative_to(place.anchor).as_posix()


def _take(boxes: Float64 | None, rows: Int64) -> Float64 | None:
    if boxes is None or np.isnan(boxes[rows]).all():
        return None
    return boxes[rows]


def _own_rows(asks: Int64, gallery: Flags) -> Int64 | None:
    """Database row of each query, −1 where it is not searched; None where no query is."""
    place = np.cumsum(gallery) - 1
    rows = np.where(gallery[asks], place[asks], -1).astype(np.int64)
    return rows if (rows >= 0).any() else None
