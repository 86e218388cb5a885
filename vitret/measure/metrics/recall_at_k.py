"""Recall@K of category retrieval: Jégou et al., TPAMI 2011; Oh Song et al., CVPR 2016."""

from collections.abc import Callable
from functools import partial

import numpy as np

from vitret.core.records import Float64, Ranks


def recall_at_k(ranks: Ranks, *, k: int) -> Float64:
    """1 where any positive is among the first k, else 0: a hit rate, not the fraction of positives found.

    Returns (Q,) of 0 and 1; NaN for a query without positives.
    >>> recall_at_k(Ranks.of([[0, 5], [1], []], [2, 1, 1]), k=1)
    array([1., 0., 0.])
    """
    hit = np.zeros(len(ranks))
    some = np.diff(ranks.offsets) > 0
    hit[some] = ranks.values[ranks.offsets[:-1][some]] < k
    return np.where(ranks.n_positive > 0, hit, np.nan)


def build(*, k: int) -> Callable[[Ranks], Float64]:
    """A positive among the first `k`."""
    return partial(recall_at_k, k=k)
