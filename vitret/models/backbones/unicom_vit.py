"""Unicom's ViT: no class token, ReLU6 in the MLPs, no bias for query, key and value; An et al., ICLR 2023.

Layers read in the authors' code. Its descriptor comes from all tokens at once: head `unicom`.
"""

from collections.abc import Sequence
from typing import Literal

from torch.nn import functional

from vitret.core.errors import UserError, did_you_mean
from vitret.models.vision_transformer import Blocks, PatchStem, VisionTransformer

# patch, width, depth, heads, image side
ARCHITECTURES = {
    "vit_b_32": (32, 768, 12, 12, 224),
    "vit_b_16": (16, 768, 12, 12, 224),
    "vit_l_14": (14, 1024, 24, 16, 224),
    "vit_l_14_336": (14, 1024, 24, 16, 336),
}
# CLIP's pixel statistics, which the authors' transform uses.
MEAN = (0.48145466, 0.4578275, 0.40821073)
STD = (0.26862954, 0.26130258, 0.27577711)


def build(
    *,
    arch: str = "vit_b_16",
    patch: int | None = None,
    width: int | None = None,
    depth: int | None = None,
    heads: int | None = None,
    img_size: int | None = None,
    drop_path: float = 0.0,
    layers: int | Sequence[int] = 1,
    norm: Literal["shared_final", "none"] = "shared_final",
) -> VisionTransformer:
    """A Unicom ViT with random weights; the given numbers replace the architecture's."""
    if arch not in ARCHITECTURES:
        raise UserError(f"unicom_vit has no architecture '{arch}'. {did_you_mean(arch, ARCHITECTURES)}")
    named = ARCHITECTURES[arch]
    side, inner = patch or named[0], width or named[1]
    cells = (img_size or named[4]) // side
    blocks = Blocks(
        width=inner, depth=depth or named[2], heads=heads or named[3], qkv_bias=False, activation=functional.relu6,
        drop_path=drop_path, eps=1e-5,
    )  # fmt: skip
    model = VisionTransformer(
        blocks, stem=PatchStem(inner, patch=side), patch=side, grid=(cells, cells), class_token=False, layers=layers,
        norm=norm,
    )  # fmt: skip
    model.mean, model.std = MEAN, STD
    return model
