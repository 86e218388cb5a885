"""Query expansion and database-side augmentation: a vector becomes the mean of itself and its neighbours.

Average expansion (α = 0): Chum et al., ICCV 2007. Weights similarity^α: Radenović, Tolias and Chum, TPAMI 2019. The
same on the database side, self left out: Arandjelović and Zisserman, CVPR 2012; Gordo et al., IJCV 2017. All three look
at the database's own vectors, so their rows stand in tables of their own.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from vitret.core.protocol import ExpansionSpec
from vitret.core.records import Int64
from vitret.measure.engines import QUERY_BLOCK
from vitret.measure.scoring import Float32, Rows
from vitret.measure.search import search


def expand(
    vectors: NDArray[Any],
    database: Rows,
    *,
    n: int,
    alpha: float,
    own_rows: Int64 | None = None,
    engine: str = "numpy",
    device: str | None = None,
) -> Float32:
    """Each vector plus its `n` nearest database rows weighted by similarity^`alpha`, normalised again; (Q, D).

    A similarity below zero counts as zero, the weight of the vector itself is 1. `own_rows` (Q,) gives the database
    row that is the vector itself (−1: none), which is not counted twice.
    """
    ranking = search(vectors, database, k=n + (own_rows is not None), engine=engine, device=device)
    assert ranking.scores is not None
    own = np.full(len(vectors), -1) if own_rows is None else own_rows
    weights = np.maximum(ranking.scores, 0.0).astype(np.float64) ** alpha
    weights[ranking.indices == own[:, None]] = 0.0
    weights[np.cumsum(ranking.indices != own[:, None], axis=1) > n] = 0.0

    expanded = np.empty(vectors.shape, dtype=np.float32)
    for start in range(0, len(vectors), QUERY_BLOCK):
        some = slice(start, start + QUERY_BLOCK)
        near = database.take(ranking.indices[some].ravel()).reshape(*ranking.indices[some].shape, -1)
        total = vectors[some].astype(np.float64) + np.einsum("qk,qkd->qd", weights[some], near)
        norms = np.linalg.norm(total, axis=1, keepdims=True)
        expanded[some] = total / np.maximum(norms, np.finfo(np.float64).tiny)
    return expanded


def apply(
    spec: ExpansionSpec,
    queries: NDArray[Any],
    database: Rows,
    *,
    query_rows: Int64 | None = None,
    engine: str = "numpy",
    device: str | None = None,
) -> tuple[NDArray[Any], Rows]:
    """Queries and database as a protocol's expansion asks for them; unchanged for kind "none".

    `query_rows` (Q,) gives the database index of queries that are themselves in the database.
    """
    if spec.kind == "none":
        return queries, database
    if spec.kind == "dba":
        everything = np.concatenate([np.asarray(part, dtype=np.float32) for part in database.parts])
        own = np.arange(len(database))
        grown = expand(
            everything, database, n=spec.n, alpha=spec.alpha, own_rows=own, engine=engine, device=device
        )
        return queries, Rows.of(grown)
    alpha = 0.0 if spec.kind == "aqe" else spec.alpha
    return (
        expand(queries, database, n=spec.n, alpha=alpha, own_rows=query_rows, engine=engine, device=device),
        database,
    )
