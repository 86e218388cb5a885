"""Several processes, one batch: each computes the descriptors of its share and the loss of all of them.

Started by `torchrun`. Every process sees the whole batch's descriptors in rank order, which is the plan's order,
so that N processes with B images each have the loss and the gradients of one process with N·B; batch norm that learns
sees all of them too (`vitret.learn.batch_norm`). Gradients of the network are summed over processes; those of a loss's
own weights are whole in each already. Dropout, drop path and WaveBlock use a different random state in each
process.
"""

import contextlib
import os
from collections.abc import Iterable, Iterator
from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor, nn

from vitret.core.errors import UserError
from vitret.describe.devices import own_device

# Gradients travel in pieces of this many numbers, several on their way at a time.
_BUCKET = 8 << 20


def start(device: torch.device) -> torch.device:
    """Join the processes that `torchrun` started; alone, do nothing. Returns this process's own device."""
    if "RANK" not in os.environ or dist.is_initialized():
        return device
    device = own_device(device)
    dist.init_process_group("nccl" if device.type == "cuda" else "gloo")
    return device


def stop() -> None:
    if dist.is_initialized():
        dist.destroy_process_group()


@contextlib.contextmanager
def joined(device: torch.device) -> Iterator[torch.device]:
    """`start`, and at the end `stop`: all processes together, unless one has an error, which then leaves at once.

    Whoever left while another still waits for its last message would take that one down too.
    """
    place = start(device)
    try:
        yield place
        if world() > 1:
            dist.barrier()
    finally:
        stop()


def summed(values: Tensor) -> Tensor:
    """The sum of everybody's values, another tensor; no gradient passes."""
    total = values.clone()
    dist.all_reduce(total)
    return total


def rank() -> int:
    return dist.get_rank() if dist.is_initialized() else 0


def world() -> int:
    return dist.get_world_size() if dist.is_initialized() else 1


def share(batch: int) -> slice:
    """This process's slots of a batch; the batch must divide by the number of processes."""
    if batch % world():
        raise UserError(
            f"a batch of {batch} does not divide among {world()} processes. Start a number of them that does."
        )
    each = batch // world()
    return slice(rank() * each, (rank() + 1) * each)


def gather(rows: Tensor) -> Tensor:
    """Rows (b, D) of all processes in rank order, (N·b, D).

    Gradients flow into this process's own rows only, and are whole: every process computes the whole loss.
    """
    if world() == 1:
        return rows
    parts = [torch.empty_like(rows) for _ in range(world())]
    dist.all_gather(parts, rows.detach().contiguous())
    parts[rank()] = rows
    return torch.cat(parts)


def sum_gradients(parameters: Iterable[nn.Parameter]) -> None:
    """Replace each gradient by its sum over all processes."""
    if world() == 1:
        return
    gradients = [p.grad for p in parameters if p.grad is not None]
    buckets: list[list[Tensor]] = [[]]
    for gradient in gradients:
        if sum(g.numel() for g in buckets[-1]) > _BUCKET:
            buckets.append([])
        buckets[-1].append(gradient)
    under_way = []
    for bucket in buckets:
        flat = torch.cat([g.reshape(-1) for g in bucket])
        under_way.append((bucket, flat, dist.all_reduce(flat, async_op=True)))
    for bucket, flat, work in under_way:
        assert work is not None
        work.wait()
        for gradient, whole in zip(bucket, torch.split(flat, [g.numel() for g in bucket]), strict=True):
            gradient.copy_(whole.view_as(gradient))


def from_first(value: Any) -> Any:
    """The first process's value, in all."""
    if world() == 1:
        return value
    box = [value]
    dist.broadcast_object_list(box)
    return box[0]


def from_all(value: Any) -> list[Any]:
    """Every process's value, in rank order."""
    if world() == 1:
        return [value]
    box: list[Any] = [None] * world()
    dist.all_gather_object(box, value)
    return box
