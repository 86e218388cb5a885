"""Re-rank by a matcher of image pairs: Tan et al., "Instance-level image retrieval using reranking transformers", 2021.

The matcher itself is handed in as a function of numbers, so that this page needs no network library; AMES's fusion
with the global similarity (Suma et al., ECCV 2024) is an option.
"""

from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from vitret.core.errors import UserError
from vitret.core.records import Int64, Ranking
from vitret.measure.shortlist import PairScore, reordered


class Rerank(Protocol):
    """(ranking, logits of pairs, global similarities of pairs) -> ranking."""

    def __call__(
        self, ranking: Ranking, logits: PairScore, similarities: PairScore | None = None
    ) -> Ranking: ...


def build(*, depth: int = 100, share: float = 0.0, gamma: float = 1.0) -> Rerank:
    """A function (ranking, logits, similarities) -> ranking over the first `depth` results.

    `logits(query, candidates)` is the matcher's. With `share` above 0 the score is
    share * similarity + (1 - share) * sigmoid(gamma * logit) and the global similarities are needed; the published RRT
    sorts by the logit alone.
    """
    if not 0 <= share <= 1:
        raise UserError(f"re-ranker rrt: share is {share}; it must lie between 0 and 1.")

    def rerank(ranking: Ranking, logits: PairScore, similarities: PairScore | None = None) -> Ranking:
        if share == 0:
            return reordered(ranking, logits, depth=depth)
        if similarities is None:
            raise UserError("re-ranker rrt: with share above 0 the global similarities are needed.")

        def fused(query: int, candidates: Int64) -> NDArray[np.floating]:
            logit = np.asarray(logits(query, candidates), dtype=np.float64)
            # The same sigmoid without overflow at large logits.
            matched = 0.5 * (1 + np.tanh(0.5 * gamma * logit))
            return share * np.asarray(similarities(query, candidates)) + (1 - share) * matched

        return reordered(ranking, fused, depth=depth)

    return rerank
