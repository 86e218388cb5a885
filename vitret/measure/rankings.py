"""Rankings of any framework: for each query the numbers of database images, best first, in one file."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vitret.core.disguise import require_content
from vitret.core.errors import DataError, listed
from vitret.core.records import Ranking
from vitret.measure.choice import Wanted
from vitret.measure.containers import load
from vitret.measure.files import split_spec

TEXTS = (".csv", ".tsv", ".txt")
# A number of more digits is not of an image.
_DIGITS = 18


@dataclass(frozen=True, kw_only=True, eq=False)
class StoredRanking:
    """A ranking that was read, and what was done to it."""

    ranking: Ranking
    notes: tuple[str, ...]


def read_ranking(spec: str, *, queries: int, images: int) -> StoredRanking:
    """The ranking in FILE or FILE:NAME, (queries, K) database indices counted from 0; −1 fills short rows.

    Arrays as in `read_rows`; in .csv, .tsv and .txt each line is a query, and lines may differ in length. An array that
    stands K × queries, as revisitop's code makes it, is turned. Indices beyond the `images` of the database are
    distractors. Raises `DataError` for what cannot be a ranking of that set.
    """
    path, name = split_spec(spec)
    notes: list[str] = []
    if path.suffix.lower() in TEXTS and name is None:
        indices = _from_text(path, queries)
    else:
        indices = _turned(path, _whole(path, load(path, Wanted(role="ranking", name=name))), queries, notes)
    _require_indices(path, indices, images, notes)
    return StoredRanking(ranking=Ranking(indices=indices), notes=tuple(notes))


def _from_text(path: Path, queries: int) -> NDArray[np.int64]:
    """One line a query: numbers between commas, semicolons, tabs or spaces."""
    require_content(path)
    try:
        lines = path.read_text(encoding="utf-8-sig").splitlines()
    except UnicodeDecodeError as error:
        raise DataError(f"{path}: not UTF-8 text ({error.reason} at byte {error.start}).") from error
    if len(lines) != queries:
        raise DataError(
            f"{path}: {len(lines)} lines for {queries} queries. Write one line a query, without a header; an empty "
            "line where nothing was found."
        )
    rows = []
    for number, line in enumerate(lines, start=1):
        fields = line.replace(",", " ").replace(";", " ").split()
        wrong = [field for field in fields if not field.removeprefix("-").isdecimal() or len(field) > _DIGITS]
        if wrong:
            raise DataError(
                f"{path}:{number}: {wrong[0][:40]!r} is no number of an image. Write the positions in the set's "
                "database list, counted from 0."
            )
        rows.append([int(field) for field in fields])
    indices = np.full((queries, max(map(len, rows), default=0)), -1, dtype=np.int64)
    for q, row in enumerate(rows):
        indices[q, : len(row)] = row
    return indices


def _whole(path: Path, array: NDArray[Any]) -> NDArray[np.int64]:
    """The array as whole numbers; floats that are whole, as MATLAB keeps them, too."""
    if array.ndim != 2:
        raise DataError(f"{path}: has shape {array.shape}; a ranking is (queries, K), one row a query.")
    if array.dtype.kind not in "iuf":
        raise DataError(f"{path}: holds {array.dtype}; a ranking holds numbers of database images.")
    if array.dtype.kind == "f" and not (np.isfinite(array).all() and (array == np.floor(array)).all()):
        raise DataError(
            f"{path}: holds fractions, so it is no ranking. Are these descriptors? Give both files: "
            "vitret metrics QUERIES DATABASE --set NAME"
        )
    return np.asarray(array).astype(np.int64)


def _turned(path: Path, array: NDArray[np.int64], queries: int, notes: list[str]) -> NDArray[np.int64]:
    if array.shape[0] == queries:
        if array.shape[1] == queries:
            notes.append(f"{path}: the ranking is square, {array.shape}; taken as one row a query.")
        return array
    if array.shape[1] == queries:
        notes.append(f"{path}: the ranking stands K × queries, {array.shape}; turned.")
        return np.ascontiguousarray(array.T)
    raise DataError(
        f"{path}: has shape {array.shape}, but the set asks {queries} queries. Is it of this set?"
    )


def _require_indices(path: Path, indices: NDArray[np.int64], images: int, notes: list[str]) -> None:
    if not indices.size or indices.max() < 0:
        raise DataError(f"{path}: ranks no image.")
    if indices.min() < -1:
        raise DataError(f"{path}: holds {indices.min()}; images are counted from 0, and -1 fills short rows.")
    if indices.max() == images and not (indices == 0).any():
        raise DataError(
            f"{path}: holds 1 to {images} and never 0: counted from 1, as in MATLAB. Subtract 1 and save it again."
        )
    beyond = np.unique(indices[indices >= images])
    if len(beyond):
        notes.append(
            f"{path}: {len(beyond)} ranked images lie beyond the {images} of the database and count as distractors "
            f"({listed(beyond)})."
        )
