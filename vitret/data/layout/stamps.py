"""What stat said of a set's images before they were hashed, kept in `.NAME.stamps.npy` beside the set's folder.

It differs from machine to machine, so it is no part of the set. Stamps that are not of the set that is there cost a
hash of its images and no more.
"""

from __future__ import annotations

import os
import stat
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np

from vitret.core.records import Int64
from vitret.core.store import writing
from vitret.data.layout.parquet import Bytes

FIELDS = ("size", "mtime in ns", "ctime in ns", "number of names")
_NOT_THERE = (-1, -1, -1, -1)
# A disk across a network answers many questions at once as fast as one.
_THREADS = 8
_CHUNK = 4096


def take_stamps(images: Path, paths: Bytes) -> Int64:
    """What stat says of each image, (n, 4) as `FIELDS`; −1 where it cannot be asked; of a packed one, of its tar."""
    names: list[bytes] = paths.tolist()
    root = os.fsencode(images) + b"/"
    tars: dict[bytes, tuple[int, int, int, int]] = {}

    def one(name: bytes) -> tuple[int, int, int, int]:
        found = _stamp(root + name)
        tar, inside, _ = name.partition(b".tar/")
        if found != _NOT_THERE or not inside:
            return found
        if tar not in tars:
            tars[tar] = _stamp(root + tar + b".tar")
        return tars[tar]

    def some(start: int) -> list[tuple[int, int, int, int]]:
        return [one(name) for name in names[start : start + _CHUNK]]

    with ThreadPoolExecutor(_THREADS) as pool:
        found = [stamp for part in pool.map(some, range(0, len(names), _CHUNK)) for stamp in part]
    return np.array(found, np.int64).reshape(-1, len(FIELDS))


def _stamp(path: bytes) -> tuple[int, int, int, int]:
    try:
        # Millions of names: no object is made of each.
        facts = os.stat(path)  # noqa: PTH116
    except OSError:
        return _NOT_THERE
    if not stat.S_ISREG(facts.st_mode):
        return _NOT_THERE
    return facts.st_size, facts.st_mtime_ns, facts.st_ctime_ns, facts.st_nlink


def stamps_file(folder: Path) -> Path:
    """Where the stamps of the set in a folder are kept."""
    return folder.with_name(f".{folder.name}.stamps.npy")


def write_stamps(folder: Path, found: Int64) -> None:
    """Keep the stamps of a set's images, rows as in files.parquet."""
    with writing(stamps_file(folder)) as handle:
        np.save(handle, found, allow_pickle=False)


def read_stamps(folder: Path, rows: int) -> Int64 | None:
    """The stamps that were kept; None where there are none, or none for so many rows."""
    try:
        found = np.load(stamps_file(folder), allow_pickle=False)
    except (OSError, ValueError, EOFError):
        return None
    return found if found.shape == (rows, len(FIELDS)) and found.dtype == np.int64 else None
