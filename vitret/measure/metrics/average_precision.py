"""Trapezoidal average precision of the Oxford protocol: Philbin et al., CVPR 2007; Radenović et al., CVPR 2018."""

from collections.abc import Callable

import numpy as np

from vitret.core.records import Float64, Ranks


def average_precision(ranks: Ranks) -> Float64:
    """Area under each query's precision-recall curve, by trapezoids.

    Positive j (from 0) at rank r adds the mean of the precision just before it, j / r (1 where r = 0), and just after
    it, (j + 1) / (r + 1), times the step in recall 1 / n. Positives without a rank add nothing.
    Returns (Q,) in [0, 1]; NaN for a query without positives.
    >>> average_precision(Ranks.of([[0, 2]], [2]))
    array([0.79166667])
    """
    found = np.diff(ranks.offsets)
    query = np.repeat(np.arange(len(ranks)), found)
    j = np.arange(len(ranks.values)) - np.repeat(ranks.offsets[:-1], found)
    r = ranks.values
    before = np.where(r == 0, 1.0, j / np.maximum(r, 1))
    after = (j + 1) / (r + 1)
    area = np.bincount(query, weights=(before + after) / 2, minlength=len(ranks))
    values = np.full(len(ranks), np.nan)
    np.divide(area, ranks.n_positive, out=values, where=ranks.n_positive > 0)
    return values


def build() -> Callable[[Ranks], Float64]:
    """Average precision has no options."""
    return average_precision
