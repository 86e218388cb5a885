"""Batch norm that learns, over several processes: its statistics are those of the whole batch.

Ioffe and Szegedy, ICML 2015, synchronised: processes add up means and squared deviations, so that N of them with B
images each normalise as one with N·B, have its gradients, and keep the same running statistics. On GPUs that is
torch's own module, put in by timm. Ours is for CPUs alone, where torch refuses ("expected input tensor to be on a
GPU").
"""

import contextlib
from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor, nn

from vitret.learn import distributed
from vitret.models.backbones.timm_model import timm

Norm = nn.modules.batchnorm._BatchNorm


class _Sum(torch.autograd.Function):
    """The sum over all processes; its gradient is the sum of all processes' gradients."""

    @staticmethod
    def forward(ctx: Any, x: Tensor) -> Tensor:
        return distributed.summed(x)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> Tensor:
        return distributed.summed(gradients[0])


class SharedBatchNorm(nn.SyncBatchNorm):
    """Synchronised batch norm for CPUs; then what a subclass adds.

    Takes (B, D, …) with as many values per channel in every process. timm's batch norms apply dropout and activation
    themselves: they stay children here. Parameters and buffers are called as in `nn.BatchNorm2d`.
    """

    def forward(self, x: Tensor) -> Tensor:
        alone = not self.training or distributed.world() == 1
        y: Tensor = super().forward(x) if alone else self._over_processes(x)
        for module in self.children():
            y = module(y)
        return y

    def _over_processes(self, x: Tensor) -> Tensor:
        values, processes = x.float(), distributed.world()
        axes = [0, *range(2, x.ndim)]
        shape = [1, -1] + [1] * (x.ndim - 2)
        # Deviations from the common mean: a difference of squares would lose what float32 has.
        mean = _sum(values.mean(axes)) / processes
        apart = values - mean.view(shape)
        variance = _sum(apart.square().mean(axes)) / processes
        if self.track_running_stats:
            self._remember(mean.detach(), variance.detach(), processes * x.numel() // x.shape[1])
        y = apart * (variance + self.eps).rsqrt().view(shape)
        if self.affine:
            y = y * self.weight.view(shape) + self.bias.view(shape)
        return y.to(x.dtype)

    def _remember(self, mean: Tensor, variance: Tensor, count: int) -> None:
        assert self.running_mean is not None
        assert self.running_var is not None
        assert self.num_batches_tracked is not None
        self.num_batches_tracked.add_(1)
        share = 1 / self.num_batches_tracked.item() if self.momentum is None else self.momentum
        self.running_mean.lerp_(mean, share)
        self.running_var.lerp_(variance * (count / (count - 1)), share)


def _sum(x: Tensor) -> Tensor:
    total: Tensor = _Sum.apply(x)  # type: ignore[no-untyped-call]
    return total


def share_batch_norm(model: nn.Module, device: torch.device) -> None:
    """Replace every batch norm inside `model` by a shared one with the same parameters, buffers and names."""
    if device.type == "cuda":
        timm.layers.convert_sync_batchnorm(model)
        return
    made: dict[nn.Module, SharedBatchNorm] = {}
    for parent in list(model.modules()):
        for name, child in list(parent._modules.items()):
            if isinstance(child, Norm) and not isinstance(child, SharedBatchNorm):
                made[child] = made.get(child) or _shared(child)
                setattr(parent, name, made[child])


def _shared(norm: Norm) -> SharedBatchNorm:
    tracked = norm.track_running_stats
    made = SharedBatchNorm(norm.num_features, norm.eps, norm.momentum, norm.affine, tracked)
    for name, parameter in norm.named_parameters(recurse=False):
        setattr(made, name, parameter)
    for name, buffer in norm.named_buffers(recurse=False):
        setattr(made, name, buffer)
    for name, module in norm.named_children():
        made.add_module(name, module)
    return made.train(norm.training)


def learns_batch_norm(model: nn.Module) -> bool:
    return any(isinstance(module, Norm) and module.training for module in model.modules())


@contextlib.contextmanager
def buffers_kept(model: nn.Module) -> Iterator[None]:
    """Undo at the end what forward passes inside did to buffers, running statistics above all."""
    before = [(buffer, buffer.clone()) for buffer in model.buffers()]
    try:
        yield
    finally:
        for buffer, value in before:
            buffer.copy_(value)
