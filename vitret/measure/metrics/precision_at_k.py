"""Precision at k as the revisited protocol counts it: Radenović et al., CVPR 2018, and their evaluation code."""

from collections.abc import Callable
from functools import partial

import numpy as np

from vitret.core.records import Float64, Ranks


def precision_at_k(ranks: Ranks, *, k: int) -> Float64:
    """Positives among the first k', divided by k', where k' = min(k, place of the last ranked positive).

    The official code shortens k when all positives come before it; kept, because published numbers have it so.
    In a ranking that stops early, "last" is the last that was found; one that found none has 0, where the official
    code stops with an error. Rank whole databases where the difference matters, as `vitret eval` does.
    Returns (Q,) in [0, 1]; NaN for a query without positives.
    >>> precision_at_k(Ranks.of([[0, 1], [0, 9], []], [2, 2, 1]), k=5)
    array([1. , 0.2, 0. ])
    """
    found = np.diff(ranks.offsets)
    query = np.repeat(np.arange(len(ranks)), found)
    hits = np.bincount(query[ranks.values < k], minlength=len(ranks))
    last = np.full(len(ranks), k, dtype=np.int64)
    last[found > 0] = np.minimum(k, ranks.values[ranks.offsets[1:][found > 0] - 1] + 1)
    return np.where(ranks.n_positive > 0, hits / last, np.nan)


def build(*, k: int) -> Callable[[Ranks], Float64]:
    """Precision among the first `k`."""
    return partial(precision_at_k, k=k)
