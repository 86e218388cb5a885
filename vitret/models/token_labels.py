"""Labels for every place of an image, made by any classifier, and the loss that teaches them to patch tokens.

Token labelling: Jiang et al., NeurIPS 2021. Read in the authors' code: maps hold the five best classes per place and
are stored as (2, 5, h, w); the loss is the class token's cross-entropy plus the mean of the patch tokens', each with
weight 1. Our decisions: any classifier makes the maps (theirs is an NFNet-F6), its linear layer applied at every place
of its last map; what five classes leave over is spread evenly over all.
"""

from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional

from vitret.core.errors import DataError

_CLASSIFIERS = ("head", "head.fc", "fc", "classifier", "last_linear")
Box = tuple[int, int, int, int]


@dataclass(frozen=True, kw_only=True, eq=False)
class LabelLogits:
    """What token labelling trains on: class token's logits (B, C), patch tokens' (B, h, w, C), the exchanged box."""

    image: Tensor
    patches: Tensor
    box: Box | None

    @property
    def partner_share(self) -> float:
        """Share of the tokens that came from the partner: its label's weight in the mixed label of the image."""
        if self.box is None:
            return 0.0
        top, left, bottom, right = self.box
        return (bottom - top) * (right - left) / (self.patches.shape[1] * self.patches.shape[2])


def mix_box(height: int, width: int, *, generator: torch.Generator) -> Box:
    """MixToken's box (top, left, bottom, right) on the token grid: its share of the area is 1 - lambda ~ U(0, 1).

    lambda ~ Beta(1, 1), which is uniform; the centre is uniform too and the box is cut at the rim, so that the real
    share is smaller: use the box's own.
    """
    side = (1 - torch.rand((), generator=generator).item()) ** 0.5
    tall, wide = int(height * side), int(width * side)
    y = int(torch.randint(height, (), generator=generator))
    x = int(torch.randint(width, (), generator=generator))
    return max(0, y - tall // 2), max(0, x - wide // 2), min(height, y + tall // 2), min(width, x + wide // 2)


def classifier_in(state: Mapping[str, Tensor], *, width: int) -> tuple[Tensor, Tensor]:
    """Weight (C, D) and bias (C,) of the classifier in a checkpoint whose last map has `width` channels."""
    for name in _CLASSIFIERS:
        weight = state.get(f"{name}.weight")
        if weight is not None and weight.shape[1:].numel() == width:
            bias = state.get(f"{name}.bias")
            return weight.flatten(1), weight.new_zeros(len(weight)) if bias is None else bias
    raise DataError(
        f"no classifier for {width} channels among the weights; looked for {', '.join(_CLASSIFIERS)}."
    )


def label_maps(grid: Tensor, weight: Tensor, bias: Tensor, *, k: int = 5) -> Tensor:
    """The k best classes of every place: (B, D, h, w) -> (B, 2, k, h, w), probabilities, then numbers.

    Class numbers are stored as floats, exact up to 2^24.
    """
    scores = torch.einsum("bdhw,cd->bchw", grid.float(), weight.float()) + bias.float()[:, None, None]
    best = scores.softmax(dim=1).topk(k, dim=1)
    return torch.stack([best.values, best.indices.float()], dim=1)


def patch_targets(
    maps: Tensor,
    *,
    classes: int,
    size: tuple[int, int],
    boxes: Tensor | None = None,
    flipped: Tensor | None = None,
) -> Tensor:
    """Soft labels on the token grid of a crop: (B, 2, k, h, w) -> (B, *size, C), each place summing to 1.

    `boxes` (B, 4) are the crops as x0, y0, x1, y1 in fractions of the image, `flipped` (B,) says which were mirrored.
    Between places the maps are interpolated linearly.
    """
    batch, _, _, height, width = maps.shape
    dense = maps.new_zeros(batch, classes, height, width)
    dense.scatter_add_(1, maps[:, 1].long(), maps[:, 0])
    if boxes is None:
        boxes = maps.new_tensor([0.0, 0.0, 1.0, 1.0]).expand(batch, 4)
    x = boxes[:, :1] + (boxes[:, 2:3] - boxes[:, :1]) * _centres(size[1], maps)
    y = boxes[:, 1:2] + (boxes[:, 3:4] - boxes[:, 1:2]) * _centres(size[0], maps)
    if flipped is not None:
        x = torch.where(flipped[:, None], x.flip(1), x)
    places = (
        torch.stack([x[:, None].expand(-1, size[0], -1), y[..., None].expand(-1, -1, size[1])], dim=-1) * 2
        - 1
    )
    found = functional.grid_sample(dense, places, padding_mode="border", align_corners=False)
    found = found.permute(0, 2, 3, 1)
    return found + (1 - found.sum(dim=-1, keepdim=True)) / classes


def _centres(count: int, like: Tensor) -> Tensor:
    return (torch.arange(count, device=like.device, dtype=like.dtype)[None] + 0.5) / count


def token_label_loss(
    logits: LabelLogits, labels: Tensor, patches: Tensor, *, image_weight: float = 1.0, patch_weight: float = 1.0,
    smoothing: float = 0.1,
) -> Tensor:  # fmt: skip
    """Cross-entropy of the class token against `labels` (B,) and of the patch tokens against `patches` (B, h, w, C).

    Where MixToken exchanged a box, the image's label is mixed with its partner's by the box's share of the tokens.
    """
    share = logits.partner_share
    image = (1 - share) * functional.cross_entropy(logits.image, labels, label_smoothing=smoothing)
    if share:
        image = image + share * functional.cross_entropy(
            logits.image, labels.flip(0), label_smoothing=smoothing
        )
    dense = -(patches * logits.patches.float().log_softmax(dim=-1)).sum(dim=-1).mean()
    return image_weight * image + patch_weight * dense
