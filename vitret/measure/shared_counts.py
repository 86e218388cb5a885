"""One exact count of ranks by several machines that share only files; its numbers are those of one machine.

A rank is a count of images, so the counts of parts of the database add up to it, without rounding. Of the blocks of the
database each share has every n-th. What it counted is a file, whole or absent; whoever finds all of them adds them up.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vitret.core.errors import DataError, said
from vitret.core.npz import DAMAGE, npz_array
from vitret.core.records import Int64, Ranks, Truth
from vitret.core.shares import Share
from vitret.core.store import REMAKE, digest, writing
from vitret.measure.counting import count_strangers
from vitret.measure.judged import Judged
from vitret.measure.scoring import BLOCK, Rows

_LOOKED_AT = 256  # rows of each array that tell whose they are


@dataclass(frozen=True, kw_only=True, eq=False)
class Shared:
    """The ranks, where all shares are counted; and the shares whose counts are not there yet, from 0."""

    ranks: Mapping[str, Ranks] | None
    missing: tuple[int, ...]


def count_share(
    queries: NDArray[Any],
    database: Rows,
    truth: Truth,
    *,
    share: Share,
    folder: Path,
    levels: Sequence[str] | None = None,
    engine: str = "numpy",
    device: str | None = None,
) -> Shared:
    """Count one share's part of the database, unless it is counted, and add up what all shares counted.

    The arguments are those of `count_ranks`, the same in every share. Counts are kept in `folder`, under a digest of
    the queries, the judgements and the scores of all judged images; rows of others are known by a sample.
    Raises `DataError` for a damaged file of counts.
    """
    judged = {level: truth.at(level) for level in (levels or truth.levels)}
    known = Judged.of(queries, database, judged)
    place = folder / f"{_identity(queries, database, known)[:16]}-of-{share.of}"
    own = _file(place, share.index)
    if not own.is_file():
        counts = count_strangers(queries, database, known, share=share, engine=engine, device=device)
        with writing(own) as handle:
            np.savez(handle, counts=counts)
    missing = tuple(i for i in range(share.of) if not _file(place, i).is_file())
    if missing:
        return Shared(ranks=None, missing=missing)
    limits = len(known.limits().keys)
    total = np.zeros(limits, dtype=np.int64)
    for i in range(share.of):
        total += _read(_file(place, i), limits)
    return Shared(ranks=known.ranks(total), missing=())


def _file(place: Path, index: int) -> Path:
    return place / f"{index + 1}.npz"


def _read(path: Path, limits: int) -> Int64:
    try:
        counts: Int64 = npz_array(path, "counts")
    except DAMAGE as error:
        raise DataError(f"{path}: is damaged ({said(error)}). {REMAKE}") from error
    if counts.shape != (limits,) or counts.dtype != np.int64:
        raise DataError(
            f"{path}: holds {counts.dtype} of shape {counts.shape}, not {limits} counts. {REMAKE}"
        )
    return counts


def _identity(queries: NDArray[Any], database: Rows, known: Judged) -> str:
    """What was counted; the size of a block is in it, because shares divide blocks."""
    found = hashlib.sha256()
    for array in (queries, known.pairs, known.keys, known.asked, known.offsets):
        found.update(f"{array.dtype.str}{array.shape}".encode())
        found.update(np.ascontiguousarray(array).data)
    for part in database.parts:
        some = np.unique(np.linspace(0, max(0, len(part) - 1), _LOOKED_AT).astype(np.int64))[: len(part)]
        found.update(f"{part.dtype.str}{part.shape}".encode())
        found.update(np.ascontiguousarray(part[some]).data)
    return digest([found.hexdigest(), BLOCK, "counts 2"])
