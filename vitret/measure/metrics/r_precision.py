"""R-precision: Manning, Raghavan and Schütze, Introduction to Information Retrieval, 2008, section 8.4."""

from collections.abc import Callable

import numpy as np

from vitret.core.records import Float64, Ranks


def r_precision(ranks: Ranks) -> Float64:
    """The fraction of the first R that are positive, where R is the query's number of positives.

    Returns (Q,) in [0, 1]; NaN for a query without positives.
    >>> r_precision(Ranks.of([[0, 2, 3]], [3]))
    array([0.66666667])
    """
    query = np.repeat(np.arange(len(ranks)), np.diff(ranks.offsets))
    hits = np.bincount(query[ranks.values < ranks.n_positive[query]], minlength=len(ranks))
    values = np.full(len(ranks), np.nan)
    np.divide(hits, ranks.n_positive, out=values, where=ranks.n_positive > 0)
    return values


def build() -> Callable[[Ranks], Float64]:
    """R-precision has no options."""
    return r_precision
