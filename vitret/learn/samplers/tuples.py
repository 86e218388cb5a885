"""Tuples of a query, its positive and mined negatives: Radenović et al., TPAMI 2018; numbers of its public code."""

import numpy as np

from vitret.core.errors import UserError
from vitret.core.records import Int64
from vitret.learn.mining import class_pairs, hard_negatives
from vitret.learn.sampling import Describe, Facts, Sampler, whole_batches


def build(facts: Facts, *, negatives: int = 5, queries: int = 2000, pool: int = 20000) -> Sampler:
    """An epoch takes `queries` random pairs and `pool` random images; both at most what the set has.

    The negatives of a query are the pool's most similar images to it, from classes other than its own and
    mutually different. Where the set has no pairs, images of one class are paired at random.
    """
    size = negatives + 2
    if facts.batch < size:
        raise UserError(
            f"sampler tuples: a tuple of {negatives} negatives is {size} images, the batch {facts.batch}. "
            "Take fewer negatives or a larger batch."
        )
    available = _pairs(facts)
    if not available:
        raise UserError("sampler tuples: the training set has no two images of one class.")
    per_batch = min(facts.batch // size, queries, available)

    def plan(epoch: int, describe: Describe) -> Int64:
        generator = facts.generator(epoch)
        pairs = facts.pairs if facts.pairs is not None else class_pairs(facts.labels, generator)
        pairs = pairs[generator.permutation(len(pairs))[:queries]]
        n = len(facts.labels)
        candidates = np.sort(generator.permutation(n)[: min(pool, n)]).astype(np.int64)
        mined = hard_negatives(pairs[:, 0], candidates, facts.labels, describe, count=negatives)
        tuples = np.concatenate([pairs, mined], axis=1)
        rows: Int64 = tuples.reshape(-1)
        return whole_batches(rows, per_batch * size)

    return Sampler(plan=plan, batch=per_batch * size, mines=True)


def _pairs(facts: Facts) -> int:
    """How many pairs an epoch can choose from."""
    if facts.pairs is not None:
        return len(facts.pairs)
    _, counts = np.unique(facts.labels, return_counts=True)
    return int(counts[counts > 1].sum())
