"""Floating-point operations of a network at an image size, in the two conventions that papers mix.

A multiplication and an addition are two operations in both. "linear" counts convolutions and linear layers alone, which
reproduces the IRT paper's Table 1 (that it leaves the two products of attention out was found by computing both);
"attention" adds those products, QK^T and AV, and others between activations. Norms, activations, biases and softmaxes
are in neither.
"""

import copy
import itertools
from dataclasses import dataclass

import torch
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

from vitret.core.networks import ModelSpec
from vitret.models.model import Retriever, build_model, without_weights

SIZES = (224, 384, 1024)
# Products of two activations; a layer's product with its weights is an addmm, mm or convolution.
_BETWEEN_ACTIVATIONS = ("bmm", "baddbmm")


@dataclass(frozen=True, kw_only=True)
class Flops:
    """Operations for one image: in linear layers and convolutions; with products between activations added."""

    linear: int
    attention: int


def count_flops(model: nn.Module, height: int, width: int) -> Flops:
    """Operations of one image of `height` x `width` pixels through `model`, which stays as it is.

    The pass runs on shapes alone (torch's meta device); nothing is computed and no activation is stored.
    """
    shapes = model if _is_shape_only(model) else copy.deepcopy(model).to("meta").eval()
    images = torch.empty(1, 3, height, width, device="meta")
    counter = FlopCounterMode(display=False)
    with torch.no_grad(), counter:
        shapes(images)
    counts = {str(kind): n for kind, n in counter.get_flop_counts().get("Global", {}).items()}
    between = sum(n for kind, n in counts.items() if kind.rpartition(".")[2] in _BETWEEN_ACTIVATIONS)
    return Flops(linear=sum(counts.values()) - between, attention=sum(counts.values()))


def _is_shape_only(model: nn.Module) -> bool:
    """Whether a pass would change nothing: no number is stored, and no module trains."""
    stored = itertools.chain(model.parameters(), model.buffers())
    return all(value.is_meta for value in stored) and not any(m.training for m in model.modules())


def shape_only(spec: ModelSpec) -> Retriever:
    """A system's network without any weights: parameters and layers on torch's meta device, in evaluation mode."""
    with torch.device("meta"):
        return build_model(without_weights(spec)).eval()
