"""Re-rank by a matcher of image pairs: Tan et al., "Instance-level image retrieval using reranking transformers", 2021.

The matcher itself comes as a function of numbers, so that this page needs no network library; `vitret bench` trains
it. AMES's fusion with the global similarity (Suma et al., ECCV 2024) is an option.
"""

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vitret.core.errors import UserError
from vitret.core.records import Int64, Ranking
from vitret.measure.reranking_shortlist import Evidence, Rerank, reordered


def build(
    *, depth: int = 100, share: float = 0.0, gamma: float = 1.0, matcher: Mapping[str, Any] | None = None
) -> Rerank:
    """A function (ranking, evidence) -> ranking over the first `depth` results, which needs the evidence's logits.

    With `share` above 0 the score is share * similarity + (1 - share) * sigmoid(gamma * logit); the published RRT sorts
    by the logit alone. `matcher` says which one is trained, see `vitret.core.reranking`; it changes nothing here.
    """
    if not 0 <= share <= 1:
        raise UserError(f"re-ranker rrt: share is {share}; it must lie between 0 and 1.")

    def rerank(ranking: Ranking, evidence: Evidence) -> Ranking:
        logits = evidence.logits
        if logits is None:
            raise UserError(
                "re-ranker rrt needs a trained matcher of image pairs. Measure with `vitret bench`, which trains one."
            )
        if share == 0:
            return reordered(ranking, logits, depth=depth)

        def fused(query: int, candidates: Int64) -> NDArray[np.floating]:
            logit = np.asarray(logits(query, candidates), dtype=np.float64)
            # The same sigmoid without overflow at large logits.
            matched = 0.5 * (1 + np.tanh(0.5 * gamma * logit))
            return share * evidence.similarities(query, candidates) + (1 - share) * matched

        return reordered(ranking, fused, depth=depth)

    return rerank
