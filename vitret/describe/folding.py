"""Batch norm folded into the convolution before it: at test time both are linear (Jacob et al., CVPR 2018).

A third of an EfficientNet's time on a CPU is spent in its batch norms.
"""

from copy import deepcopy
from typing import Any

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
    network itself is returned.
    """
    if not any(isinstance(module, nn.BatchNorm2d) for module in model.modules()):
        return model
    side = -(-PROBE // model.patch) * model.patch
    noise = torch.randn(1, 3, side, side, generator=torch.Generator().manual_seed(0))
    noise = noise.to(next(model.parameters()).device)
    copy = deepcopy(model)
    expected = model(noise)
    for convolution, norm, name in _pairs(copy, noise):
        convolution.weight, convolution.bias = fuse_conv_bn_weights(
            convolution.weight,
            convolution.bias,
            norm.running_mean,
            norm.running_var,
            norm.eps,
            norm.weight,
            norm.bias,
        )
        parent, _, leaf = name.rpartition(".")
        setattr(copy.get_submodule(parent), leaf, _rest(norm))
    same = torch.allclose(copy(noise), expected, rtol=0, atol=TOLERANCE)
    return copy if same else model


def _pairs(model: Retriever, noise: Tensor) -> list[tuple[nn.Conv2d, Any, str]]:
    """Convolutions with the norm that takes their output and nothing else, and the norm's name; each is called once."""
    made: dict[int, tuple[nn.Module, Tensor]] = {}
    calls: dict[nn.Module, int] = {}
    pairs: list[tuple[nn.Conv2d, Any, str]] = []

    def seen(module: nn.Module, given: tuple[Any, ...], output: Tensor) -> None:
        calls[module] = calls.get(module, 0) + 1
        if isinstance(module, nn.Conv2d):
            made[id(output)] = (module, output)  # keeping the tensor keeps its id from being used again
        elif id(given[0]) in made:
            convolution = made.pop(id(given[0]))[0]
            assert isinstance(convolution, nn.Conv2d)
            pairs.append((convolution, module, names[module]))

    names: dict[nn.Module, str] = {
        m: n for n, m in model.named_modules() if isinstance(m, nn.Conv2d | nn.BatchNorm2d)
    }
    hooks = [module.register_forward_hook(seen) for module in names]
    model(noise)
    for hook in hooks:
        hook.remove()
    return [(c, n, name) for c, n, name in pairs if calls[c] == calls[n] == 1 and n.track_running_stats]


def _rest(norm: nn.Module) -> nn.Module:
    """What a norm does besides normalising: timm's has dropout and activation inside."""
    inner = [module for module in norm.children() if not isinstance(module, nn.Identity)]
    return nn.Sequential(*inner) if len(inner) != 1 else inner[0]
