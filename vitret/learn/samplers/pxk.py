"""P classes × K images a batch: Hermans et al., "In Defense of the Triplet Loss", 2017."""

import numpy as np

from vitret.core.errors import UserError
from vitret.core.records import Int64
from vitret.learn.sampling import Describe, Facts, Sampler


def build(facts: Facts, *, k: int = 4) -> Sampler:
    """A batch holds ⌊batch / k⌋ different classes, fewer images than the batch if that does not divide.

    An epoch shows about as many images as the set has. Classes come in random order, each once before any comes
    again; a class of one image is passed over; one with fewer than `k` repeats images.
    """
    order = np.argsort(facts.labels, kind="stable")
    classes, starts = np.unique(facts.labels[order], return_index=True)
    members = [rows for rows in np.split(order.astype(np.int64), starts[1:]) if len(rows) > 1]
    per_batch = facts.batch // k
    if per_batch < 2 or len(members) < per_batch:
        raise UserError(
            f"sampler pxk: a batch of {facts.batch} holds {per_batch} classes of {k} images, and the training "
            f"set has {len(members)} classes of two images or more (of {len(classes)}). At least 2 classes must fit "
            "a batch, and no more than there are: change the batch or `k`."
        )

    def plan(epoch: int, describe: Describe) -> Int64:
        generator = facts.generator(epoch)
        steps = max(1, len(facts.labels) // (per_batch * k))
        # Whole rounds over the classes, each cut into whole batches, so that no class stands twice in one.
        a_round = len(members) // per_batch
        rounds = [generator.permutation(len(members)) for _ in range(-(-steps // a_round))]
        chosen = np.concatenate([r[: a_round * per_batch] for r in rounds])[: steps * per_batch]
        rows = [_draw(generator, members[c], k) for c in chosen]
        return np.concatenate(rows).reshape(steps, per_batch * k)

    return Sampler(plan=plan, batch=per_batch * k)


def _draw(generator: np.random.Generator, rows: Int64, count: int) -> Int64:
    """`count` of the rows, all different where there are enough, else each about equally often."""
    repeats = [generator.permutation(rows) for _ in range(-(-count // len(rows)))]
    return np.concatenate(repeats)[:count]
