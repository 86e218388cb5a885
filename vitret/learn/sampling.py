"""What a sampler is: from a seed, an epoch and the facts of a training set to the batches of that epoch.

A plan is an array (steps, batch) of image rows. It is a function of (seed, epoch), for a mining sampler of the
network too, so that training can continue at any step of it.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from vitret.core.errors import UserError
from vitret.core.records import Int64

Describe = Callable[[Int64], NDArray[np.float32]]
"""Rows (n,) → unit descriptors (n, D) of these images, without augmentation, by the network as it is now."""


@dataclass(frozen=True, kw_only=True, eq=False)
class Facts:
    """What samplers may look at.

    `labels` (n,), `pairs` (P, 2) rows (query, positive) or None; `groups()` gives each image's aspect-ratio group
    (n,), read from the files when asked for; `batch` images at most stand in a batch.
    """

    labels: Int64
    batch: int
    seed: int
    pairs: Int64 | None
    groups: Callable[[], Int64]

    def generator(self, epoch: int) -> np.random.Generator:
        """The randomness of one epoch, apart from every other use of the seed."""
        return np.random.default_rng([self.seed, epoch, 0x5A])


@dataclass(frozen=True, kw_only=True)
class Sampler:
    """`plan(epoch, describe)` gives the epoch's batches (steps, B), with B = `batch`.

    `mines` says that it calls `describe`, so that the plan cannot be made again from the seed.
    """

    plan: Callable[[int, Describe], Int64]
    batch: int
    mines: bool = False


def whole_batches(rows: Int64, batch: int) -> Int64:
    """Cut (n,) into (n // batch, batch); the incomplete last batch is dropped.

    >>> whole_batches(np.arange(5), 2).tolist()
    [[0, 1], [2, 3]]
    """
    if batch < 1:
        raise UserError("a batch must hold at least one image.")
    steps = len(rows) // batch
    return rows[: steps * batch].reshape(steps, batch)
