"""Google Landmarks v2 lists: Weyand et al., CVPR 2020; train, train_clean, index and retrieval_solution csv files.

Tables stay in Arrow: 4.1 million rows take seconds. Image ids are sixteen hexadecimal digits, and an image lies at
`a/b/c/<id>.jpg` by the first three. Landmark ids are sparse integers; those of the index are another numbering.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal, NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv as pacsv
from numpy.typing import NDArray

from vitret.core.disguise import require_content
from vitret.core.errors import DataError, said
from vitret.data.formats.text import lines

Usage = Literal["public", "private"]
# A row of train_clean.csv holds all ids of a landmark: some hundred kilobytes at most.
LONGEST_ROW = 16 << 20


class Landmarks(NamedTuple):
    """Image ids (n,), as Arrow strings, and the landmark of each (n,), sparse int64."""

    ids: Any
    landmarks: NDArray[np.int64]


class Solution(NamedTuple):
    """Retrieval queries and the ids of the index images that answer each."""

    queries: list[str]
    positives: list[list[str]]


def read_table(path: Path, types: Mapping[str, Any]) -> Any:
    """The named columns of a csv as an Arrow table; raises `DataError` on anything that does not fit.

    A field that starts with a formula sign is text like any other: nothing here is evaluated.
    """
    require_content(path)
    try:
        table = pacsv.read_csv(
            path,
            read_options=pacsv.ReadOptions(block_size=LONGEST_ROW),
            convert_options=pacsv.ConvertOptions(column_types=dict(types), include_columns=list(types)),
        )
    except (pa.ArrowInvalid, pa.ArrowKeyError, pa.ArrowNotImplementedError) as error:
        raise DataError(f"{path}: not a table of {', '.join(types)} ({said(error)}).") from error
    return table.combine_chunks()


def read_train(path: Path) -> Landmarks:
    """`train.csv`: id, url, landmark_id, one image a row."""
    table = read_table(path, {"id": pa.string(), "landmark_id": pa.int64()})
    return _landmarks(path, table["id"], table["landmark_id"])


def read_clean(path: Path) -> Landmarks:
    """`train_clean.csv`: landmark_id and all its images, space-separated, one landmark a row."""
    table = read_table(path, {"landmark_id": pa.int64(), "images": pa.string()})
    lists = pc.utf8_split_whitespace(pc.utf8_trim_whitespace(table["images"]))
    parents = pc.list_parent_indices(lists)
    return _landmarks(path, pc.list_flatten(lists), pc.take(table["landmark_id"], parents))


def _landmarks(path: Path, ids: Any, landmarks: Any) -> Landmarks:
    ids = _check_ids(path, ids)
    if landmarks.null_count:
        raise DataError(f"{path}: {landmarks.null_count} images have no landmark_id.")
    if len(pc.unique(ids)) != len(ids):
        raise DataError(f"{path}: an image id is listed twice.")
    return Landmarks(ids, np.asarray(landmarks, dtype=np.int64))


def _check_ids(path: Path, ids: Any) -> Any:
    ids = ids.combine_chunks() if isinstance(ids, pa.ChunkedArray) else ids
    fits = pc.match_substring_regex(ids, "^[0-9a-f]{16}$")
    if ids.null_count or not pc.all(fits, min_count=0).as_py():
        bad = pc.filter(ids, pc.invert(pc.fill_null(fits, False)))
        raise DataError(f"{path}: {str(bad[0])[:40]!r} is not an image id of sixteen hexadecimal digits.")
    return ids


def read_ids(path: Path) -> Any:
    """The image ids of `index.csv` or `test.csv`, in order, as Arrow strings."""
    return _check_ids(path, read_table(path, {"id": pa.string()})["id"])


def image_paths(ids: Any) -> Any:
    """Arrow strings `a/b/c/<id>.jpg` for Arrow strings of ids.

    >>> image_paths(pa.array(["17660ef415d37059"])).to_pylist()
    ['1/7/6/17660ef415d37059.jpg']
    """
    digits = [pc.utf8_slice_codeunits(ids, i, i + 1) for i in range(3)]
    return pc.binary_join_element_wise(*digits, pc.binary_join_element_wise(ids, "jpg", "."), "/")


def without_landmarks(table: Landmarks, excluded: NDArray[np.int64]) -> Landmarks:
    """The images of all landmarks that are not excluded; an excluded id that is not there raises `DataError`."""
    unknown = np.setdiff1d(excluded, table.landmarks)
    if len(unknown):
        raise DataError(
            f"The exclusion list names landmark {unknown[0]}, which train_clean.csv does not have."
        )
    keep = ~np.isin(table.landmarks, excluded)
    return Landmarks(pc.filter(table.ids, pa.array(keep)), table.landmarks[keep])


def read_exclusions(path: Path) -> NDArray[np.int64]:
    """Landmark ids, one a line; what follows `#` is a remark."""
    ids = [text for line in lines(path) if (text := line.partition("#")[0].strip())]
    if not ids:
        raise DataError(f"{path}: no landmark id in this list. Write one a line.")
    try:
        return np.unique(np.array([int(text) for text in ids], dtype=np.int64))
    except (ValueError, OverflowError) as error:
        raise DataError(f"{path}: a line is not a landmark id ({error}).") from error


def read_solution(path: Path, usage: Usage) -> Solution:
    """Queries of one usage with their positives; rows marked Ignored (images `None`) ask nothing and are left out."""
    table = read_table(path, {"id": pa.string(), "images": pa.string(), "Usage": pa.string()})
    known = {"public", "private", "ignored"}
    out = Solution([], [])
    for query, images, kind in zip(
        *(table[name].to_pylist() for name in ("id", "images", "Usage")), strict=True
    ):
        if kind.lower() not in known:
            raise DataError(
                f"{path}: query {query} has the usage {kind[:20]!r}; expected Public, Private or Ignored."
            )
        if kind.lower() == usage:
            out.queries.append(query)
            out.positives.append(images.split())
    _check_ids(path, pa.array(out.queries, pa.string()))
    return out
