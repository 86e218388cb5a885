"""Labels for every place of an image, made by any classifier, and the loss that teaches them to patch tokens.

Token labelling: Jiang et al., NeurIPS 2021. Read in the authors' code: maps hold the scores (before the softmax) of the
five best classes per place and are stored as (2, 5, h, w); all other classes score 0; the map is aligned to the crop
and the softmax comes after that. The class token's target is the machine's label too, the mean of the aligned map; the
true label enters only with an option, which mixes both. The loss is the class token's cross-entropy plus the mean of
the patch tokens', each with weight 1. Our decisions: any classifier makes the maps (theirs is an NFNet-F6), its linear
layer applied at every place of its last map; a crop is sampled linearly at its places' centres, where theirs averages
over them (RoIAlign).
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
    """The k best classes of every place: (B, D, h, w) -> (B, 2, k, h, w), scores before the softmax, then numbers.

    Class numbers are stored as floats, exact up to 2^24.
    """
    scores = torch.einsum("bdhw,cd->bchw", grid.float(), weight.float()) + bias.float()[:, None, None]
    best = scores.topk(k, dim=1)
    return torch.stack([best.values, best.indices.float()], dim=1)


def aligned(
    maps: Tensor,
    *,
    classes: int,
    size: tuple[int, int],
    boxes: Tensor | None = None,
    flipped: Tensor | None = None,
) -> Tensor:
    """Scores of all classes at the places of a crop: (B, 2, k, h, w) -> (B, C, *size); unlisted classes score 0.

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
    across, down = x[:, None].expand(-1, size[0], -1), y[..., None].expand(-1, -1, size[1])
    places = torch.stack([across, down], dim=-1) * 2 - 1
    return functional.grid_sample(dense, places, padding_mode="border", align_corners=False)


def patch_targets(
    maps: Tensor,
    *,
    classes: int,
    size: tuple[int, int],
    boxes: Tensor | None = None,
    flipped: Tensor | None = None,
) -> Tensor:
    """Soft labels on the token grid of a crop: (B, 2, k, h, w) -> (B, *size, C), each place summing to 1."""
    scores = aligned(maps, classes=classes, size=size, boxes=boxes, flipped=flipped)
    return scores.permute(0, 2, 3, 1).softmax(dim=-1)


def class_targets(maps: Tensor, *, classes: int, boxes: Tensor | None = None) -> Tensor:
    """The machine's soft label of a whole crop: softmax of the mean of its aligned map, (B, C)."""
    height, width = maps.shape[-2:]
    scores = aligned(maps, classes=classes, size=(height, width), boxes=boxes)
    return scores.mean(dim=(2, 3)).softmax(dim=1)


def image_targets(
    kind: str, maps: Tensor, labels: Tensor, *, classes: int, boxes: Tensor | None = None
) -> Tensor:
    """What the class token should say: classes (B,) for "true", soft labels (B, C) for "machine" and "mixed"."""
    if kind == "true":
        return labels
    machine = class_targets(maps, classes=classes, boxes=boxes)
    return machine if kind == "machine" else with_truth(machine, labels)


def with_truth(machine: Tensor, labels: Tensor) -> Tensor:
    """The machine's soft labels (B, C) mixed with the true ones (B,): half of each where both name the same class.

    Where they differ the true class has nine tenths, as with the option `ground_truth` of the authors' code.

    >>> with_truth(torch.tensor([[0.8, 0.2], [0.8, 0.2]]), torch.tensor([0, 1]))
    tensor([[0.9000, 0.1000],
            [0.0800, 0.9200]])
    """
    true = functional.one_hot(labels, machine.shape[1]).to(machine)
    agree = (machine.argmax(dim=1) == labels)[:, None]
    share = torch.where(agree, 0.5, 0.1).to(machine)
    return share * machine + (1 - share) * true


def _centres(count: int, like: Tensor) -> Tensor:
    return (torch.arange(count, device=like.device, dtype=like.dtype)[None] + 0.5) / count


def token_label_loss(
    logits: LabelLogits, labels: Tensor, patches: Tensor, *, image_weight: float = 1.0, patch_weight: float = 1.0,
    smoothing: float = 0.1,
) -> Tensor:  # fmt: skip
    """Cross-entropy of the class token against `labels` and of the patch tokens against `patches` (B, h, w, C).

    `labels` are classes (B,) or soft labels (B, C). Where MixToken exchanged a box, the image's label is mixed with its
    partner's by the box's share of the tokens.
    """
    share = logits.partner_share
    image = (1 - share) * functional.cross_entropy(logits.image, labels, label_smoothing=smoothing)
    if share:
        image = image + share * functional.cross_entropy(
            logits.image, labels.flip(0), label_smoothing=smoothing
        )
    dense = -(patches * logits.patches.float().log_softmax(dim=-1)).sum(dim=-1).mean()
    return image_weight * image + patch_weight * dense
