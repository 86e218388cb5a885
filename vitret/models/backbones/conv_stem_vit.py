"""ViT with a convolutional stem, "Scaled ReLU matters for training vision transformers": Wang et al., AAAI 2022.

The claim, read in the abstract: batch normalisation and ReLU inside the stem, not convolution alone, make training
stable. The stem's layers are read in a third party's ablation code that cites the paper. For training from scratch:
weights of a patchify stem cannot be carried over.
"""

from collections.abc import Sequence
from typing import Literal

from vitret.models.vision_transformer import Blocks, ConvStem, VisionTransformer


def build(
    *,
    width: int = 384,
    depth: int = 12,
    heads: int = 6,
    mlp_ratio: float = 4.0,
    channels: int = 64,
    batch_norm: bool = True,
    relu: bool = True,
    img_size: int = 224,
    drop_path: float = 0.0,
    layers: int | Sequence[int] = 1,
    norm: Literal["shared_final", "none"] = "shared_final",
) -> VisionTransformer:
    """ViT-S/16 with the stem unless told otherwise; `channels` is the stem's width."""
    blocks = Blocks(width=width, depth=depth, heads=heads, mlp_ratio=mlp_ratio, drop_path=drop_path)
    stem = ConvStem(width, channels=channels, batch_norm=batch_norm, relu=relu)
    side = img_size // 16
    return VisionTransformer(blocks, stem=stem, patch=16, grid=(side, side), layers=layers, norm=norm)
