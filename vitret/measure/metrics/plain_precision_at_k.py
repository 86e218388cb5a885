"""Precision at k without the revisited protocol's shortening: Manning, Raghavan and Schütze, 2008, section 8.4."""

from collections.abc import Callable
from functools import partial

import numpy as np

from vitret.core.records import Float64, Ranks


def plain_precision_at_k(ranks: Ranks, *, k: int) -> Float64:
    """Positives among the first k, divided by k; a query of fewer than k positives cannot reach 1.

    Returns (Q,) in [0, 1]; NaN for a query without positives.
    >>> plain_precision_at_k(Ranks.of([[0, 1], [0, 9], []], [2, 2, 1]), k=5)
    array([0.4, 0.2, 0. ])
    """
    query = np.repeat(np.arange(len(ranks)), np.diff(ranks.offsets))
    hits = np.bincount(query[ranks.values < k], minlength=len(ranks))
    return np.where(ranks.n_positive > 0, hits / k, np.nan)


def build(*, k: int) -> Callable[[Ranks], Float64]:
    """Precision among exactly `k`."""
    return partial(plain_precision_at_k, k=k)
