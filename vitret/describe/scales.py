"""One descriptor from several sizes of an image.

The normalised tensor is resized bilinearly, as the codes of cirtorch and Token do; every scale's descriptor has unit
length before they meet, as in DIR, DELG, DOLG and SuperGlobal. `mean` is theirs; `gem` is DIR's signed generalised
mean with p = 3 (Revaud et al., ICCV 2019). Scale GeM of SuperGlobal (Shao et al., ICCV 2023) is `max` as its code runs
it, with an infinite power, and `scale_gem` with its finite one, 10, of what lies above an image's smallest value.
`mean_raw` is the mean of what the head gives at each scale, before unit length (code of Yokoo et al., 2020).
"""

from collections.abc import Sequence

import torch
from torch import Tensor
from torch.nn import functional

from vitret.models.model import Retriever

GEM_P = 3.0
SCALE_GEM_P = 10.0


def describe(
    model: Retriever,
    images: Tensor,
    *,
    scales: Sequence[float],
    aggregation: str,
    patch: int,
) -> Tensor:
    """Unit descriptors (B, D) of normalised images (B, 3, H, W), whose sides are multiples of `patch`."""
    if tuple(scales) == (1.0,):
        single: Tensor = model(images)
        return single
    encode = model.raw if aggregation == "mean_raw" else model
    return aggregate(
        torch.stack([encode(rescaled(images, scale, patch=patch)) for scale in scales]), aggregation
    )


def rescaled(images: Tensor, scale: float, *, patch: int) -> Tensor:
    """Images resized by `scale`, each side to the nearest multiple of `patch`, at least one."""
    sides = scaled_sides((images.shape[-2], images.shape[-1]), scale, patch=patch)
    if sides == tuple(images.shape[-2:]):
        return images
    return functional.interpolate(images, sides, mode="bilinear", align_corners=False)


def scaled_sides(sides: tuple[int, int], scale: float, *, patch: int) -> tuple[int, int]:
    """(height, width) of an image at a scale.

    >>> scaled_sides((768, 1024), 0.7071, patch=16)
    (544, 720)
    """
    height, width = (max(1, round(side * scale / patch)) * patch for side in sides)
    return height, width


def aggregate(descriptors: Tensor, how: str) -> Tensor:
    """Descriptors per scale (S, B, D), of unit length but for `mean_raw`, to one unit descriptor (B, D).

    >>> aggregate(torch.tensor([[[1.0, 0.0]], [[0.0, 1.0]]]), "mean")
    tensor([[0.7071, 0.7071]])
    """
    if how in ("mean", "mean_raw"):
        joined = descriptors.mean(dim=0)
    elif how == "max":
        joined = descriptors.amax(dim=0)
    elif how == "scale_gem":
        least = descriptors.amin(dim=(0, 2), keepdim=True)[0]
        joined = (descriptors - least).pow(SCALE_GEM_P).mean(dim=0).pow(1 / SCALE_GEM_P) + least
    elif how == "gem":
        powered = (descriptors.sign() * descriptors.abs().pow(GEM_P)).mean(dim=0)
        joined = powered.sign() * powered.abs().pow(1 / GEM_P)
    else:
        raise ValueError(f"unknown aggregation {how!r}")
    return functional.normalize(joined, dim=-1)
