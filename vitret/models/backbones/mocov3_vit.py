"""The ViT of MoCo v3: fixed sine-cosine positions, patch projection frozen at random; Chen et al., ICCV 2021.

Read in its code: no gradient into the patch projection, which is drawn uniformly within sqrt(6 / (3 P^2 + D)); query,
key and value initialised as three matrices; ViT-S has twelve heads, DeiT's has six; class token drawn at 1e-6.
"""

import math
from collections.abc import Sequence
from pathlib import Path
from typing import Literal

from torch import nn

from vitret.core.errors import UserError, did_you_mean
from vitret.models.foreign.fill import load_backbone
from vitret.models.vision_transformer import Blocks, DotAttention, PatchStem, VisionTransformer

# width, depth, heads
ARCHITECTURES = {"vit_small": (384, 12, 12), "vit_base": (768, 12, 12)}


def build(
    *,
    arch: str = "vit_small",
    patch: int = 16,
    freeze_patches: bool = True,
    weights: str | None = None,
    width: int | None = None,
    depth: int | None = None,
    heads: int | None = None,
    img_size: int = 224,
    drop_path: float = 0.0,
    layers: int | Sequence[int] = 1,
    norm: Literal["shared_final", "none"] = "shared_final",
) -> VisionTransformer:
    """A MoCo v3 ViT; `weights` is an official checkpoint file, without it the start is random.

    `freeze_patches` off trains the patch projection too. `width`, `depth`, `heads` replace the architecture's.
    """
    if arch not in ARCHITECTURES:
        raise UserError(f"mocov3_vit has no architecture '{arch}'. {did_you_mean(arch, ARCHITECTURES)}")
    named = ARCHITECTURES[arch]
    channels = width or named[0]
    blocks = Blocks(width=channels, depth=depth or named[1], heads=heads or named[2], drop_path=drop_path)
    stem = PatchStem(channels, patch=patch)
    side = img_size // patch
    model = VisionTransformer(
        blocks, stem=stem, patch=patch, grid=(side, side), position="sincos", layers=layers, norm=norm
    )
    _initialise(model, channels, patch)
    for parameter in model.patch_embed.parameters():
        parameter.requires_grad_(not freeze_patches)
    if weights is not None:
        load_backbone(model, Path(weights), layout="mocov3")
    return model


def _initialise(model: VisionTransformer, width: int, patch: int) -> None:
    for module in model.modules():
        if isinstance(module, nn.Linear):
            nn.init.xavier_uniform_(module.weight)
    # After the linear layers, of which `qkv` is one. A third of its rows is one matrix, so D outputs count and not 3 D.
    bound = math.sqrt(6 / (2 * width))
    for module in model.modules():
        if isinstance(module, DotAttention):
            nn.init.uniform_(module.qkv.weight, -bound, bound)
    stem = model.patch_embed
    assert isinstance(stem, PatchStem)
    bound = math.sqrt(6 / (3 * patch * patch + width))
    nn.init.uniform_(stem.proj.weight, -bound, bound)
    assert stem.proj.bias is not None
    nn.init.zeros_(stem.proj.bias)
    assert model.cls_token is not None
    nn.init.normal_(model.cls_token, std=1e-6)
