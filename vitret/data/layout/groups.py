"""Which queries of an evaluation set ask about one thing: its groups, the units that intervals and tests resample.

Five photographs of one landmark are not five independent questions. The groups follow from the truth, so no set has to
be prepared again for them.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_matrix
from scipy.sparse.csgraph import connected_components

from vitret.core.records import Int64, Truth

# Names of the rules; a changed rule gets another name, because tables of different rules are different tables.
BY_LABEL = "label"
BY_POSITIVES = "shared positives 1/2"
BY_COLUMN = "own column"
_SHARED = 0.5  # of the smaller set of positives


def groups_of(
    truth: Truth, labels: NDArray[np.int64] | None, given: NDArray[np.int64] | None = None
) -> tuple[Int64, str]:
    """Group of each query, (Q,) int64 numbered by first appearance, and the rule it follows from.

    Groups `given` by the user's own table come first; a query that has none there, −1, stands alone. Else, with labels
    a group is a label. Without, two queries are linked when they share at least half of the positives (easy or hard) of
    the one that has fewer, and a group is what links connect. A single shared photograph links nothing: wide views show
    several landmarks, and by them 42 of ROxford's 70 queries would be one group.
    """
    if given is not None:
        alone = given.max(initial=-1) + 1 + np.arange(len(given))
        return by_label(np.where(given >= 0, given, alone)), BY_COLUMN
    if labels is not None:
        return by_label(labels), BY_LABEL
    return by_shared_positives(truth), BY_POSITIVES


def by_label(labels: NDArray[np.int64]) -> Int64:
    """Labels numbered by first appearance.

    >>> by_label(np.array([7, 7, 2, 7])).tolist()
    [0, 0, 1, 0]
    """
    _, first, inverse = np.unique(labels, return_index=True, return_inverse=True)
    numbers = np.empty(len(first), np.int64)
    numbers[np.argsort(first)] = np.arange(len(first))
    return numbers[inverse]


def by_shared_positives(truth: Truth) -> Int64:
    """Connected components of the queries; a query without positives stands alone. Junk does not link."""
    level = "all" if "positive" in truth.judgements else "medium"
    positives, _ = truth.at(level)
    width = int(positives.values.max()) + 1 if len(positives.values) else 1
    ones = np.ones(len(positives.values), np.int32)
    judged = csr_matrix((ones, positives.values, positives.offsets), shape=(truth.queries, width))
    shared = (judged @ judged.T).tocoo()
    counts = positives.lengths()
    linked = shared.data >= _SHARED * np.minimum(counts[shared.row], counts[shared.col])
    links = csr_matrix(
        (np.ones(int(linked.sum()), np.int8), (shared.row[linked], shared.col[linked])),
        shape=(truth.queries, truth.queries),
    )
    _, components = connected_components(links, directed=False)
    return by_label(components.astype(np.int64))
