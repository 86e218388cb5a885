"""Ground truth in the revisited form: `gnd_NAME.pkl` or `.json` with imlist, qimlist and, per query, its judgements.

The form of Radenović et al., CVPR 2018 (easy, hard, junk), and that of the sets before it (ok, junk). Indices count
from 0 into imlist; bbx is x0, y0, x1, y1 in pixels of the stored query image. One photograph may ask several times,
each time with another box. A pickle may hold arrays, sets and ranges in place of lists, and bytes in place of texts.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from vitret.core.errors import DataError, shortened
from vitret.core.records import Float64, Ragged, Truth
from vitret.core.store import read_json
from vitret.data.formats.safe_pickle import load_plain

# The judgement each key of a query stands for.
KINDS = {"easy": "easy", "hard": "hard", "junk": "junk", "ok": "positive"}

PICKLES = (".pkl", ".pickle")

# No image has a pixel beyond it; infinite and not-a-number are no coordinates either.
FARTHEST = 1 << 31


@dataclass(frozen=True, kw_only=True, eq=False)
class GroundTruth:
    """Names as written (usually without suffix), boxes (Q, 4) or None where no query has one (NaN rows: no box)."""

    database: list[str]
    queries: list[str]
    boxes: Float64 | None
    judgements: Truth


def read_revisited(path: Path) -> GroundTruth:
    """Read a ground-truth file and check that it fits together; the images are not looked at.

    Lists of different lengths, repeated names, indices outside imlist and an image judged twice for one query raise
    `DataError` with the query's name.
    """
    pickled = path.suffix.lower() in PICKLES
    value = _plain(path, load_plain(path, arrays=True)) if pickled else read_json(path)
    if not isinstance(value, dict) or not {"imlist", "qimlist", "gnd"} <= value.keys():
        raise DataError(f"{path}: not a ground truth; it needs the keys imlist, qimlist and gnd.")
    database, queries = _names(path, value, "imlist"), _names(path, value, "qimlist")
    rows = value["gnd"]
    if not isinstance(rows, list) or len(rows) != len(queries) or not all(isinstance(r, dict) for r in rows):
        raise DataError(
            f"{path}: qimlist has {len(queries)} names, so gnd must be a list of {len(queries)} dicts."
        )
    boxes = _boxes(path, queries, rows)
    _require_once(path, "imlist", database, None)
    _require_once(path, "qimlist", queries, boxes)
    judgements = _judgements(path, queries, rows, len(database))
    return GroundTruth(database=database, queries=queries, boxes=boxes, judgements=judgements)


def _plain(path: Path, value: Any) -> Any:
    """What a pickle holds, as JSON would: lists for arrays, texts for bytes. Sets and ranges stay for `_indices`."""
    if isinstance(value, bytes):
        try:
            return value.decode()
        except UnicodeDecodeError as error:
            raise DataError(f"{path}: {shortened(repr(value))} is no UTF-8 text.") from error
    if isinstance(value, np.ndarray | np.generic):
        return _plain(path, value.tolist())
    if isinstance(value, dict):
        return {_plain(path, key): _plain(path, inner) for key, inner in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(path, inner) for inner in value]
    return value


def _names(path: Path, value: Mapping[str, Any], key: str) -> list[str]:
    names = value[key]
    if not isinstance(names, list | tuple) or not all(isinstance(name, str) and name for name in names):
        raise DataError(f"{path}: {key} must be a list of names.")
    return list(names)


def _require_once(path: Path, key: str, names: Sequence[str], boxes: Float64 | None) -> None:
    """Raise `DataError` for a name that is there twice, with the same box where there are boxes."""
    seen: set[tuple[str, bytes]] = set()
    for i, name in enumerate(names):
        item = name, b"" if boxes is None else boxes[i].tobytes()
        if item in seen:
            with_box = "" if boxes is None else " with the same bbx"
            raise DataError(f"{path}: {key} names '{shortened(name)}' more than once{with_box}.")
        seen.add(item)


def _boxes(path: Path, queries: Sequence[str], rows: Sequence[Mapping[str, Any]]) -> Float64 | None:
    boxes = np.full((len(rows), 4), np.nan)
    for i, row in enumerate(rows):
        box = row.get("bbx")
        if box is None:
            continue
        if not isinstance(box, list | tuple) or len(box) != 4 or not all(map(_is_coordinate, box)):
            raise DataError(f"{path}: bbx of query {queries[i]} is {box!r:.60}, not four numbers.")
        boxes[i] = box
        if not (boxes[i, 0] < boxes[i, 2] and boxes[i, 1] < boxes[i, 3]):
            raise DataError(
                f"{path}: bbx of query {queries[i]} is {box}; it must be x0, y0, x1, y1 with x0 < x1, y0 < y1."
            )
    return None if np.isnan(boxes).all() else boxes


def _is_coordinate(value: Any) -> bool:
    return isinstance(value, int | float) and abs(value) <= FARTHEST


def _judgements(
    path: Path, queries: Sequence[str], rows: Sequence[Mapping[str, Any]], database: int
) -> Truth:
    keys = sorted({key for row in rows for key in row if key in KINDS})
    if "ok" not in keys and not {"easy", "hard"} & set(keys):
        raise DataError(
            f"{path}: no judgements; each entry of gnd needs easy, hard and junk, or ok and junk."
        )
    if "ok" in keys and {"easy", "hard"} & set(keys):
        raise DataError(f"{path}: judged both as ok and as easy or hard; use one of the two forms.")
    lists: dict[str, list[np.ndarray[Any, np.dtype[np.int64]]]] = {key: [] for key in keys}
    for query, row in zip(queries, rows, strict=True):
        for key in keys:
            lists[key].append(_indices(path, query, key, row.get(key, []), database))
        together = np.concatenate([lists[key][-1] for key in keys])
        values, counts = np.unique(together, return_counts=True)
        if (counts > 1).any():
            raise DataError(
                f"{path}: query {query} judges database image {values[counts > 1][0]} more than once."
            )
    return Truth(judgements={KINDS[key]: Ragged.of(lists[key]) for key in keys})


def _indices(
    path: Path, query: str, key: str, given: Any, database: int
) -> np.ndarray[Any, np.dtype[np.int64]]:
    if isinstance(given, range) and len(given) > database:
        raise DataError(
            f"{path}: '{key}' of query {query} names {len(given)} images, but imlist has {database}."
        )
    lists = isinstance(given, list | tuple | set | frozenset | range)
    if not lists or not all(isinstance(i, int) and not isinstance(i, bool) for i in given):
        raise DataError(f"{path}: '{key}' of query {query} must be a list of whole numbers.")
    outside = [i for i in given if not 0 <= i < database]
    if outside:
        raise DataError(
            f"{path}: '{key}' of query {query} names image {outside[0]}, but imlist has {database}, counted from 0."
        )
    ordered = sorted(given) if isinstance(given, set | frozenset) else given
    return np.array(ordered, dtype=np.int64)
