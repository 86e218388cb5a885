"""Ground truth of the revisited sets (Radenović et al., CVPR 2018) and cirtorch's of the original ones: pickle or JSON.

A dict of `imlist` and `qimlist` (names without extension) and `gnd`, one dict a query: `bbx` (x0 y0 x1 y1) and 0-based
indices into imlist, `easy`, `hard` and `junk`, or `ok` and `junk`.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from vitret.core.errors import DataError
from vitret.core.store import read_json
from vitret.data.formats.pickles import read_pickle


class Gnd(NamedTuple):
    """Names of database and queries, query boxes (Q, 4), and judgement → indices per query."""

    database: list[str]
    queries: list[str]
    boxes: NDArray[np.float64]
    judgements: dict[str, list[list[int]]]


def read_gnd(path: Path) -> Gnd:
    """Queries of `easy`, `hard`, `junk`, or `ok` (as positive) and `junk`; a query without a box has a row of NaN."""
    value = read_json(path) if path.suffix == ".json" else read_pickle(path)
    try:
        database, queries, gnd = _names(value["imlist"]), _names(value["qimlist"]), list(value["gnd"])
        kinds = ("easy", "hard", "junk") if gnd and "easy" in gnd[0] else ("ok", "junk")
        judgements = {
            "positive" if kind == "ok" else kind: [_rows(row.get(kind, ())) for row in gnd] for kind in kinds
        }
        boxes = np.array([_box(row.get("bbx")) for row in gnd], dtype=np.float64).reshape(len(gnd), 4)
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise DataError(
            f"{path}: not a revisited ground truth of imlist, qimlist and gnd ({error})."
        ) from error
    if len(queries) != len(gnd):
        raise DataError(f"{path}: {len(queries)} queries but judgements of {len(gnd)}.")
    return Gnd(database, queries, boxes, judgements)


def _names(values: Any) -> list[str]:
    if isinstance(values, str | Mapping) or not all(isinstance(value, str) for value in values):
        raise TypeError("names must be a list of texts")
    return list(values)


def _rows(values: Sequence[Any]) -> list[int]:
    rows = np.asarray(values)
    if rows.size and rows.dtype.kind not in "iu":
        raise TypeError("indices must be whole numbers")
    return [int(row) for row in rows.ravel()]


def _box(values: Any) -> tuple[float, float, float, float]:
    if values is None:
        return (np.nan,) * 4
    x0, y0, x1, y1 = (float(value) for value in np.asarray(values).ravel())
    return x0, y0, x1, y1
