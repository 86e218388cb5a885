"""ViT with two pieces of ViTGAN's discriminator that are said to stabilise training: Lee et al., ICLR 2022.

Overlapping patches (read) and attention by distance with tied queries and keys (the sign inferred). Each is one
switch; both off is a plain ViT. Nobody published retrieval results with them: an experiment for training from scratch.
"""

from collections.abc import Sequence
from typing import Literal

from vitret.models.vision_transformer import Blocks, PatchStem, VisionTransformer


def build(
    *,
    width: int = 384,
    depth: int = 12,
    heads: int = 6,
    mlp_ratio: float = 4.0,
    patch: int = 16,
    overlap: int | None = None,
    attention: Literal["distance", "dot"] = "distance",
    img_size: int = 224,
    drop_path: float = 0.0,
    layers: int | Sequence[int] = 1,
    norm: Literal["shared_final", "none"] = "shared_final",
) -> VisionTransformer:
    """ViT-S unless told otherwise; `overlap` pixels beyond each patch, by default a quarter of it (our decision)."""
    seen = patch // 4 if overlap is None else overlap
    stem = PatchStem(width, patch=patch, overlap=seen)
    blocks = Blocks(
        width=width, depth=depth, heads=heads, mlp_ratio=mlp_ratio, attention=attention, drop_path=drop_path
    )
    side = img_size // patch
    return VisionTransformer(blocks, stem=stem, patch=patch, grid=(side, side), layers=layers, norm=norm)
