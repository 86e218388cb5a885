"""Measure descriptors of any framework with the official metrics; needs numpy, not torch.

Three ways in, from most to least done for you:

- `score_files(Files(queries="q.npy", database="db.npy"), truth_of_file(path))`: from files to a `Measurement`.
- `evaluate(Evidence.of(queries, database), evalset, protocol=Protocol(), metrics=["mAP", "R@1"])`: from arrays.
- `measure({"all": Ranks.of(…)}, ["mAP"])`, or one metric's function: from ranks alone.

All values are fractions in [0, 1], per query first, NaN where a query has no positive; means leave those out.

>>> import numpy as np
>>> from vitret.measure import Ragged, Truth, average_precision, judge, search
>>> queries, database = np.eye(2), np.array([[1.0, 0.0], [0.6, 0.8], [0.0, 1.0]])
>>> ranking = search(queries, database, k=3)
>>> ranking.indices.tolist()
[[0, 1, 2], [2, 1, 0]]
>>> truth = Truth(judgements={"positive": Ragged.of([[0], [1]])})
>>> average_precision(judge(ranking, truth, "all")).tolist()
[1.0, 0.25]
"""

from vitret.core.protocol import Protocol, RerankSpec
from vitret.core.records import Descriptors, EvalSet, Images, Ragged, Ranking, Ranks, Truth
from vitret.measure.bare import Files, Scored, score_files, truth_of_file
from vitret.measure.counting import count_ranks
from vitret.measure.evaluate import Measurement, evaluate, measure, parse_metric
from vitret.measure.expansion import expand
from vitret.measure.files import Stored, read_rows
from vitret.measure.judge import judge
from vitret.measure.metrics.average_precision import average_precision
from vitret.measure.metrics.found_at_k import found_at_k
from vitret.measure.metrics.map_at_k import map_at_k
from vitret.measure.metrics.map_at_r import map_at_r
from vitret.measure.metrics.ndcg_at_k import ndcg_at_k
from vitret.measure.metrics.plain_precision_at_k import plain_precision_at_k
from vitret.measure.metrics.precision_at_k import precision_at_k
from vitret.measure.metrics.r_precision import r_precision
from vitret.measure.metrics.recall_at_k import recall_at_k
from vitret.measure.metrics.reciprocal_rank import reciprocal_rank
from vitret.measure.reranking_shortlist import Evidence
from vitret.measure.scoring import Rows
from vitret.measure.search import search

__all__ = [
    "Descriptors",
    "EvalSet",
    "Evidence",
    "Files",
    "Images",
    "Measurement",
    "Protocol",
    "Ragged",
    "Ranking",
    "Ranks",
    "RerankSpec",
    "Rows",
    "Scored",
    "Stored",
    "Truth",
    "average_precision",
    "count_ranks",
    "evaluate",
    "expand",
    "found_at_k",
    "judge",
    "map_at_k",
    "map_at_r",
    "measure",
    "ndcg_at_k",
    "parse_metric",
    "plain_precision_at_k",
    "precision_at_k",
    "r_precision",
    "read_rows",
    "recall_at_k",
    "reciprocal_rank",
    "score_files",
    "search",
    "truth_of_file",
]
