"""Class centres divided among processes: each holds and learns a part of them, and the loss is that of all classes.

Weights, gradients and moments of 200,000 classes do not fit beside a network on one card. Every process has the
descriptors of the whole batch; of the softmax it computes the columns of its own classes, and two sums and a maximum
over processes make the loss (the model parallel softmax of An et al., "Partial FC", 2020). Alone everything is whole.
"""

from collections.abc import Iterable
from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor, nn

from vitret.core.errors import UserError
from vitret.learn import distributed


def own_classes(classes: int) -> range:
    """The classes that this process holds; there must be one for each process."""
    rank, world = distributed.rank(), distributed.world()
    if classes < world:
        raise UserError(
            f"split: {classes} classes do not divide among {world} processes. Start fewer of them."
        )
    return range(classes * rank // world, classes * (rank + 1) // world)


def own_rows(weight: Tensor, mine: range) -> nn.Parameter:
    """The part of a drawn weight (C, D) that this process learns, marked as such."""
    whole = len(mine) == len(weight)
    part = nn.Parameter(weight if whole else weight[mine.start : mine.stop].clone())
    part.split_over_processes = not whole  # type: ignore[attr-defined]
    return part


def is_split(parameter: Tensor) -> bool:
    """Whether other processes hold more of a parameter."""
    return bool(getattr(parameter, "split_over_processes", False))


def split_size(parameters: Iterable[Tensor]) -> int:
    """Numbers in the split parameters that this process holds."""
    return sum(parameter.numel() for parameter in parameters if is_split(parameter))


def spread(descriptors: Tensor) -> Tensor:
    """The same rows; their gradient is the sum of what each process's classes say."""
    found: Tensor = _Spread.apply(descriptors)  # type: ignore[no-untyped-call]
    return found


def cross_entropy(logits: Tensor, own: Tensor, mine: Tensor) -> Tensor:
    """Mean cross-entropy over the batch and the classes of all processes.

    `logits` (B, c) of this process's classes; `own` (B,) the column of each row's class where it is `mine` (B,), any
    column elsewhere.
    """
    highest = logits.detach().amax(dim=1)
    dist.all_reduce(highest, dist.ReduceOp.MAX)
    total: Tensor = _Sum.apply((logits - highest[:, None]).exp().sum(dim=1))  # type: ignore[no-untyped-call]
    true = torch.where(mine, logits.gather(1, own[:, None])[:, 0], torch.zeros_like(highest))
    everybodys: Tensor = _Sum.apply(true)  # type: ignore[no-untyped-call]
    return (total.log() + highest - everybodys).mean()


def total_norm(parameters: Iterable[nn.Parameter]) -> Tensor:
    """Norm of all gradients, those of other processes' parts included."""
    learned = [p for p in parameters if p.grad is not None]
    squares = [torch.zeros((), device=learned[0].device) for _ in range(2)]
    for parameter in learned:
        assert parameter.grad is not None
        squares[is_split(parameter)] += parameter.grad.float().square().sum()
    dist.all_reduce(squares[True])
    return (squares[False] + squares[True]).sqrt()


class _Spread(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, rows: Tensor) -> Tensor:
        return rows.view_as(rows)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> Tensor:
        return distributed.summed(gradient.contiguous())


class _Sum(torch.autograd.Function):
    """The sum over processes; each has the whole loss, so a process's own summand has the gradient of the sum."""

    @staticmethod
    def forward(ctx: Any, part: Tensor) -> Tensor:
        return distributed.summed(part)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> Tensor:
        return gradient
