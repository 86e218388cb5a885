"""What every metric and every re-ranker must do: the contract of both, as checks without torch."""

from collections.abc import Callable, Iterator, Mapping
from typing import Any

import numpy as np

from vitret.core import plugins
from vitret.core.contract import Stage
from vitret.core.records import Float64, Int64, Ranking, Ranks
from vitret.measure.reranking_shortlist import Evidence, Rerank
from vitret.measure.scoring import Rows


def random_rankings(n: int, seed: int = 0) -> tuple[list[Int64], list[int]]:
    """Whole and truncated rankings, queries without positives, single positives, all images positive."""
    rng = np.random.default_rng(seed)
    rows, positives = [], []
    for _ in range(n):
        size = int(rng.integers(1, 60))
        positive = int(rng.choice([0, 1, size, int(rng.integers(0, size + 1))]))
        ranks = np.sort(rng.choice(size, positive, replace=False)).astype(np.int64)
        if rng.random() < 0.4:
            ranks = ranks[ranks < rng.integers(0, size + 1)]
        rows.append(ranks)
        positives.append(positive)
    return rows, positives


def fractions(metric: Callable[[Ranks], Float64]) -> Iterator[str]:
    """One float64 in [0, 1] for each query, and NaN exactly where there is no positive."""
    ranks = Ranks.of(*random_rankings(40, seed=7))
    values = metric(ranks)
    if not isinstance(values, np.ndarray) or values.shape != (len(ranks),) or values.dtype != np.float64:
        found = f"{values.dtype} {values.shape}" if isinstance(values, np.ndarray) else type(values).__name__
        yield f"{len(ranks)} queries give {found}, not float64 ({len(ranks)},)."
        return
    asked = ranks.n_positive > 0
    if not np.isnan(values[~asked]).all():
        yield "a query without positives must give NaN, so that the mean leaves it out."
    if np.isnan(values[asked]).any():
        yield "a query with positives gives NaN."
    elif (values[asked] < 0).any() or (values[asked] > 1).any():
        yield f"values from {values[asked].min():.3g} to {values[asked].max():.3g} are not fractions in [0, 1]."
    if metric(Ranks.of([], [])).shape != (0,):
        yield "no queries must give an empty array (0,)."


def ends(metric: Callable[[Ranks], Float64]) -> Iterator[str]:
    """A perfect ranking is worth 1, one that found nothing 0."""
    perfect, nothing = metric(Ranks.of([np.arange(9)], [9]))[0], metric(Ranks.of([[]], [4]))[0]
    if not np.isclose(perfect, 1.0):
        yield f"a perfect ranking is worth {perfect:.4g}, not 1."
    if nothing != 0:
        yield f"a ranking that found no positive is worth {nothing:.4g}, not 0."


def metric_stages(name: str, options: Mapping[str, Any]) -> list[Stage]:
    """The contract of a metric."""

    def metric(ranks: Ranks) -> Float64:
        values: Float64 = plugins.build("metrics", name, **options)(ranks)
        return values

    return [
        [("values", lambda: fractions(metric))],
        [("best and worst", lambda: ends(metric))],
    ]


_IMAGES, _QUERIES = 30, 3


def reorders(rerank: Rerank) -> Iterator[str]:
    """The same images in another order, the same again on every call; the ranking that came in stays as it is."""
    rng = np.random.default_rng(0)
    database = rng.normal(size=(_IMAGES, 6))
    database /= np.linalg.norm(database, axis=1, keepdims=True)
    queries = database[:_QUERIES] + 0.1
    order = np.argsort(-(queries @ database.T), axis=1)
    evidence = Evidence(
        queries=queries, database=Rows.of(database), logits=lambda _, candidates: np.sin(candidates)
    )
    given = Ranking(indices=order.copy())
    found = rerank(given, evidence)
    if not isinstance(found, Ranking) or found.indices.shape != order.shape:
        yield f"the re-ranker gives {type(found).__name__}, not a Ranking of the same shape."
        return
    if not np.array_equal(np.sort(found.indices, axis=1), np.sort(order, axis=1)):
        yield "the re-ranked list does not hold the same images."
    if not np.array_equal(given.indices, order):
        yield "it changes the ranking it is given; work on a copy."
    if not np.array_equal(found.indices, rerank(given, evidence).indices):
        yield "two calls give different orders."


def reranker_stages(name: str, options: Mapping[str, Any]) -> list[Stage]:
    """The contract of a re-ranker."""
    return [[("re-ranking", lambda: reorders(plugins.build("rerankers", name, **options)))]]
