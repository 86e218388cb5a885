"""Ranks of the positives, counted while the database streams by; no ranking is ever made.

The rank of a positive is the number of database images that beat it: a higher score, or the same score and a smaller
index. Junk that beats it is subtracted per level, so all levels cost one pass, and memory does not grow with the
number of distractors. Radenović et al., CVPR 2018, section 3, for the levels; `scoring` for what a score is.

Judged images are scored exactly beforehand and left out of the stream, which counts the others. Threads own a block
of the database each. Where the queries are the database, a block of scores serves its rows and its columns.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import islice
from threading import Lock
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vitret.core.records import Int64, Ragged, Ranks, Truth
from vitret.core.shares import WHOLE, Share
from vitret.measure.engines import WIDE, Engine, query_slices, scorer
from vitret.measure.judged import Asked, Judged
from vitret.measure.scoring import (
    BLOCK,
    Float32,
    Rows,
    confirm,
    exact_pairs,
    order_keys,
    tolerance,
)
from vitret.measure.tally import beating
from vitret.measure.threads import each, thread_count

_SQUARE = 1000  # queries and images of a block; rows 4,096 bytes apart would share places in the cache
_LARGE = 16  # so many blocks make a side worth doubling: those on the diagonal are multiplied twice
_NARROWEST = 512
_PAIRED = 2**20  # numbers of both sides of close calls that are read at a time


def count_ranks(
    queries: NDArray[Any],
    database: Rows | NDArray[Any],
    truth: Truth,
    *,
    levels: Sequence[str] | None = None,
    block: int = BLOCK,
    engine: str = "numpy",
    device: str | None = None,
    threads: int | None = None,
) -> dict[str, Ranks]:
    """The ranks of every query's positives at each level, in one pass over the database.

    `queries` (Q, D), `database` (M, D); `truth` speaks of the first database rows, those after them are distractors.
    A thread holds at most `block` database rows at a time; neither this nor `threads` (all cores that the matrix
    product may use) changes the result. `engine` is "numpy" or "torch".
    Raises `DataError` for rows that are not finite or do not fit each other.
    """
    judged = {level: truth.at(level) for level in (levels or truth.levels)}
    return count_judged(queries, database, judged, block=block, engine=engine, device=device, threads=threads)


def count_judged(
    queries: NDArray[Any],
    database: Rows | NDArray[Any],
    judged: Mapping[str, tuple[Ragged, Ragged]],
    *,
    block: int = BLOCK,
    engine: str = "numpy",
    device: str | None = None,
    threads: int | None = None,
) -> dict[str, Ranks]:
    """As `count_ranks`, with the lists themselves: name → (positives, junk), each sorted within a query."""
    rows = database if isinstance(database, Rows) else Rows.of(database)
    known = Judged.of(queries, rows, judged, threads=threads)
    return known.ranks(
        count_strangers(queries, rows, known, block=block, engine=engine, device=device, threads=threads)
    )


def count_strangers(
    queries: NDArray[Any],
    rows: Rows,
    known: Judged,
    *,
    share: Share = WHOLE,
    block: int = BLOCK,
    engine: str = "numpy",
    device: str | None = None,
    threads: int | None = None,
) -> Int64:
    """How many unjudged images of a share's blocks beat each limit of `known`; all shares add up to the whole.

    The other arguments are those of `count_ranks`; `queries`, `rows` and `block` must be the same in every share.
    """
    threads = threads or thread_count()
    with scorer(queries, engine=engine, device=device) as score:
        stream = _Stream(queries, rows, score, known)
        if _same(queries, rows.parts[0]):
            stream.square(block=block, threads=threads, share=share)
        else:
            stream.whole(block=block, threads=threads, share=share)
    return stream.strangers


def _same(queries: NDArray[Any], database: NDArray[Any]) -> bool:
    """Whether the queries are the database, row by row."""
    return (
        len(queries) > 0
        and queries.shape == database.shape
        and queries.dtype == database.dtype
        and all(
            np.array_equal(queries[i : i + BLOCK], database[i : i + BLOCK])
            for i in range(0, len(queries), BLOCK)
        )
    )


class _Stream:
    """Counts, per limit, the unjudged database images that beat it; threads add to `strangers`."""

    def __init__(self, queries: NDArray[Any], rows: Rows, score: Engine, judged: Judged) -> None:
        self.queries, self.rows, self.score, self.judged = queries, rows, score, judged
        limits = judged.limits()
        self.offsets = limits.offsets
        self.strangers = np.zeros(len(limits.keys), dtype=np.int64)
        self.adding = Lock()

    def whole(self, *, block: int, threads: int, share: Share) -> None:
        """Every query against every block of the share."""
        asked = self.judged.split(query_slices(len(self.queries), _SQUARE))
        width = _width(self.rows.dim, len(self.queries))
        blocks = islice(self.rows.blocks(min(width, block)), share.index, None, share.of)
        each(lambda one: self._block(*one, asked), blocks, threads=threads)

    def square(self, *, block: int, threads: int, share: Share) -> None:
        """As `whole` where the queries are the first database rows: its rows and columns are both counted."""
        slices = query_slices(len(self.queries), min(_side(len(self.queries)), block))
        asked = self.judged.split(slices)

        def work(one: tuple[int, NDArray[Any]]) -> None:
            offset, part = one
            if offset >= len(self.queries):
                self._block(offset, part, asked)
                return
            own = offset // (slices[0].stop)
            self._block(offset, part, asked[: own + 1], own=asked[own])

        # The longest work first, so that threads end together.
        blocks = sorted(self.rows.blocks(slices[0].stop), key=lambda one: -min(one[0], len(self.queries)))
        each(work, blocks[share.index :: share.of], threads=threads)

    def _block(
        self, offset: int, part: NDArray[Any], asked: Sequence[Asked], *, own: Asked | None = None
    ) -> None:
        """One block for some queries, and those queries for the block's `own` images where these ask too."""
        block = self.score(part, offset)
        tau = tolerance(self.rows.dim, self.judged.norm * block.norm)
        for some in asked:
            if not len(some.limits.keys) and (own is None or not len(own.limits.keys)):
                continue
            scores = block.scores(some.queries)
            self._count(some, scores, offset, part, tau)
            if own is not None and some is not own:
                self._count(own, scores.T, some.queries.start, self.queries[some.queries], tau)

    def _count(self, some: Asked, scores: Float32, offset: int, part: NDArray[Any], tau: float) -> None:
        rows, images, known = some.among(offset, len(part))
        proposed = scores[rows, images]
        confirm(proposed, known, tau)
        scores[rows, images] = -np.inf

        def exact(which: Int64, found: Int64, close: Float32) -> Int64:
            decided = np.empty(len(found), dtype=np.float32)
            size = max(1, _PAIRED // part.shape[1])
            for pairs in (slice(i, i + size) for i in range(0, len(found), size)):
                decided[pairs] = exact_pairs(
                    self.queries[some.queries.start + which[pairs]], part[found[pairs]]
                )
            confirm(close, decided, tau)
            return order_keys(decided, found + offset)

        ahead = beating(scores, some.limits, tau, exact)
        scores[rows, images] = proposed
        here = slice(self.offsets[some.queries.start], self.offsets[some.queries.stop])
        with self.adding:
            self.strangers[here] += ahead


def _side(queries: int) -> int:
    """How many queries and images a block has where the queries are the database; large ones need fewer calls."""
    return _SQUARE if queries < _LARGE * _SQUARE else 2 * _SQUARE


def _width(dim: int, queries: int) -> int:
    """How many images a block holds: its scores, and its rows where query after query needs them, stay in the cache."""
    numbers = queries if queries <= _SQUARE else max(dim, _SQUARE)
    return min(max(WIDE // max(1, numbers), _NARROWEST), BLOCK)
