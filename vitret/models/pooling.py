"""Poolings of a patch map that several heads share: generalised mean, R-MAC's regions, the orthogonal part of DOLG."""

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional


def generalised_mean(grid: Tensor, p: Tensor | float, *, eps: float = 1e-6) -> Tensor:
    """`(mean max(x, eps)^p)^(1/p)` over the grid: p = 1 is the mean, p → ∞ the maximum.

    `grid` (B, D, h, w), `p` a number, (1,) or (D,); returns (B, D), at least float32. Channels that are negative
    everywhere give eps: on a map that was never rectified, a layer-normalised token grid, the negative half is lost.
    >>> generalised_mean(torch.tensor([[[[1.0, 2.0]]]]), 3.0)
    tensor([[1.6510]])
    """
    # Powers of bf16 lose the small activations; the pooled vector is tiny, so float32 costs nothing.
    flat = at_least_float32(grid).flatten(2).clamp(min=eps)
    exponent = torch.as_tensor(p, dtype=flat.dtype, device=grid.device)
    return flat.pow(exponent.reshape(-1, 1)).mean(dim=-1).pow(1 / exponent)


def regions(height: int, width: int, *, levels: int, overlap: float) -> list[tuple[int, int, int]]:
    """Square regions of R-MAC as (top, left, side), coarse to fine, without the whole map: Tolias et al., ICLR 2016.

    At level l the side is floor(2 min(h, w) / (l + 1)); the longer side gets as many extra regions as bring the
    overlap of neighbours nearest to `overlap`. A level whose side would be 0 is left out. All of it is computed in
    float32, as cirtorch does: rounding decides between equals (maps of 5:9) and which pixel a centre falls on.

    >>> regions(4, 4, levels=2, overlap=0.4)
    [(0, 0, 4), (0, 0, 2), (0, 2, 2), (2, 0, 2), (2, 2, 2)]
    """
    short, long = min(height, width), max(height, width)
    steps = np.arange(1, 7, dtype=np.float32)  # six candidates for the number of steps along the longer side
    area = np.float32(short**2)
    gaps = np.float32(long - short) * (np.float32(1) / steps)  # torch divides a number by a tensor so
    best = int(np.argmin(np.abs((area - np.float32(short) * gaps) / area - np.float32(overlap))))
    extra_rows = best + 1 if height > width else 0
    extra_columns = best + 1 if width > height else 0
    found: list[tuple[int, int, int]] = []
    for level in range(1, levels + 1):
        side = 2 * short // (level + 1)
        if side == 0:
            continue
        tops = _starts(height, side, level + extra_rows)
        lefts = _starts(width, side, level + extra_columns)
        found += [(top, left, side) for top in tops for left in lefts]
    return found


def _starts(length: int, side: int, count: int) -> list[int]:
    step = np.float32(0 if count == 1 else (length - side) / (count - 1))
    half = side // 2 - 1
    # Centres are rounded down, not corners; only this order of operations gives cirtorch's boxes.
    centres = np.floor(np.float32(half) + np.arange(count, dtype=np.float32) * step)
    return [int(centre) - half for centre in centres]


def orthogonal_part(local: Tensor, direction: Tensor) -> Tensor:
    """What of each local vector (B, C, h, w) is orthogonal to the image's global vector (B, C): DOLG, ICCV 2021.

    f_l - (f_l . f_g / |f_g|^2) f_g at every place; returns (B, C, h, w).
    """
    g = direction[:, :, None, None]
    share = (local * g).sum(dim=1, keepdim=True) / (g * g).sum(dim=1, keepdim=True).clamp(min=1e-12)
    return local - share * g


def rectified(grid: Tensor, rectify: bool) -> Tensor:
    """The map with negative values set to 0 where asked; a CNN's last map is already so, a transformer's is not."""
    return torch.relu(grid) if rectify else grid


def unit(rows: Tensor, dim: int = -1) -> Tensor:
    """Rows divided by their Euclidean norm, in at least float32."""
    return functional.normalize(at_least_float32(rows), dim=dim)


def at_least_float32(x: Tensor) -> Tensor:
    """The tensor in float32; one that is float64 stays so."""
    return x if x.dtype == torch.float64 else x.float()
