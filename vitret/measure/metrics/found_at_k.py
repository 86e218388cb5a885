"""Recall of information retrieval, a fraction of the positives: Manning, Raghavan and Schütze, 2008, section 8.3."""

from collections.abc import Callable
from functools import partial

import numpy as np

from vitret.core.records import Float64, Ranks


def found_at_k(ranks: Ranks, *, k: int) -> Float64:
    """The fraction of a query's positives that are among the first k; `recall_at_k` is 1 as soon as one of them is.

    Returns (Q,) in [0, 1]; NaN for a query without positives.
    >>> found_at_k(Ranks.of([[0, 1], [0, 9], []], [4, 2, 1]), k=5)
    array([0.5, 0.5, 0. ])
    """
    query = np.repeat(np.arange(len(ranks)), np.diff(ranks.offsets))
    hits = np.bincount(query[ranks.values < k], minlength=len(ranks))
    values = np.full(len(ranks), np.nan)
    np.divide(hits, ranks.n_positive, out=values, where=ranks.n_positive > 0)
    return values


def build(*, k: int) -> Callable[[Ranks], Float64]:
    """The fraction found among the first `k`."""
    return partial(found_at_k, k=k)
