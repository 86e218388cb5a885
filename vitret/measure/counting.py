"""Ranks of the positives, counted while the database streams by; no ranking is ever made.

The rank of a positive is the number of database images that beat it: a higher score, or the same score and a smaller
index. Junk that beats it is subtracted per level, so all levels cost one pass, and memory does not grow with the
number of distractors. Radenović et al., CVPR 2018, section 3, for the levels; `scoring` for what a score is.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vitret.core.records import Int64, Ragged, Ranks, Truth
from vitret.measure.scoring import (
    BLOCK,
    Float32,
    Rows,
    confirm,
    exact_scores,
    key_indices,
    key_scores,
    largest_norm,
    order_keys,
    query_slices,
    scorer,
    tolerance,
)


def count_ranks(
    queries: NDArray[Any],
    database: Rows | NDArray[Any],
    truth: Truth,
    *,
    levels: Sequence[str] | None = None,
    block: int = BLOCK,
    engine: str = "numpy",
    device: str | None = None,
) -> dict[str, Ranks]:
    """The ranks of every query's positives at each level, in one pass over the database.

    `queries` (Q, D), `database` (M, D); `truth` speaks of the first database rows, those after them are distractors.
    `block` database rows are held at a time and do not change the result. `engine` is "numpy" or "torch".
    Raises `DataError` for rows that are not finite or do not fit each other.
    """
    judged = {level: truth.at(level) for level in (levels or truth.levels)}
    return count_judged(queries, database, judged, block=block, engine=engine, device=device)


def count_judged(
    queries: NDArray[Any],
    database: Rows | NDArray[Any],
    judged: Mapping[str, tuple[Ragged, Ragged]],
    *,
    block: int = BLOCK,
    engine: str = "numpy",
    device: str | None = None,
) -> dict[str, Ranks]:
    """As `count_ranks`, with the lists themselves: name → (positives, junk), each sorted within a query."""
    rows = database if isinstance(database, Rows) else Rows.of(database)
    Rows.of(queries, *rows.parts)
    # Every judged image of a query, by index, with the key that orders it among all database images.
    known: list[Int64] = []
    keys: list[Int64] = []
    wanted: list[Int64] = []
    for q in range(len(queries)):
        positive = [good.row(q) for good, _ in judged.values()]
        known.append(np.unique(np.concatenate([*positive, *(junk.row(q) for _, junk in judged.values())])))
        keys.append(order_keys(exact_scores(queries[q], rows.take(known[q])), known[q]))
        asked = np.unique(np.concatenate(positive))
        wanted.append(np.sort(keys[q][np.searchsorted(known[q], asked)]))
    beaten_by = _stream(queries, rows, wanted, block=block, engine=engine, device=device)

    counted: dict[str, Ranks] = {}
    for level, (good, junk) in judged.items():
        ranks: list[Int64] = []
        for q in range(len(queries)):
            mine = keys[q][np.searchsorted(known[q], good.row(q))]
            spoilt = np.sort(keys[q][np.searchsorted(known[q], junk.row(q))])
            above = beaten_by[q][np.searchsorted(wanted[q], mine)]
            junk_above = len(spoilt) - np.searchsorted(spoilt, mine, side="right")
            ranks.append(np.sort(above - junk_above))
        counted[level] = Ranks.of(ranks, good.lengths())
    return counted


def _stream(
    queries: NDArray[Any],
    rows: Rows,
    wanted: Sequence[Int64],
    *,
    block: int,
    engine: str,
    device: str | None,
) -> list[Int64]:
    """How many database images beat each wanted key (ascending per query)."""
    above = [np.zeros(len(keys), dtype=np.int64) for keys in wanted]
    query_norm = largest_norm(queries, what="queries")
    with scorer(queries, engine=engine, device=device) as score:
        for offset, part in rows.blocks(block):
            tau = tolerance(rows.dim, query_norm * largest_norm(part, what="database", offset=offset))
            for some in query_slices(len(queries)):
                proposed = score(some, part)
                for q in range(some.start, some.stop):
                    if len(wanted[q]):
                        above[q] += _beating(
                            wanted[q], proposed[q - some.start], part, queries[q], tau, offset
                        )
    return above


def _beating(
    wanted: Int64, proposed: Float32, part: NDArray[Any], query: NDArray[Any], tau: float, offset: int
) -> Int64:
    """How many images of a block beat each wanted key (ascending); close calls are scored exactly."""
    limits = key_scores(wanted)
    contenders = np.flatnonzero(proposed >= limits[0] - tau)
    if not len(contenders):
        return np.zeros(len(wanted), dtype=np.int64)
    found = np.sort(order_keys(proposed[contenders], contenders))
    # With the index at its extreme, a key lies below, or above, all images of its score.
    low = np.searchsorted(found, order_keys(limits - np.float32(tau), np.array([0xFFFFFFFF])))
    high = np.searchsorted(found, order_keys(limits + np.float32(tau), np.array([0])), side="right")
    if np.array_equal(low, high):
        return len(found) - high
    opened = np.bincount(low, minlength=len(found) + 1) - np.bincount(high, minlength=len(found) + 1)
    close = np.cumsum(opened[:-1]) > 0
    clear, unclear = found[~close], found[close]
    local = key_indices(unclear)
    exact = exact_scores(query, part[local])
    confirm(key_scores(unclear), exact, tau)
    settled = np.sort(order_keys(exact, local + offset))
    # A clear image lies outside every window, so its proposed score decides as its exact one would.
    ahead = len(clear) - np.searchsorted(clear, wanted, side="right")
    return ahead + len(settled) - np.searchsorted(settled, wanted, side="right")
