"""The first images that a row's network finds for each query, and how each is judged."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from vitret.compare.asked import Places
from vitret.compare.machine import Machine, Say
from vitret.compare.remeasure import Case, require_network
from vitret.compare.results import read_result
from vitret.core.errors import DataError
from vitret.core.records import EvalSet, Int64
from vitret.measure import expansion
from vitret.measure.reranking_shortlist import Evidence
from vitret.measure.search import search, without_own

WRONG = "wrong"


@dataclass(frozen=True, kw_only=True)
class FirstImages:
    """The first K database rows of each query, best first, (Q, K); −1 where fewer are searched."""

    evalset: EvalSet
    rows: Int64

    def kind(self, query: int, row: int) -> str:
        """How a database image is judged for a query: "easy", "hard", "positive", "junk", or "wrong" for no word."""
        judged = self.evalset.truth.judgements
        return next((kind for kind, rows in judged.items() if row in rows.row(query)), WRONG)


def first_images(places: Places, path: Path, *, machine: Machine, say: Say, k: int = 10) -> FirstImages:
    """What the network of a result file finds, by its protocol; a query does not find itself.

    Raises `DataError` where the network or the evaluation set is not here as the row knows it, and for a row that was
    re-ranked or searched by an index.
    """
    row = read_result(path)
    case = Case(
        name=f"{row.model.title}, seed {row.training.seed}", places=places, row=row, machine=machine, say=say
    )
    if row.protocol.rerank.kind != "none":
        raise DataError(f"{case.name}: its first images are re-ranked, and their order is not kept.")
    if row.protocol.search != "exact":
        raise DataError(f"{case.name}: an index found its first images, and their order is not kept.")
    evalset = case.evalset()
    require_network(case)
    found = case.measured(row.protocol)
    evidence = Evidence.of(found.queries, found.database, distractors=found.distractors)
    asked, searched = expansion.apply(
        row.protocol.expansion, evidence.queries, evidence.database, query_rows=evalset.query_rows
    )
    ranked = search(asked, searched, k=k + 1).indices
    if evalset.query_rows is not None:
        ranked = without_own(ranked, evalset.query_rows)
    kept = ranked[:, :k]
    rows = np.full((len(kept), k), -1, dtype=np.int64)
    rows[:, : kept.shape[1]] = kept
    return FirstImages(evalset=evalset, rows=rows)
