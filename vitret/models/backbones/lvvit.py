"""LV-ViT, a ViT whose patch tokens learn labels of their own: Jiang et al., "All tokens matter", NeurIPS 2021.

Read in the authors' code: convolutional stem, MLP ratio 3, no bias for query, key and value, residual branches divided
by a constant, and beside the class token's classifier a second one for patch tokens. MixToken exchanges a box of tokens
after the stem between an image and its partner, the batch in reverse order; the dense classifier's answers are put
back into place.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Literal

import safetensors
from torch import Tensor, nn

from vitret.core.errors import UserError, did_you_mean
from vitret.models.foreign.fill import fill, load_backbone
from vitret.models.model import load_model
from vitret.models.token_labels import Box, LabelLogits
from vitret.models.vision_transformer import Blocks, ConvStem, VisionTransformer

# width, depth, heads, what residual branches are divided by, channels of the stem
ARCHITECTURES = {
    "lvvit_t": (240, 12, 4, 1.0, 64),
    "lvvit_s": (384, 16, 6, 2.0, 64),
    "lvvit_m": (512, 20, 8, 2.0, 64),
    "lvvit_l": (768, 24, 12, 3.0, 128),
}


class LvVit(VisionTransformer):
    """The transformer and, when there are classes, its two classifiers (`head`, `aux_head`)."""

    def with_classifiers(self, classes: int, patch_classes: int | None = None) -> "LvVit":
        """Add the classifiers, by default of the same classes; without them the network is a backbone alone."""
        width = self.widths[-1]
        self.head = nn.Linear(width, classes)
        self.aux_head = nn.Linear(width, patch_classes or classes)
        for layer in (self.head, self.aux_head):
            nn.init.trunc_normal_(layer.weight, std=0.02)
            nn.init.zeros_(layer.bias)
        return self

    def label_logits(self, images: Tensor, *, box: Box | None = None) -> LabelLogits:
        """Logits of image and patches; with a box its tokens come from the batch in reverse order (MixToken).

        The image's logits belong to the mixture; the patches' are given in the order of the unmixed images.
        """
        if not self.norm_layers or self.layers[-1] != len(self.blocks) - 1:
            raise UserError(
                "lvvit: token labels need the last block and its norm. Set norm: shared_final, layers: 1."
            )
        grid = self.embed(images)
        if box is not None:
            grid = _exchanged(grid, box)
        tokens = self.encode(grid)
        patches = self.aux_head(tokens.grids[-1].permute(0, 2, 3, 1))
        if box is not None:
            patches = _exchanged(patches.permute(0, 3, 1, 2), box).permute(0, 2, 3, 1)
        return LabelLogits(image=self.head(tokens.prefix[-1][:, 0]), patches=patches, box=box)


def _exchanged(grid: Tensor, box: Box) -> Tensor:
    top, left, bottom, right = box
    mixed = grid.clone()
    mixed[:, :, top:bottom, left:right] = grid.flip(0)[:, :, top:bottom, left:right]
    return mixed


def build(
    *,
    arch: str = "lvvit_s",
    classes: int = 0,
    patch_classes: int | None = None,
    weights: str | None = None,
    width: int | None = None,
    depth: int | None = None,
    heads: int | None = None,
    channels: int | None = None,
    img_size: int = 224,
    drop_path: float = 0.0,
    layers: int | Sequence[int] = 1,
    norm: Literal["shared_final", "none"] = "shared_final",
) -> LvVit:
    """An LV-ViT; `classes` adds the classifiers of token labelling.

    `weights` is an official checkpoint, or a file that `vitret labels train` wrote.
    `patch_classes` are those of the classifier that labels patches, where they are not the images' own.
    `width`, `depth`, `heads` and `channels` (of the stem) replace the architecture's. The authors drop paths at
    0.1 / 0.2 / 0.3 for the sizes S / M / L.
    """
    if arch not in ARCHITECTURES:
        raise UserError(f"lvvit has no architecture '{arch}'. {did_you_mean(arch, ARCHITECTURES)}")
    named = ARCHITECTURES[arch]
    inner = width or named[0]
    blocks = Blocks(
        width=inner, depth=depth or named[1], heads=heads or named[2], mlp_ratio=3.0, qkv_bias=False,
        residual_scale=named[3], drop_path=drop_path, eps=1e-5,
    )  # fmt: skip
    stem = ConvStem(inner, channels=channels or named[4])
    side = img_size // 16
    model = LvVit(blocks, stem=stem, patch=16, grid=(side, side), layers=layers, norm=norm)
    if classes:
        model.with_classifiers(classes, patch_classes)
    if weights is not None:
        _fill(model, Path(weights))
    return model


def _fill(model: LvVit, path: Path) -> None:
    if not _written_here(path):
        load_backbone(model, path, layout="lvvit")
        return
    trained = load_model(path)[0].backbone
    fill(nn.ModuleDict({"backbone": model}), trained.state_dict(), layout="lvvit", where=str(path))


def _written_here(path: Path) -> bool:
    """Whether the file describes its network; what is wrong with one that cannot be read is said by who loads it."""
    try:
        with safetensors.safe_open(path, framework="pt") as file:
            return "vitret.model" in (file.metadata() or {})
    except (OSError, safetensors.SafetensorError):
        return False
