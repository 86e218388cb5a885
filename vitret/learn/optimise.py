"""The optimiser and its learning rate at each step, as a recipe's `optimiser` says."""

import math
from collections.abc import Iterable

import torch
from torch import nn

from vitret.core.recipes import OptimiserSpec


def lr_at(step: int, *, total: int, epoch: int, spec: OptimiserSpec) -> float:
    """The learning rate of a 0-based step.

    It rises in a straight line over the warm-up's share of the steps and then follows the schedule: half a cosine
    from `lr` to `final_lr`, constant, or multiplied by `decay` once an epoch.
    """
    warm = round(spec.warmup * total)
    if step < warm:
        return spec.lr * (step + 1) / warm
    if spec.schedule == "constant":
        return spec.lr
    if spec.schedule == "exponential":
        return max(spec.final_lr, spec.lr * float(spec.decay) ** epoch)
    done = (step - warm) / max(1, total - warm)
    return spec.final_lr + (spec.lr - spec.final_lr) * 0.5 * (1 + math.cos(math.pi * done))


def make_optimiser(
    spec: OptimiserSpec, backbone: nn.Module, rest: Iterable[nn.Module], *, fused: bool
) -> torch.optim.Optimizer:
    """`rest` (head, losses) learns at `head_lr_factor` times the rate; vectors and scalars are not decayed.

    Each group remembers its `factor`, by which `set_lr` multiplies.
    """
    groups = []
    for modules, factor in (([backbone], 1.0), (list(rest), spec.head_lr_factor)):
        learned = [p for module in modules for p in module.parameters() if p.requires_grad]
        for decayed in (True, False):
            chosen = [p for p in learned if (p.ndim >= 2) == decayed]
            if chosen:
                decay = spec.weight_decay if decayed else 0.0
                groups.append(
                    {"params": chosen, "factor": factor, "lr": spec.lr * factor, "weight_decay": decay}
                )
    if spec.name == "sgd":
        return torch.optim.SGD(groups, momentum=spec.momentum, nesterov=spec.nesterov, fused=fused)
    kind = torch.optim.AdamW if spec.name == "adamw" else torch.optim.Adam
    return kind(groups, betas=spec.betas, fused=fused)


def set_lr(optimiser: torch.optim.Optimizer, lr: float) -> None:
    for group in optimiser.param_groups:
        group["lr"] = lr * group["factor"]


def batch_norm_to_eval(model: nn.Module) -> None:
    """Keep running statistics as they are; scale and shift go on learning."""
    for module in model.modules():
        if isinstance(module, nn.modules.batchnorm._BatchNorm):
            module.eval()


@torch.no_grad()
def update_copy(copy: nn.Module, model: nn.Module, momentum: float) -> None:
    """Move a slow copy towards the model: weights by 1 − momentum, buffers are copied."""
    for slow, fast in zip(copy.parameters(), model.parameters(), strict=True):
        slow.lerp_(fast, 1 - momentum)
    for old, new in zip(copy.buffers(), model.buffers(), strict=True):
        old.copy_(new)
