"""What a tuple is made of: a pair of one class, hard negatives from a pool; Radenović et al., TPAMI 2018."""

import numpy as np
from numpy.typing import NDArray

from vitret.core.errors import UserError
from vitret.core.records import Int64
from vitret.learn.sampling import Describe

# Similarities held at a time, float32 values: 64 MB.
_BLOCK = 1 << 24


def class_pairs(labels: Int64, generator: np.random.Generator) -> Int64:
    """Every image of a class of two or more as query, with another of its class, at random, as positive: (n, 2).

    >>> class_pairs(np.array([0, 1, 0]), np.random.default_rng(0)).tolist()
    [[0, 2], [2, 0]]
    """
    order = generator.permutation(len(labels))
    order = order[np.argsort(labels[order], kind="stable")]
    starts = np.flatnonzero(np.diff(labels[order], prepend=-1))
    pairs = []
    for rows in np.split(order, starts[1:]):
        if len(rows) > 1:
            pairs.append(np.stack([rows, np.roll(rows, 1)], axis=1))
    if not pairs:
        return np.empty((0, 2), np.int64)
    joined = np.concatenate(pairs).astype(np.int64)
    return joined[np.argsort(joined[:, 0])]


def hard_negatives(queries: Int64, pool: Int64, labels: Int64, describe: Describe, *, count: int) -> Int64:
    """For each query its `count` most similar pool images of other, mutually different classes: (Q, count) rows.

    Most similar first; equal similarities by place in the pool.
    """
    pool_classes = labels[pool]
    if len(np.unique(pool_classes)) <= count:
        raise UserError(
            f"mining {count} negatives of different classes needs more than {count} classes in the pool; it has "
            f"{len(np.unique(pool_classes))}. Take fewer negatives or a larger pool."
        )
    rows, place = np.unique(np.concatenate([queries, pool]), return_inverse=True)
    described = describe(rows)
    asked, offered = described[place[: len(queries)]], described[place[len(queries) :]]
    found = np.empty((len(queries), count), np.int64)
    step = max(1, _BLOCK // len(pool))
    for start in range(0, len(queries), step):
        similarity = asked[start : start + step] @ offered.T
        for q, row in enumerate(similarity, start):
            found[q] = pool[_best_of_classes(row, pool_classes, labels[queries[q]], count)]
    return found


def _best_of_classes(similarity: NDArray[np.float32], classes: Int64, own: np.int64, count: int) -> Int64:
    """Places of the nearest image of each of the `count` nearest classes other than `own`."""
    k = min(len(similarity), 8 * count)
    while True:
        # The k-th value's ties are taken in whole, so that the answer does not depend on the partition.
        bound = np.partition(similarity, len(similarity) - k)[len(similarity) - k]
        places = np.flatnonzero(similarity >= bound)
        places = places[np.argsort(-similarity[places], kind="stable")]
        places = places[classes[places] != own]
        _, first = np.unique(classes[places], return_index=True)
        if len(first) >= count or k == len(similarity):
            return np.asarray(places[np.sort(first)[:count]], dtype=np.int64)
        k = min(len(similarity), 4 * k)
