"""Every definition of a retrieval metric in use, on one ranking, with who uses it; docs/metrics.md explains them.

Who uses a definition was read in the named source, or is what the named library gives for one ranking, as
tests/measure/test_agreement.py checks. What could not be verified says so.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from vitret.core.errors import EmptyError
from vitret.core.records import EvalSet, Float64, Int64, Ragged, Ranking, Ranks, Truth
from vitret.measure.counting import count_judged
from vitret.measure.evaluate import parse_metric
from vitret.measure.judge import judge_lists
from vitret.measure.metrics.map_at_k import map_at_k
from vitret.measure.scoring import Rows

ENDLESS = int(np.iinfo(np.int64).max)
# Where Recall@K is read: with landmarks or places at few K, with labels at those of SOP, CUB-200 and In-Shop.
HITS = {"landmarks": (1, 5, 10, 20), "labels": (1, 2, 4, 8, 10, 20, 30, 100, 1000)}


@dataclass(frozen=True, kw_only=True, eq=False)
class Definition:
    """One way of making a number of a ranking.

    `junk` "counted": junk stays in the ranking, as a wrong result. `empty` "zero": a query without positives counts as
    0 in the mean. `sets` says for which kind of set it is printed; "" for both.
    """

    name: str
    formula: str
    used_by: str
    source: str
    per_query: Callable[[Ranks], Float64]
    junk: Literal["removed", "counted"] = "removed"
    empty: Literal["left out", "zero"] = "left out"
    sets: Literal["", "landmarks", "labels"] = ""

    def words(self) -> dict[str, str]:
        """All but the name, for programs."""
        return {
            "junk": self.junk,
            "empty_queries": self.empty,
            "formula": self.formula,
            "used_by": self.used_by,
            "source": self.source,
        }

    def value(self, ranks: Ranks) -> float:
        """The mean over queries, in [0, 1]; NaN where no query counts."""
        values = self.per_query(ranks)
        if self.empty == "zero":
            values = np.nan_to_num(values)
        kept = values[~np.isnan(values)]
        return float(kept.mean()) if len(kept) else float("nan")


RECTANGLES: Callable[[Ranks], Float64] = partial(map_at_k, k=ENDLESS, denominator="positives")
_SUM = "sum of the precisions at the positives"


def _average_precisions() -> list[Definition]:
    return [
        Definition(
            name="mAP",
            formula="area under precision over recall by trapezoids; precision before the first place is 1",
            used_by="revisitop, cnnimageretrieval-pytorch, DOLG, Token, SOLAR and other tables of ROxford and RParis",
            source="Radenović et al., CVPR 2018; revisitop be39832",
            per_query=parse_metric("mAP"),
        ),
        Definition(
            name="mAP, junk counted",
            formula="as mAP, junk stays in the ranking as a wrong result",
            used_by="no table known; what a tool prints that knows trapezoids and no junk",
            source="-",
            per_query=parse_metric("mAP"),
            junk="counted",
        ),
        Definition(
            name="AP by rectangles",
            formula=f"{_SUM}, over the number of positives",
            used_by="trec_eval (map), ir_measures (AP), scikit-learn, torchmetrics",
            source="Manning et al., 2008, section 8.4; these libraries, run beside vitret",
            per_query=RECTANGLES,
        ),
        Definition(
            name="AP by rectangles, empty as 0",
            formula="as AP by rectangles, a query without positives counts as 0",
            used_by="torchmetrics by default (empty_target_action='neg')",
            source="torchmetrics 1.9.0, run beside vitret",
            per_query=RECTANGLES,
            empty="zero",
        ),
        Definition(
            name="AP by rectangles, junk counted",
            formula="as AP by rectangles, junk stays in the ranking as a wrong result",
            used_by="any of these libraries, given all that is not positive as wrong; MIEB (not verified)",
            source="statistics of mteb 2.13.1, which name no junk",
            per_query=RECTANGLES,
            junk="counted",
        ),
    ]


def _cut_average_precisions() -> list[Definition]:
    return [
        Definition(
            name="mAP@5/positives",
            formula=f"{_SUM} among the first 5, over the number of positives",
            used_by="MIEB, main score of ROxford and RParis; its junk and crop could not be verified",
            source="mteb, r_oxford_i2i_retrieval.py",
            per_query=parse_metric("mAP@5/positives"),
        ),
        Definition(
            name="mAP@5/positives, junk counted",
            formula="as mAP@5/positives, junk stays in the ranking as a wrong result",
            used_by="MIEB, if its queries ignore nothing (not verified)",
            source="statistics of mteb 2.13.1, which name no junk",
            per_query=parse_metric("mAP@5/positives"),
            junk="counted",
        ),
        Definition(
            name="mAP@100",
            formula=f"{_SUM} among the first 100, over min(positives, 100)",
            used_by="Google Landmarks v2 retrieval, AMES",
            source="Weyand et al., CVPR 2020; cvdfoundation/google-landmark 183f68a",
            per_query=parse_metric("mAP@100"),
        ),
        Definition(
            name="mAP@100, empty as 0",
            formula="as mAP@100, a query without positives counts as 0",
            used_by="the script of Google Landmarks v2, whose mean is over all queries asked",
            source="cvdfoundation/google-landmark 183f68a",
            per_query=parse_metric("mAP@100"),
            empty="zero",
        ),
        Definition(
            name="mAP@100/positives",
            formula=f"{_SUM} among the first 100, over the number of positives",
            used_by="trec_eval (map_cut_100), MIEB (map_at_100)",
            source="pytrec_eval 0.5, run beside vitret",
            per_query=parse_metric("mAP@100/positives"),
        ),
        Definition(
            name="mAP@100/found",
            formula=f"{_SUM} among the first 100, over the positives among them",
            used_by="torchmetrics (RetrievalMAP(top_k=100)), open-metric-learning (map@k)",
            source="torchmetrics 1.9.0, run beside vitret; the code of open-metric-learning",
            per_query=partial(map_at_k, k=100, denominator="found"),
        ),
        Definition(
            name="mAP@1000",
            formula=f"{_SUM} among the first 1000, over min(positives, 1000)",
            used_by="ILIAS (mAP@1k)",
            source="ilias-vrg/ilias e81029e",
            per_query=parse_metric("mAP@1000"),
        ),
        Definition(
            name="mAP@1000/positives",
            formula=f"{_SUM} among the first 1000, over the number of positives",
            used_by="trec_eval (map_cut_1000), MIEB (map_at_1000)",
            source="pytrec_eval 0.5, run beside vitret",
            per_query=parse_metric("mAP@1000/positives"),
        ),
        Definition(
            name="MAP@R",
            formula=f"{_SUM} among the first R, over R, the number of positives",
            used_by="pytorch-metric-learning, A Metric Learning Reality Check",
            source="Musgrave et al., ECCV 2020",
            per_query=parse_metric("MAP@R"),
        ),
    ]


def _precisions() -> list[Definition]:
    return [
        Definition(
            name="R-precision",
            formula="positives among the first R, over R, the number of positives",
            used_by="pytorch-metric-learning, trec_eval (Rprec), torchmetrics",
            source="Manning et al., 2008, section 8.4; these libraries, run beside vitret",
            per_query=parse_metric("R-precision"),
        ),
        *(
            Definition(
                name=f"mP@{k}",
                formula=f"positives among the first k', over k' = min({k}, place of the last positive)",
                used_by="revisitop and tables of ROxford and RParis",
                source="revisitop be39832",
                per_query=parse_metric(f"mP@{k}"),
            )
            for k in (1, 5, 10)
        ),
        *(
            Definition(
                name=f"P@{k}",
                formula=f"positives among the first {k}, over {k}",
                used_by=f"trec_eval (P_{k}), torchmetrics",
                source="Manning et al., 2008, section 8.4; these libraries, run beside vitret",
                per_query=parse_metric(f"P@{k}"),
            )
            for k in (5, 10)
        ),
    ]


def _hits(kind: Literal["landmarks", "labels"]) -> list[Definition]:
    used_by = {
        "landmarks": "place recognition (Recall@N); instance level hit@K; torchmetrics (RetrievalHitRate)",
        "labels": "SOP, CUB-200, In-Shop; MIEB (cv_recall_at_k); torchmetrics (RetrievalHitRate)",
    }
    return [
        Definition(
            name=f"R@{k}",
            formula=f"1 where a positive is among the first {k}, else 0",
            used_by=used_by[kind],
            source="Jégou et al., TPAMI 2011; Oh Song et al., CVPR 2016",
            per_query=parse_metric(f"R@{k}"),
            sets=kind,
        )
        for k in HITS[kind]
    ]


def _others() -> list[Definition]:
    return [
        *(
            Definition(
                name=f"found@{k}",
                formula=f"positives among the first {k}, over the number of positives",
                used_by=f"trec_eval (recall_{k}), MIEB (recall_at_{k}), torchmetrics (RetrievalRecall)",
                source="Manning et al., 2008, section 8.3; these libraries, run beside vitret",
                per_query=parse_metric(f"found@{k}"),
            )
            for k in (10, 100)
        ),
        Definition(
            name="MRR",
            formula="1 over the place of the first positive",
            used_by="trec_eval (recip_rank), pytorch-metric-learning, torchmetrics",
            source="Voorhees, TREC-8, 1999; these libraries, run beside vitret",
            per_query=parse_metric("MRR"),
        ),
        Definition(
            name="nDCG@10",
            formula="sum of 1 / log2(place + 1) over the positives among the first 10, over that of a perfect list",
            used_by="MIEB, main score of GLDv2; trec_eval (ndcg_cut_10)",
            source="Järvelin and Kekäläinen, TOIS 2002; pytrec_eval 0.5, run beside vitret",
            per_query=parse_metric("nDCG@10"),
        ),
    ]


def definitions() -> list[Definition]:
    """Every definition, in the order of tables and of docs/metrics.md."""
    return [
        *_average_precisions(),
        *_cut_average_precisions(),
        *_precisions(),
        *_hits("landmarks"),
        *_hits("labels"),
        *_others(),
    ]


@dataclass(frozen=True, kw_only=True, eq=False)
class Judged:
    """Ranks of the positives at each level, with junk removed and with junk counted as wrong.

    `counted` is empty where no image but a query's own is junk, or where the ranks of junk are not known.
    """

    removed: Mapping[str, Ranks]
    counted: Mapping[str, Ranks]


def judge_descriptors(
    queries: NDArray[Any], database: Rows, evalset: EvalSet, *, levels: Sequence[str] = ()
) -> Judged:
    """Count the ranks of descriptors both ways, in one pass over the database."""
    lists = _lists(evalset, levels)
    return _split(count_judged(queries, database, lists))


def judge_ranking(ranking: Ranking, evalset: EvalSet, *, levels: Sequence[str] = ()) -> Judged:
    """The ranks of a ranking both ways. Positives that it does not reach count as not found."""
    lists = _lists(evalset, levels)
    return _split({name: judge_lists(ranking, good, junk) for name, (good, junk) in lists.items()})


_COUNTED = " with junk"


def _lists(evalset: EvalSet, levels: Sequence[str]) -> dict[str, tuple[Ragged, Ragged]]:
    """Level → its positives and junk; and under another name the positives and a query's own image alone."""
    truth: Truth = evalset.truth
    at = {level: truth.at(level) for level in levels or truth.levels}
    own = {level: (good, _own(junk, evalset.query_rows)) for level, (good, junk) in at.items()}
    if all(len(own[level][1].values) == len(junk.values) for level, (_, junk) in at.items()):
        return at
    return at | {f"{level}{_COUNTED}": lists for level, lists in own.items()}


def _own(junk: Ragged, query_rows: Int64 | None) -> Ragged:
    """Of each query's junk its own image: no definition lets a query find itself."""
    rows = np.full(len(junk), -1) if query_rows is None else query_rows
    return Ragged.of([junk.row(q)[junk.row(q) == rows[q]] for q in range(len(junk))])


def _split(ranks: Mapping[str, Ranks]) -> Judged:
    return Judged(
        removed={name: one for name, one in ranks.items() if not name.endswith(_COUNTED)},
        counted={name.removesuffix(_COUNTED): one for name, one in ranks.items() if name.endswith(_COUNTED)},
    )


def values(judged: Judged) -> list[tuple[Definition, dict[str, float]]]:
    """Each definition that fits the set, with its value in [0, 1] at each level; NaN where no query counts.

    Raises `EmptyError` where no query has a positive at any level.
    """
    if not any((one.n_positive > 0).any() for one in judged.removed.values()):
        raise EmptyError(f"no query has a positive at {', '.join(judged.removed)}.")
    kind = "labels" if "all" in judged.removed else "landmarks"
    found = []
    for one in definitions():
        ranks = judged.counted if one.junk == "counted" else judged.removed
        if ranks and one.sets in ("", kind):
            found.append((one, {level: one.value(of) for level, of in ranks.items()}))
    return found
