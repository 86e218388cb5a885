"""Exact ranks after a second look: the shortlist is sorted again, every other image stays where plain search put it.

A shortlist is the beginning of a ranking, so however it is sorted, each image behind it keeps its rank. Hence no
full ranking is made here either: ranks inside come from the new order, ranks behind from counting (`counting`).
"""

from collections.abc import Mapping

import numpy as np

from vitret.core import plugins
from vitret.core.protocol import RerankSpec
from vitret.core.records import Int64, Ranking, Ranks, Truth
from vitret.measure.judge import judge
from vitret.measure.reranking_shortlist import Evidence, Rerank, ground_truth_ranking
from vitret.measure.search import search, without_own


def build_reranker(spec: RerankSpec) -> Rerank:
    """The function that a protocol's re-ranking names, over its depth; `UserError` for unknown names or options."""
    rerank: Rerank = plugins.build("rerankers", spec.kind, depth=spec.depth, **spec.options)
    return rerank


def reranked(
    counted: Mapping[str, Ranks],
    evidence: Evidence,
    truth: Truth,
    *,
    spec: RerankSpec,
    query_rows: Int64 | None = None,
    engine: str = "numpy",
    device: str | None = None,
) -> dict[str, Ranks]:
    """The ranks per level after re-ranking; `counted` are those of plain search over the same rows.

    The "plain" shortlist is the first `depth` of the ranking, the same at all levels. The "oracle" one is filled again
    at each level, after its junk was moved behind everything with the help of the ground truth. A query that is itself
    a database image (`query_rows`) never stands in its own shortlist: that is known without any ground truth.
    """
    rerank = build_reranker(spec)
    oracle = spec.shortlist == "oracle"
    most = max((int(truth.at(level)[1].lengths().max(initial=0)) for level in counted), default=0)
    k = spec.depth + (most if oracle else 0) + (query_rows is not None)
    found = search(evidence.queries, evidence.database, k=k, engine=engine, device=device)
    others = Ranking(indices=found.indices if query_rows is None else without_own(found.indices, query_rows))
    if not oracle:
        second = rerank(_first(others, spec.depth), evidence)
        return {level: _joined(second, counted[level], truth, level) for level in counted}
    joined = {}
    for level in counted:
        shortlist = _first(ground_truth_ranking(others, truth, level), spec.depth)
        joined[level] = _joined(rerank(shortlist, evidence), counted[level], truth, level)
    return joined


def _first(ranking: Ranking, depth: int) -> Ranking:
    return Ranking(indices=ranking.indices[:, :depth])


def _joined(second: Ranking, counted: Ranks, truth: Truth, level: str) -> Ranks:
    """Ranks within the shortlist, then those of the positives that it does not hold: the last ones of plain search."""
    inside = judge(second, truth, level)
    rows = [
        np.concatenate([inside.row(q), counted.row(q)[len(inside.row(q)) :]]) for q in range(truth.queries)
    ]
    return Ranks.of(rows, counted.n_positive)
