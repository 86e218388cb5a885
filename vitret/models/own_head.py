"""The pooling and projection that a network of timm was trained with, for those whose result is a published descriptor.

These are the image towers that were trained against texts: SigLIP, SigLIP2, CLIP and its kin, EVA-CLIP, Perception
Encoder, MobileCLIP, ViTamin. A classifier's own head gives class scores, which are no descriptor.
"""

import copy
import re
from typing import Any

import torch
from torch import Tensor, nn

from vitret.models.tokens import Tokens

_TOWERS = re.compile(r"clip|pe_core|vitamin")
# Such a tower trained further on classes has a classifier where its projection was.
_CLASSES = re.compile(r"_ft_|in1k|in12k|in22k|inat")
_PARTS = ("attn_pool", "global_pool", "pool", "fc_norm", "head_drop", "head", "fc")


def projection_width(config: Any) -> int:
    """Width of the projection that belongs to the weights of a tag, 0 where they have none: `config` is timm's."""
    if config is None:
        return 0
    name = f"{config.architecture}.{config.tag}"
    trained = _TOWERS.search(name) and not _CLASSES.search(str(config.tag))
    return int(config.num_classes or 0) if trained else 0


def has_own_pooling(model: Any, config: Any) -> bool:
    """Whether the weights of a tag pool by attention and have no classes, as SigLIP's do."""
    return getattr(model, "attn_pool", None) is not None and config is not None and not config.num_classes


class OwnHead(nn.Module):
    """A network's own way from tokens to its descriptor: what its `forward_head` needs, and nothing of its trunk."""

    def __init__(self, model: Any, *, sequence: bool) -> None:
        super().__init__()
        self.sequence = sequence
        self.dim: int = int(model.num_classes or getattr(model, "head_hidden_size", 0) or model.num_features)
        network = copy.copy(model)
        network.__dict__.pop("_pos_embed", None)
        kept = {name: copy.deepcopy(module) for name, module in model._modules.items() if name in _PARTS}
        network._modules, network._parameters, network._buffers = kept, {}, {}
        self.network = network

    def forward(self, tokens: Tokens) -> Tensor:
        """The network's descriptor (B, D) from the tokens of its last layer, after its final norm."""
        given = tokens.grids[-1]
        if self.sequence:
            given = torch.cat([tokens.prefix[-1], given.flatten(2).transpose(1, 2)], dim=1)
        result: Tensor = self.network.forward_head(given)
        return result
