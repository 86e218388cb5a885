"""Group-size sampling: batches of one aspect-ratio group, so that images keep their shape; Yokoo et al., 2020; GLAM."""

import numpy as np

from vitret.core.errors import UserError
from vitret.core.records import Int64
from vitret.learn.sampling import Describe, Facts, Sampler, whole_batches


def build(facts: Facts) -> Sampler:
    """Images come in random order; a batch goes out when its group has filled it, incomplete ones are dropped."""

    def plan(epoch: int, describe: Describe) -> Int64:
        order = facts.generator(epoch).permutation(len(facts.labels)).astype(np.int64)
        groups = facts.groups()[order]
        batches, filled = [], []
        for group in np.unique(groups):
            places = np.flatnonzero(groups == group)
            whole = whole_batches(places, facts.batch)
            batches.append(order[whole])
            filled.append(whole[:, -1])  # a batch is full when its last image has come
        ready = np.argsort(np.concatenate(filled), kind="stable")
        planned = np.concatenate(batches)[ready]
        if not len(planned):
            raise UserError(
                f"sampler groups: no aspect-ratio group has {facts.batch} images, so that no batch is ever full. "
                "Choose a smaller batch."
            )
        return planned

    return Sampler(plan=plan, batch=facts.batch)
