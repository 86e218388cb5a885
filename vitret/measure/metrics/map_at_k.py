"""mAP@k of the Google Landmarks retrieval challenge: Weyand et al., CVPR 2020, with k = 100."""

from collections.abc import Callable
from functools import partial
from typing import Literal

import numpy as np

from vitret.core.errors import UserError
from vitret.core.records import Float64, Ranks

Denominator = Literal["min", "positives", "found"]


def map_at_k(ranks: Ranks, *, k: int, denominator: Denominator = "min") -> Float64:
    """The sum of the precisions at the positives among the first k, divided by a number on which authors differ.

    "min": min(n, k) for n positives, the rule of the challenge, with which a perfect list scores 1. "positives": n.
    "found": the positives among the first k, as open-metric-learning divides.
    Returns (Q,) in [0, 1]; NaN for a query without positives.
    >>> map_at_k(Ranks.of([[0, 2, 7]], [3]), k=5)
    array([0.55555556])
    """
    found = np.diff(ranks.offsets)
    query = np.repeat(np.arange(len(ranks)), found)
    j = np.arange(len(ranks.values)) - np.repeat(ranks.offsets[:-1], found)
    inside = ranks.values < k
    total = np.bincount(
        query, weights=np.where(inside, (j + 1) / (ranks.values + 1), 0.0), minlength=len(ranks)
    )
    if denominator == "min":
        divisor = np.minimum(ranks.n_positive, k)
    elif denominator == "positives":
        divisor = ranks.n_positive
    else:
        divisor = np.maximum(np.bincount(query[inside], minlength=len(ranks)), 1)
    values = np.full(len(ranks), np.nan)
    np.divide(total, divisor, out=values, where=ranks.n_positive > 0)
    return values


def build(*, k: int = 100, denominator: Denominator = "min") -> Callable[[Ranks], Float64]:
    """The mAP of the first `k`; `denominator` is "min", "positives" or "found"."""
    if denominator not in ("min", "positives", "found"):
        raise UserError(f"map_at_k: denominator '{denominator}' is not one of min, positives, found.")
    return partial(map_at_k, k=k, denominator=denominator)
