"""Poolings of a patch map that several heads share: generalised mean, R-MAC's regions, the orthogonal part of DOLG."""

import torch
from torch import Tensor
from torch.nn import functional


def generalised_mean(grid: Tensor, p: Tensor | float, *, eps: float = 1e-6) -> Tensor:
    """`(mean max(x, eps)^p)^(1/p)` over the grid: p = 1 is the mean, p → ∞ the maximum.

    `grid` (B, D, h, w), `p` a number, (1,) or (D,); returns (B, D) float32. Channels that are negative everywhere give
    eps: on a map that was never rectified, a layer-normalised token grid, the negative half is thrown away.
    >>> generalised_mean(torch.tensor([[[[1.0, 2.0]]]]), 3.0)
    tensor([[1.6510]])
    """
    exponent = torch.as_tensor(p, dtype=torch.float32, device=grid.device)
    # Powers of bf16 lose the small activations; the pooled vector is tiny, so float32 costs nothing.
    flat = grid.float().flatten(2).clamp(min=eps)
    return flat.pow(exponent.reshape(-1, 1)).mean(dim=-1).pow(1 / exponent)


def regions(height: int, width: int, *, levels: int, overlap: float) -> list[tuple[int, int, int]]:
    """Square regions of R-MAC as (top, left, side), coarse to fine, without the whole map: Tolias et al., ICLR 2016.

    At level l the side is floor(2 min(h, w) / (l + 1)); the longer side gets as many extra regions as bring the
    overlap of neighbours nearest to `overlap`. A level whose side would be 0 is left out.

    >>> regions(4, 4, levels=2, overlap=0.4)
    [(0, 0, 4), (0, 0, 2), (0, 2, 2), (2, 0, 2), (2, 2, 2)]
    """
    short, long = min(height, width), max(height, width)
    # Six candidates for the number of steps along the longer side; the first of equals wins, as in cirtorch.
    gaps = [(long - short) / steps for steps in range(1, 7)]
    best = min(range(6), key=lambda i: abs((short * short - short * gaps[i]) / (short * short) - overlap))
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
    if count == 1:
        return [0]
    step = (length - side) / (count - 1)
    half = side // 2 - 1
    # Centres are rounded down, not corners; only this order of operations gives the published boxes.
    return [max(0, int(half + i * step) - half) for i in range(count)]


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
    """Rows divided by their Euclidean norm, in fp32."""
    return functional.normalize(rows.float(), dim=dim)
