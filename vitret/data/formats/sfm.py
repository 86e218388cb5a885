"""retrieval-SfM databases of cirtorch (Radenović, Tolias, Chum, TPAMI 2018): pickles of ids, clusters and pairs."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from vitret.core.errors import DataError
from vitret.core.records import Int64
from vitret.data.formats.safe_pickle import load_plain


class Tuples(NamedTuple):
    """Image ids (n), cluster of each (n,), and rows (query, positive) into them, (P, 2)."""

    cids: list[str]
    clusters: Int64
    pairs: Int64
    boxes: NDArray[np.float64] | None


def read_sfm(path: Path) -> dict[str, Tuples]:
    """Parts `train` and `val`, or one part `train` where the file has no parts (the whitening databases)."""
    value = load_plain(path, arrays=True)
    if not isinstance(value, Mapping):
        raise DataError(f"{path}: holds a {type(value).__name__}, expected a dict of lists.")
    parts = value if "train" in value else {"train": value}
    return {str(name): _tuples(path, str(name), part) for name, part in parts.items()}


def _tuples(path: Path, name: str, part: Any) -> Tuples:
    try:
        cids = [str(cid) for cid in part["cids"]]
        pairs = np.stack([_indices(part["qidxs"]), _indices(part["pidxs"])], axis=1)
        clusters = (
            _indices(part["cluster"]) if part.get("cluster") is not None else components(len(cids), pairs)
        )
        boxes = (
            np.array(part["bbxs"], dtype=np.float64).reshape(len(cids), 4)
            if part.get("bbxs") is not None
            else None
        )
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise DataError(
            f"{path}: part '{name}' is not cids, cluster, qidxs and pidxs of one length ({error})."
        ) from error
    if len(clusters) != len(cids) or (len(pairs) and (pairs.min() < 0 or pairs.max() >= len(cids))):
        raise DataError(
            f"{path}: part '{name}' has {len(cids)} images, which its clusters or pairs do not fit."
        )
    return Tuples(cids, clusters, pairs, boxes)


def _indices(values: Sequence[Any]) -> Int64:
    return np.asarray(values, dtype=np.int64).ravel()


def components(n: int, pairs: Int64) -> Int64:
    """Label of the connected component of each of n images, (n,), numbered by first appearance.

    >>> components(4, np.array([[0, 2], [3, 1]])).tolist()
    [0, 1, 0, 1]
    """
    from scipy.sparse import coo_array
    from scipy.sparse.csgraph import connected_components

    ones = np.ones(len(pairs), dtype=np.int8)
    graph = coo_array((ones, (pairs[:, 0], pairs[:, 1])), shape=(n, n))
    return np.asarray(connected_components(graph, directed=False)[1], dtype=np.int64)


def cid_path(cid: str) -> str:
    """Where an image lies below `ims`.

    >>> cid_path("0123456789abcdef")
    'ef/cd/ab/0123456789abcdef'
    """
    return f"{cid[-2:]}/{cid[-4:-2]}/{cid[-6:-4]}/{cid}"
