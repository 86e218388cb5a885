"""Reciprocal rank of the first positive: Voorhees, TREC-8 Question Answering Track Report, 1999."""

from collections.abc import Callable

import numpy as np

from vitret.core.records import Float64, Ranks


def reciprocal_rank(ranks: Ranks) -> Float64:
    """One over the place of the first positive, counted from 1; 0 where none is ranked.

    Returns (Q,) in [0, 1]; NaN for a query without positives. Its mean over queries is MRR.
    >>> reciprocal_rank(Ranks.of([[0, 2], [3], []], [2, 1, 1]))
    array([1.  , 0.25, 0.  ])
    """
    values = np.zeros(len(ranks))
    some = np.diff(ranks.offsets) > 0
    values[some] = 1 / (ranks.values[ranks.offsets[:-1][some]] + 1)
    return np.where(ranks.n_positive > 0, values, np.nan)


def build() -> Callable[[Ranks], Float64]:
    """Reciprocal rank has no options."""
    return reciprocal_rank
