"""SuperGlobal's pooling, regional GeM and then GeM+, and a linear layer: Shao et al., ICCV 2023; its code was read.

Published without training, on CVNet's networks: every place becomes the mean of itself and of the generalised mean
(p = 2.5) of the 5 x 5 places around it, the border mirrored; GeM with p = 4.6 pools what comes out. The third part,
scale GeM, is the protocol's `aggregation: max`, its power of infinity, or `scale_gem`. The floor of 0.014 under the
rectified values lies inside the code's network and is not here.
"""

import torch
from torch import Tensor, nn
from torch.nn import functional

from vitret.models.pooling import at_least_float32, generalised_mean, unit
from vitret.models.tokens import Tokens


def regional_gem_map(grid: Tensor, *, p: float, size: int, share: float) -> Tensor:
    """`share` of each place's neighbourhood, pooled by GeM, the rest of the place itself; (B, D, h, w) -> same shape.

    `size` is odd. Where a map is too small to be mirrored, its border is repeated (ours; the code stops with an error).
    """
    grid = at_least_float32(grid).clamp(min=0)
    reach = size // 2
    mode = "reflect" if reach < min(grid.shape[2:]) else "replicate"
    framed = functional.pad(grid, (reach, reach, reach, reach), mode=mode)
    # The slope of the root at 0 is infinite.
    around = functional.avg_pool2d(framed.pow(p), size, stride=1).clamp(min=1e-24).pow(1 / p)
    return share * around + (1 - share) * grid


class SuperGlobal(nn.Module):
    def __init__(
        self, width: int, *, dim: int | None, p: float, regional_p: float, size: int, share: float, eps: float
    ) -> None:
        super().__init__()
        self.dim = dim or width
        self.p, self.eps = p, eps
        self.regional_p, self.size, self.share = regional_p, size, share
        self.fc = None if dim is None else nn.Linear(width, dim)

    def forward(self, tokens: Tokens) -> Tensor:
        grid = tokens.grids[-1]
        if self.share:
            grid = regional_gem_map(grid, p=self.regional_p, size=self.size, share=self.share)
        pooled = unit(generalised_mean(grid, torch.tensor(self.p), eps=self.eps))
        return pooled if self.fc is None else self.fc(pooled)


def build(
    widths: tuple[int, ...],
    *,
    dim: int | None = None,
    p: float = 4.6,
    regional_p: float = 2.5,
    size: int = 5,
    share: float = 0.5,
    eps: float = 1e-8,
) -> SuperGlobal:
    """Pooled last map, of unit length, and with `dim` a linear layer; (B, D, h, w) -> (B, dim or D).

    `share` 0 leaves regional GeM out. The published networks have dim 2048.
    """
    return SuperGlobal(widths[-1], dim=dim, p=p, regional_p=regional_p, size=size, share=share, eps=eps)
