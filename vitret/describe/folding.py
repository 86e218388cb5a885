"""Batch norm folded into the convolution before it: at test time both are linear (Jacob et al., CVPR 2018).

A third of an EfficientNet's time on a CPU is spent in its batch norms. Kernels that see channels-last
maps are laid out so too: PyTorch would do it again for every batch, which takes 3 % of a ResNet-50's time at batch 1.
"""

from copy import deepcopy
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn
from torch.nn.utils.fusion import fuse_conv_bn_weights

from vitret.models.model import Retriever

# Folding rounds differently; descriptors that differ by more come from a layer that cannot be folded.
TOLERANCE = 1e-4
PROBE = 64


@torch.no_grad()
def folded(model: Retriever) -> Retriever:
    """A copy of a network in evaluation mode without the batch norms that follow a convolution; the given one is kept.

    Which norm follows which convolution is seen in one forward pass over a small image of noise. Where nothing
    can be folded, or the copy describes the noise otherwise (a convolution that changes its own weights), the
    network itself is returned. What is not folded is shared with the given network, not copied.
    """
    if not any(isinstance(module, nn.BatchNorm2d) for module in model.modules()):
        return model
    side = -(-PROBE // model.patch) * model.patch
    noise = torch.randn(1, 3, side, side, generator=torch.Generator().manual_seed(0))
    noise = noise.to(next(model.parameters()).device, memory_format=torch.channels_last)
    copy = deepcopy(model, {id(value): value for value in (*model.parameters(), *model.buffers())})
    expected, pairs = _watched(copy, noise)
    for convolution, norm, name, channels_last in pairs:
        weight, convolution.bias = fuse_conv_bn_weights(
            convolution.weight,
            convolution.bias,
            norm.running_mean,
            norm.running_var,
            norm.eps,
            norm.weight,
            norm.bias,
        )
        if channels_last:
            weight = nn.Parameter(weight.contiguous(memory_format=torch.channels_last), weight.requires_grad)
        convolution.weight = weight
        parent, _, leaf = name.rpartition(".")
        setattr(copy.get_submodule(parent), leaf, _rest(norm))
    same = torch.allclose(copy(noise), expected, rtol=0, atol=TOLERANCE)
    return copy if same else model


class _Pair(NamedTuple):
    """A convolution, the norm that takes its output and nothing else, and its name; whether maps come channels-last."""

    convolution: nn.Conv2d
    norm: Any
    name: str
    channels_last: bool


def _watched(model: Retriever, noise: Tensor) -> tuple[Tensor, list[_Pair]]:
    """The descriptor of the noise, and the pairs that were seen on the way; each of their modules is called once."""
    made: dict[int, tuple[nn.Conv2d, Tensor, bool]] = {}
    calls: dict[nn.Module, int] = {}
    pairs: list[_Pair] = []

    def seen(module: nn.Module, given: tuple[Any, ...], output: Tensor) -> None:
        calls[module] = calls.get(module, 0) + 1
        if isinstance(module, nn.Conv2d):
            # Keeping the tensor keeps its id from being used again.
            made[id(output)] = (module, output, _is_channels_last(given[0]))
        elif id(given[0]) in made:
            convolution, _, channels_last = made.pop(id(given[0]))
            pairs.append(_Pair(convolution, module, names[module], channels_last))

    names: dict[nn.Module, str] = {
        m: n for n, m in model.named_modules() if isinstance(m, nn.Conv2d | nn.BatchNorm2d)
    }
    hooks = [module.register_forward_hook(seen) for module in names]
    descriptor: Tensor = model(noise)
    for hook in hooks:
        hook.remove()
    once = [p for p in pairs if calls[p.convolution] == calls[p.norm] == 1 and p.norm.track_running_stats]
    return descriptor, once


def _is_channels_last(maps: Tensor) -> bool:
    """Whether maps lie so and not otherwise too, as those of one place or one channel do."""
    return maps.is_contiguous(memory_format=torch.channels_last) and not maps.is_contiguous()


def _rest(norm: nn.Module) -> nn.Module:
    """What a norm does besides normalising: timm's has dropout and activation inside."""
    inner = [module for module in norm.children() if not isinstance(module, nn.Identity)]
    return nn.Sequential(*inner) if len(inner) != 1 else inner[0]
