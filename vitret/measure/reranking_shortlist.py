"""Who gets a second look: the first results of a ranking, as it is or with ground truth's help.

RRT, CVNet, AMES and LoCoRe all move judged junk (at the hard level the easy images too) to the end before they fill
the shortlist, following DELG's script; a search engine cannot do that. Both rules are here, and the second one's name
says what it uses.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vitret.core.errors import DataError
from vitret.core.records import Descriptors, Int64, Ranking, Truth
from vitret.measure.scoring import Rows, exact_scores

# (query number, database indices (n,)) -> scores (n,), higher is better
PairScore = Callable[[int, Int64], NDArray[np.floating]]


@dataclass(frozen=True, kw_only=True, eq=False)
class Evidence:
    """What is measured: descriptors of the queries (Q, D) and of what is searched, and a matcher's logits, if any.

    What is searched is the database, then the distractors: indices beyond the database are distractors.
    """

    queries: NDArray[Any]
    database: Rows
    logits: PairScore | None = None

    @classmethod
    def of(
        cls,
        queries: Descriptors,
        database: Descriptors,
        *,
        distractors: Descriptors | None = None,
        logits: PairScore | None = None,
    ) -> Evidence:
        """Descriptors as one piece of evidence; raises `DataError` where their dimensions differ."""
        parts = [database.rows, *([] if distractors is None else [distractors.rows])]
        return cls(queries=queries.rows, database=Rows.of(*parts), logits=logits)

    def similarities(self, query: int, candidates: Int64) -> NDArray[np.floating]:
        """Global similarities (n,) of one query and some database images."""
        return exact_scores(self.queries[query], self.database.take(candidates))


Rerank = Callable[[Ranking, Evidence], Ranking]


def ground_truth_ranking(ranking: Ranking, truth: Truth, level: str) -> Ranking:
    """The ranking with the level's junk moved behind everything else: an oracle that only an evaluation has."""
    if len(ranking.indices) != truth.queries:
        raise DataError(
            f"the ranking has {len(ranking.indices)} queries, the truth {truth.queries}. Was it made for this set?"
        )
    _, junk = truth.at(level)
    moved = np.full_like(ranking.indices, -1)
    for q in range(truth.queries):
        row = ranking.indices[q][ranking.indices[q] >= 0]
        bad = np.isin(row, junk.row(q))
        moved[q, : len(row)] = np.concatenate([row[~bad], row[bad]])
    return Ranking(indices=moved)


def reordered(ranking: Ranking, score: PairScore, *, depth: int) -> Ranking:
    """The first `depth` of each query sorted again by `score`, ties by database index; the rest stays as it is.

    The result has no scores: those of the shortlist and of the rest cannot be compared.
    """
    if depth < 1:
        raise ValueError(f"depth {depth}")
    indices = ranking.indices.copy()
    for q, row in enumerate(indices):
        candidates = row[:depth][row[:depth] >= 0]
        if not len(candidates):
            continue
        scores = np.asarray(score(q, candidates), dtype=np.float64)
        if scores.shape != candidates.shape or np.isnan(scores).any():
            raise DataError(
                f"query {q}: the re-ranker gave {scores.shape} scores, some perhaps NaN, for {len(candidates)}."
            )
        row[: len(candidates)] = candidates[np.lexsort((candidates, -scores))]
    return Ranking(indices=indices)
