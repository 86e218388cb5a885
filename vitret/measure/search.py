"""Exact search: the best K database images of each query, ties broken by database index.

Every engine proposes, `scoring.exact_scores` decides: numpy, torch and faiss return the same indices and the same
scores, to the last bit, whatever the block size.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from vitret.core.errors import UserError
from vitret.core.records import Int64, Ranking
from vitret.measure.engines import query_slices, scorer
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
    tolerance,
)


def search(
    queries: NDArray[Any],
    database: Rows | NDArray[Any],
    *,
    k: int,
    block: int = BLOCK,
    engine: str = "numpy",
    device: str | None = None,
) -> Ranking:
    """The `k` best database images of each query by dot product, best first.

    `queries` (Q, D), `database` (M, D) or several arrays as `Rows`; returns indices and scores (Q, min(k, M)).
    `block` database rows are held at a time and do not change the result. Raises `DataError` for rows that are not
    finite or do not fit each other, `UserError` for a `k` below one or an unknown engine.
    """
    if k < 1:
        raise UserError(f"k must be at least 1, got {k}.")
    rows = database if isinstance(database, Rows) else Rows.of(database)
    Rows.of(queries, *rows.parts)
    k = min(k, len(rows))
    if engine == "faiss":
        best = _from_faiss(queries, rows, k)
    else:
        best = _from_blocks(queries, rows, k, block=block, engine=engine, device=device)
    keys = np.array(best, dtype=np.int64).reshape(len(queries), k)
    return Ranking(indices=key_indices(keys), scores=key_scores(keys))


def without_own(indices: Int64, own: Int64) -> Int64:
    """Each row (Q, K) without its own image, later images moved up; -1 fills its end."""
    order = np.argsort(indices == own[:, None], axis=1, kind="stable")
    moved = np.take_along_axis(indices, order, axis=1)
    moved[moved == own[:, None]] = -1
    return moved


def _from_blocks(
    queries: NDArray[Any], rows: Rows, k: int, *, block: int, engine: str, device: str | None
) -> list[Int64]:
    best = [np.empty(0, dtype=np.int64) for _ in range(len(queries))]
    query_norm = largest_norm(queries, what="queries")
    with scorer(queries, engine=engine, device=device) as score:
        for offset, part in rows.blocks(block):
            found = score(part, offset)
            tau = tolerance(rows.dim, query_norm * found.norm)
            for some in query_slices(len(queries)):
                proposed = found.scores(some)
                for q in range(some.start, some.stop):
                    best[q] = _merge(best[q], proposed[q - some.start], part, queries[q], k, tau, offset)
    return best


def _merge(
    best: Int64, proposed: Float32, part: NDArray[Any], query: NDArray[Any], k: int, tau: float, offset: int
) -> Int64:
    """The k best keys, best first, of those found so far and of one block."""
    worst = key_scores(best[-1:])[0] - tau if len(best) == k else -np.inf
    local = np.flatnonzero(proposed >= worst)
    if len(local) > k:
        # The k best proposed score at least kth − tau exactly, so whoever beats them was proposed at kth − 2·tau.
        kth = np.partition(proposed[local], -k)[-k]
        local = local[proposed[local] >= kth - 2 * tau]
    if not len(local):
        return best
    exact = exact_scores(query, part[local])
    confirm(proposed[local], exact, tau)
    merged = np.sort(np.concatenate([best, order_keys(exact, local + offset)]))
    return merged[::-1][:k]


def _from_faiss(queries: NDArray[Any], rows: Rows, k: int) -> list[Int64]:
    """As `_from_blocks`, proposed by a flat inner-product index, which holds the whole database in memory."""
    import faiss

    index = faiss.IndexFlatIP(rows.dim)
    norm = 0.0
    for offset, part in rows.blocks(BLOCK):
        norm = max(norm, largest_norm(part, what="database", offset=offset))
        index.add(np.ascontiguousarray(part, dtype=np.float32))
    tau = tolerance(rows.dim, norm * largest_norm(queries, what="queries"))
    narrow = np.ascontiguousarray(queries, dtype=np.float32)

    best: list[Int64] = [np.empty(0, dtype=np.int64) for _ in range(len(queries))]
    open_queries = np.arange(len(queries))
    depth = min(k + 16, len(rows))
    while len(open_queries):
        proposed, found = index.search(narrow[open_queries], depth)
        settled = np.zeros(len(open_queries), dtype=bool)
        for i, q in enumerate(open_queries):
            exact = exact_scores(queries[q], rows.take(found[i]))
            confirm(proposed[i], exact, tau)
            best[q] = np.sort(order_keys(exact, found[i]))[::-1][:k]
            # faiss leaves equal scores in no order: what it did not return may beat the k-th unless clearly lower.
            settled[i] = depth == len(rows) or key_scores(best[q][-1:])[0] > proposed[i, -1] + tau
        open_queries = open_queries[~settled]
        depth = min(4 * depth, len(rows))
    return best
