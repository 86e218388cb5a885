"""MAP@R: Musgrave, Belongie and Lim, A Metric Learning Reality Check, ECCV 2020."""

from collections.abc import Callable

import numpy as np

from vitret.core.records import Float64, Ranks


def map_at_r(ranks: Ranks) -> Float64:
    """The sum of the precisions at the positives among the first R, divided by R, the number of positives.

    Returns (Q,) in [0, 1]; NaN for a query without positives. Its mean over queries is MAP@R.
    >>> map_at_r(Ranks.of([[0, 2, 3]], [3]))
    array([0.55555556])
    """
    found = np.diff(ranks.offsets)
    query = np.repeat(np.arange(len(ranks)), found)
    j = np.arange(len(ranks.values)) - np.repeat(ranks.offsets[:-1], found)
    precision = np.where(ranks.values < ranks.n_positive[query], (j + 1) / (ranks.values + 1), 0.0)
    total = np.bincount(query, weights=precision, minlength=len(ranks))
    values = np.full(len(ranks), np.nan)
    np.divide(total, ranks.n_positive, out=values, where=ranks.n_positive > 0)
    return values


def build() -> Callable[[Ranks], Float64]:
    """MAP@R has no options."""
    return map_at_r
