"""The optimiser and its learning rate at each step, as a recipe's `optimiser` says."""

import math
from collections.abc import Mapping
from fnmatch import fnmatchcase

import torch
from torch import Tensor, nn

from vitret.core.errors import UserError
from vitret.core.recipes import OptimiserSpec
from vitret.learn.split_classes import is_split, total_norm


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


def freeze(spec: OptimiserSpec, backbone: nn.Module, rest: Mapping[str, nn.Module]) -> None:
    """Leave only the weights learning whose names fit a pattern of the recipe's `learns`; without it change nothing.

    Gradients still pass through what is frozen. A pattern that fits no weight is a `UserError`.
    """
    if spec.learns is None:
        return
    unused = set(spec.learns)
    for part, module in {"backbone": backbone, **rest}.items():
        for name, weight in module.named_parameters(prefix=part):
            fitting = [key for key in spec.learns if fnmatchcase(name, key)]
            unused.difference_update(fitting)
            weight.requires_grad_(bool(fitting) and weight.requires_grad)
    if unused:
        raise UserError(f"optimiser.learns: no weight is called like {', '.join(map(repr, sorted(unused)))}.")


def make_optimiser(
    spec: OptimiserSpec, backbone: nn.Module, rest: Mapping[str, nn.Module], *, fused: bool
) -> torch.optim.Optimizer:
    """Groups of weights, each with its rate and decay; `rest` holds the head and the losses by name.

    A weight's rate is `lr`, times the factor of the first of `lr_factors` whose pattern its name fits
    ("backbone.soa3.f.0.weight"), else, in `rest`, times `head_lr_factor`. What decays, see `_decays`; with `decay_all`
    everything does. Each group remembers its `factor`, by which `set_lr` multiplies. A pattern that fits no weight is
    a `UserError`.
    """
    groups: dict[tuple[bool, bool, float], list[nn.Parameter]] = {}
    unused = set(spec.lr_factors or ())
    for part, module in {"backbone": backbone, **rest}.items():
        tables = _tables(module)
        for name, weight in module.named_parameters(prefix=part):
            if not weight.requires_grad:
                continue
            fitting = [key for key in spec.lr_factors or () if fnmatchcase(name, key)]
            unused.difference_update(fitting)
            factor = 1.0 if part == "backbone" else spec.head_lr_factor
            if fitting:
                assert spec.lr_factors is not None
                factor = spec.lr_factors[fitting[0]]
            looked_up = name.removeprefix(f"{part}.") in tables
            spared = not spec.decay_all and (looked_up or not _decays(name, weight, spec))
            groups.setdefault((part != "backbone", spared, factor), []).append(weight)
    if unused:
        raise UserError(
            f"optimiser.lr_factors: no weight that learns is called like {', '.join(map(repr, sorted(unused)))}."
        )
    listed = [
        {
            "params": groups[key],
            "factor": key[2],
            "lr": spec.lr * key[2],
            "weight_decay": 0.0 if key[1] else spec.weight_decay,
        }
        for key in sorted(groups)
    ]
    if spec.name == "sgd":
        return torch.optim.SGD(listed, momentum=spec.momentum, nesterov=spec.nesterov, fused=fused)
    kind = torch.optim.AdamW if spec.name == "adamw" else torch.optim.Adam
    return kind(listed, betas=spec.betas, fused=fused)


def _decays(name: str, weight: nn.Parameter, spec: OptimiserSpec) -> bool:
    """Matrices and kernels do, vectors when the recipe says so, a pooling's exponent p never."""
    if name.rpartition(".")[2] == "p":
        return False
    return weight.ndim >= 2 or bool(spec.decay_vectors)


def _tables(module: nn.Module) -> set[str]:
    """Names of what is looked up and added (class tokens, positions), as timm's networks tell: never decayed."""
    found = set()
    for prefix, inner in module.named_modules():
        told = getattr(inner, "no_weight_decay", None)
        if callable(told):
            found |= {f"{prefix}.{name}".lstrip(".") for name in told()}
    return found


def set_lr(optimiser: torch.optim.Optimizer, lr: float) -> None:
    for group in optimiser.param_groups:
        group["lr"] = lr * group["factor"]


def clip_gradients(optimiser: torch.optim.Optimizer, limit: float) -> Tensor:
    """Scale all gradients down to a common norm of at most `limit`; returns the norm before."""
    learned = [weight for group in optimiser.param_groups for weight in group["params"]]
    if not any(is_split(weight) for weight in learned):
        return nn.utils.clip_grad_norm_(learned, limit)
    norm = total_norm(learned)
    nn.utils.clip_grads_with_norm_(learned, limit, norm)
    return norm


def descend(optimiser: torch.optim.Optimizer, loss: Tensor, *, clip: float | None) -> None:
    """One step of the optimiser in float32, by one process."""
    optimiser.zero_grad(set_to_none=True)
    loss.backward()  # type: ignore[no-untyped-call]
    if clip is not None:
        clip_gradients(optimiser, clip)
    optimiser.step()


def batch_norm_to_eval(model: nn.Module) -> None:
    """Keep running statistics as they are; scale and shift still learn."""
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
