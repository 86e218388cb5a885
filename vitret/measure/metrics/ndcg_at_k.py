"""Normalised discounted cumulative gain of positives that are all worth 1: Järvelin and Kekäläinen, TOIS 2002."""

from collections.abc import Callable
from functools import partial

import numpy as np

from vitret.core.records import Float64, Ranks


def ndcg_at_k(ranks: Ranks, *, k: int) -> Float64:
    """The gain of the positives among the first k, 1 / log2(place + 1) each, over that of a perfect list.

    Places are counted from 1. Returns (Q,) in [0, 1]; NaN for a query without positives.
    >>> ndcg_at_k(Ranks.of([[0, 1], [1], []], [2, 1, 1]), k=10).round(4)
    array([1.    , 0.6309, 0.    ])
    """
    query = np.repeat(np.arange(len(ranks)), np.diff(ranks.offsets))
    inside = ranks.values < k
    gain = np.where(inside, 1 / np.log2(ranks.values + 2.0), 0.0)
    found = np.bincount(query, weights=gain, minlength=len(ranks))
    perfect = np.concatenate([[0.0], np.cumsum(1 / np.log2(np.arange(k) + 2.0))])
    values = np.full(len(ranks), np.nan)
    best = perfect[np.minimum(ranks.n_positive, k)]
    np.divide(found, best, out=values, where=ranks.n_positive > 0)
    # Two sums of the same terms may differ in their last bit.
    np.minimum(values, 1.0, out=values)
    return values


def build(*, k: int) -> Callable[[Ranks], Float64]:
    """The nDCG of the first `k`."""
    return partial(ndcg_at_k, k=k)
