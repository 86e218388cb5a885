"""Re-rank by global descriptors alone, without training: Shao et al., "SuperGlobal", ICCV 2023; steps read in its code.

Each shortlisted vector is moved towards its neighbours within the shortlist, the query becomes the element-wise
maximum of the best refined vectors, and both similarities are averaged. Nothing is normalised again on the way.
"""

import numpy as np
from numpy.typing import NDArray

from vitret.core.records import Int64, Ranking
from vitret.measure.reranking_shortlist import Evidence, Rerank, reordered


def build(*, depth: int = 400, neighbours: int = 9, beta: float = 0.15, expand: int = 10) -> Rerank:
    """A function (ranking, evidence) -> ranking over the first `depth` results.

    `neighbours` within the shortlist refine each vector, with weight `beta` times their similarity; the `expand` best
    refined vectors make the new query. The published code takes the nearest for the vector itself; here a vector is
    left out of its own neighbours by its place, which differs where exact duplicates are.
    """

    def rerank(ranking: Ranking, evidence: Evidence) -> Ranking:
        def score(query: int, candidates: Int64) -> NDArray[np.floating]:
            refined = _refined(evidence.database.take(candidates), neighbours=neighbours, beta=beta)
            first = refined @ np.asarray(evidence.queries[query], dtype=np.float64)
            best = np.argsort(-first, kind="stable")[:expand]
            second = refined @ refined[best].max(axis=0)
            mean: NDArray[np.float64] = (first + second) / 2
            return mean

        return reordered(ranking, score, depth=depth)

    return rerank


def _refined(rows: NDArray[np.float64], *, neighbours: int, beta: float) -> NDArray[np.float64]:
    """Each row (n, D) averaged with its nearest others: (x + sum beta s_j x_j) / (1 + sum beta s_j)."""
    k = min(neighbours, len(rows) - 1)
    if k < 1:
        return rows
    similarity = rows @ rows.T
    np.fill_diagonal(similarity, -np.inf)
    near = np.argsort(-similarity, axis=1, kind="stable")[:, :k]
    weights = beta * np.take_along_axis(similarity, near, axis=1)
    total = rows + np.einsum("nk,nkd->nd", weights, rows[near])
    refined: NDArray[np.float64] = total / (1 + weights.sum(axis=1, keepdims=True))
    return refined
