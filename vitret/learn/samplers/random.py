"""Every image once an epoch, in random order."""

import numpy as np

from vitret.core.records import Int64
from vitret.learn.sampling import Describe, Facts, Sampler, whole_batches


def build(facts: Facts) -> Sampler:
    def plan(epoch: int, describe: Describe) -> Int64:
        order = facts.generator(epoch).permutation(len(facts.labels))
        return whole_batches(order.astype(np.int64), facts.batch)

    return Sampler(plan=plan, batch=facts.batch)
