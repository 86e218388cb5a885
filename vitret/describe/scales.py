"""One descriptor from several sizes of an image.

The normalised tensor is resized bilinearly, as the codes of cirtorch and Token do; every scale's descriptor has unit
length before they meet, as in DIR, DELG, DOLG and SuperGlobal. `mean` is theirs; `gem` is DIR's signed generalised
mean with p = 3 (Revaud et al., ICCV 2019); `max` is SuperGlobal's (Shao et al., ICCV 2023).
"""

from collections.abc import Callable, Sequence

import torch
from torch import Tensor
from torch.nn import functional

GEM_P = 3.0


def describe(
    model: Callable[[Tensor], Tensor],
    images: Tensor,
    *,
    scales: Sequence[float],
    aggregation: str,
    patch: int,
) -> Tensor:
    """Unit descriptors (B, D) of normalised images (B, 3, H, W), whose sides are multiples of `patch`."""
    if tuple(scales) == (1.0,):
        return model(images)
    return aggregate(
        torch.stack([model(rescaled(images, scale, patch=patch)) for scale in scales]), aggregation
    )


def rescaled(images: Tensor, scale: float, *, patch: int) -> Tensor:
    """Images resized by `scale`, each side to the nearest multiple of `patch`, at least one."""
    height, width = (max(1, round(side * scale / patch)) * patch for side in images.shape[-2:])
    if (height, width) == tuple(images.shape[-2:]):
        return images
    return functional.interpolate(images, (height, width), mode="bilinear", align_corners=False)


def aggregate(descriptors: Tensor, how: str) -> Tensor:
    """Unit descriptors per scale (S, B, D) to one unit descriptor (B, D).

    >>> aggregate(torch.tensor([[[1.0, 0.0]], [[0.0, 1.0]]]), "mean")
    tensor([[0.7071, 0.7071]])
    """
    if how == "mean":
        joined = descriptors.mean(dim=0)
    elif how == "max":
        joined = descriptors.amax(dim=0)
    elif how == "gem":
        powered = (descriptors.sign() * descriptors.abs().pow(GEM_P)).mean(dim=0)
        joined = powered.sign() * powered.abs().pow(1 / GEM_P)
    else:
        raise ValueError(f"unknown aggregation {how!r}")
    return functional.normalize(joined, dim=-1)
