"""From descriptors to numbers: expand, count ranks, re-rank if the protocol says so, apply metrics."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from vitret.core import plugins
from vitret.core.approximate import IndexSpec, SearchFacts
from vitret.core.errors import DataError, UserError, did_you_mean
from vitret.core.protocol import Protocol
from vitret.core.records import EvalSet, Float64, Ranks
from vitret.measure import expansion
from vitret.measure.approximate import approximate
from vitret.measure.counting import count_ranks
from vitret.measure.judge import judge
from vitret.measure.reranking import build_reranker, reranked
from vitret.measure.reranking_shortlist import Evidence

Metric = Callable[[Ranks], Float64]

# How tables spell a metric, and the part that computes it. Other parts go by their own name: "mine", "mine@5".
SPELT = {
    "mAP": "average_precision",
    "mP@k": "precision_at_k",
    "P@k": "plain_precision_at_k",
    "R@k": "recall_at_k",
    "found@k": "found_at_k",
    "R-precision": "r_precision",
    "MAP@R": "map_at_r",
    "mAP@k": "map_at_k",
    "mAP@k/positives": "map_at_k",
    "MRR": "reciprocal_rank",
    "nDCG@k": "ndcg_at_k",
}
# Options that a spelling stands for.
_OPTIONS = {"mAP@k/positives": {"denominator": "positives"}}


@dataclass(frozen=True, kw_only=True, eq=False)
class Measurement:
    """Ranks per level, and per (level, metric) the values (Q,) in [0, 1], NaN for queries without positives.

    `search` is of an approximate search: what it found of the exact one.
    """

    ranks: Mapping[str, Ranks]
    per_query: Mapping[tuple[str, str], Float64]
    search: SearchFacts | None = None

    @property
    def n(self) -> int:
        """How many queries were asked."""
        return len(next(iter(self.ranks.values())))

    def n_effective(self, level: str) -> int:
        """How many of them have a positive at a level and count in its means."""
        return int((self.ranks[level].n_positive > 0).sum())

    def mean(self, level: str, metric: str) -> float:
        """The mean over the queries that have a positive; NaN where none has."""
        values = self.per_query[level, metric]
        kept = values[~np.isnan(values)]
        return float(kept.mean()) if len(kept) else float("nan")


def parse_metric(name: str) -> Metric:
    """The function of a metric's name in tables, "mAP", "mP@10", "R@1", or of a part's name, "mine@5".

    >>> parse_metric("mP@2")(Ranks.of([[0, 5]], [2]))
    array([0.5])
    """
    stem, at, k, tail = re.fullmatch(  # type: ignore[union-attr]
        r"(.*?)(?:(@)(\d+)(/positives)?)?", name, flags=re.DOTALL
    ).groups()
    spelt = f"{stem}@k{tail or ''}" if at else stem
    part = SPELT.get(spelt)
    if part is None and not tail and stem in plugins.names("metrics"):
        part = stem
    if part is None or (at and int(k) < 1):
        known = [word.replace("@k", f"@{max(int(k or 10), 1)}") for word in SPELT]
        same_letters = [word for word in known if word.lower() == name.lower()]
        raise UserError(
            f"There is no metric called '{name}'. {did_you_mean(same_letters[0] if same_letters else name, known)}"
        )
    options = {**({"k": int(k)} if at else {}), **_OPTIONS.get(spelt, {})}
    metric: Metric = plugins.build("metrics", part, **options)
    return metric


def measure(ranks: Mapping[str, Ranks], metrics: Sequence[str]) -> Measurement:
    """Every metric at every level, from ranks alone: also how stored results are checked."""
    functions = {name: parse_metric(name) for name in metrics}
    per_query = {
        (level, name): function(one) for level, one in ranks.items() for name, function in functions.items()
    }
    return Measurement(ranks=ranks, per_query=per_query)


def evaluate(
    evidence: Evidence,
    evalset: EvalSet,
    *,
    protocol: Protocol,
    metrics: Sequence[str],
    levels: Sequence[str] | None = None,
    engine: str = "numpy",
    device: str | None = None,
) -> Measurement:
    """Measure descriptors on an evaluation set, at all its levels or at some.

    Distractors are negatives of every query. A protocol that re-ranks with a matcher needs the evidence's logits, one
    that searches approximately needs faiss. `engine` is "numpy" or "torch" (on `device`) and does not change the
    result.
    Raises `DataError` where rows and images differ in number, `UserError` for a metric, level or re-ranker that does
    not exist, or one without the matcher it needs.
    """
    metrics = list(dict.fromkeys(metrics))
    _require_one_row_an_image(evidence, evalset)
    _require_known(evidence, evalset, protocol=protocol, metrics=metrics, levels=levels or ())
    if protocol.search != "exact":
        return _approximated(
            evidence, evalset, protocol.search, metrics=metrics, levels=levels, engine=engine, device=device
        )
    asked, searched = expansion.apply(
        protocol.expansion,
        evidence.queries,
        evidence.database,
        query_rows=evalset.query_rows,
        engine=engine,
        device=device,
    )
    ranks = count_ranks(asked, searched, evalset.truth, levels=levels, engine=engine, device=device)
    if protocol.rerank.kind != "none":
        ranks = reranked(
            ranks,
            Evidence(queries=asked, database=searched, logits=evidence.logits),
            evalset.truth,
            spec=protocol.rerank,
            query_rows=evalset.query_rows,
            engine=engine,
            device=device,
        )
    return measure(ranks, metrics)


def _approximated(
    evidence: Evidence,
    evalset: EvalSet,
    index: IndexSpec,
    *,
    metrics: Sequence[str],
    levels: Sequence[str] | None,
    engine: str,
    device: str | None,
) -> Measurement:
    """What an index finds, judged: positives that it does not find have no rank."""
    found = approximate(
        evidence.queries,
        evidence.database,
        index,
        query_rows=evalset.query_rows,
        engine=engine,
        device=device,
    )
    truth = evalset.truth
    ranks = {level: judge(found.ranking, truth, level) for level in levels or truth.levels}
    return replace(measure(ranks, metrics), search=found.facts)


def _require_one_row_an_image(evidence: Evidence, evalset: EvalSet) -> None:
    """The lists and the rows have the same lengths; the first part of what is searched is the database."""
    for what, rows, images in (
        ("query", evidence.queries, evalset.queries),
        ("database", evidence.database.parts[0], evalset.database),
    ):
        if len(rows) != len(images):
            raise DataError(
                f"{evalset.name}: {len(images)} {what} images but {len(rows)} descriptors. Extract again."
            )


def _require_known(
    evidence: Evidence,
    evalset: EvalSet,
    *,
    protocol: Protocol,
    metrics: Sequence[str],
    levels: Sequence[str],
) -> None:
    """A misspelt name ends the command before the work, not after it."""
    require_names(evalset, metrics=metrics, levels=levels)
    if protocol.rerank.kind != "none":
        build_reranker(protocol.rerank)
        if protocol.rerank.learned and evidence.logits is None:
            raise UserError(
                f"re-ranker {protocol.rerank.kind} needs a trained matcher of image pairs. Measure with "
                "`vitret bench`, which trains one, or with rerank.kind: none."
            )


def require_names(evalset: EvalSet, *, metrics: Sequence[str], levels: Sequence[str]) -> None:
    """Raise `UserError` for a level that the set does not have or a metric that does not exist."""
    for level in levels:
        if level not in evalset.truth.levels:
            raise UserError(
                f"{evalset.name} has no level '{level}'. {did_you_mean(level, evalset.truth.levels)}"
            )
    for name in metrics:
        parse_metric(name)
