"""Who multiplies: numpy, or torch on a device. An engine only proposes scores; `scoring` says what a score is."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from threading import Lock
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vitret.core.errors import UserError, did_you_mean
from vitret.measure.narrow import widened
from vitret.measure.scoring import Float32, largest_norm

ENGINES = ("numpy", "torch")
QUERY_BLOCK = 1024
WIDE = 2**20  # float32 numbers at a time: 4 MiB, which the last-level cache holds for each core


@dataclass(frozen=True, kw_only=True, eq=False)
class Block:
    """Database rows (n, D) where the engine wants them: slice of the queries → float32 scores (q, n); largest norm."""

    scores: Callable[[slice], Float32]
    norm: float


# (rows (n, D), index of the first) → a block. Raises `DataError` that names the first row that is not finite.
Engine = Callable[[NDArray[Any], int], Block]


@contextmanager
def scorer(queries: NDArray[Any], *, engine: str, device: str | None) -> Iterator[Engine]:
    """An engine for some queries (Q, D); threads may share it. Raises `UserError` for one that does not exist."""
    if engine == "numpy":
        narrow = widened(queries, what="queries")[0]
        few = len(narrow) <= QUERY_BLOCK
        yield lambda rows, offset: (_streamed if few else _kept)(narrow, rows, offset)
    elif engine == "torch":
        yield from _torch(queries, device)
    else:
        raise UserError(f"There is no engine called '{engine}'. {did_you_mean(engine, ENGINES)}")


def _kept(narrow: Float32, rows: NDArray[Any], offset: int) -> Block:
    """A block in float32, for query after query."""
    wide, norm = widened(rows, what="database", offset=offset)
    return Block(scores=lambda some: narrow[some] @ wide.T, norm=norm)


def _streamed(narrow: Float32, rows: NDArray[Any], offset: int) -> Block:
    """All scores of a block at once, a few rows at a time, so that these are multiplied while they are in the cache."""
    scores = np.empty((len(narrow), len(rows)), dtype=np.float32)
    size, largest = max(1, WIDE // max(1, rows.shape[1])), 0.0
    for start in range(0, len(rows), size):
        some = slice(start, start + size)
        wide, norm = widened(rows[some], what="database", offset=offset + start)
        np.matmul(narrow, wide.T, out=scores[:, some])
        largest = max(largest, norm)
    return Block(scores=lambda asked: scores[asked], norm=largest)


def _torch(queries: NDArray[Any], device: str | None) -> Iterator[Engine]:
    import torch

    before = torch.get_float32_matmul_precision()
    torch.set_float32_matmul_precision("highest")
    there = torch.from_numpy(np.array(queries, dtype=np.float32)).to(device or "cpu")
    one_at_a_time = Lock()  # torch shares a product among its own threads

    def multiplied(rows: NDArray[Any], offset: int) -> Block:
        norm = largest_norm(rows, what="database", offset=offset)
        # float16 rows travel as they are stored, in half the bytes; float64 is not known to every device.
        narrow = np.array(rows, dtype=np.float32 if rows.dtype.itemsize > 4 else rows.dtype)
        with one_at_a_time:
            turned = torch.from_numpy(narrow).to(there.device).float().T

        def scores(some: slice) -> Float32:
            with one_at_a_time:
                found: Float32 = (there[some] @ turned).cpu().numpy()
            return found

        return Block(scores=scores, norm=norm)

    try:
        yield multiplied
    finally:
        torch.set_float32_matmul_precision(before)


def query_slices(queries: int, size: int = QUERY_BLOCK) -> Sequence[slice]:
    """Slices of at most `size` queries."""
    return [slice(i, min(i + size, queries)) for i in range(0, queries, size)]
