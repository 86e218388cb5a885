"""Regional GeM: pool each R-MAC region by GeM, normalise, whiten, normalise, sum; cirtorch's `Rpool` (read)."""

import torch
from torch import Tensor, nn

from vitret.models.pooling import generalised_mean, regions, unit
from vitret.models.tokens import Tokens


class RegionalGem(nn.Module):
    def __init__(
        self, dim: int, *, p: float, learn: bool, levels: int, overlap: float, whiten: bool, last: bool
    ) -> None:
        super().__init__()
        self.dim = dim
        self.p = nn.Parameter(torch.tensor([p]), requires_grad=learn)
        self.levels = levels
        self.overlap = overlap
        self.whiten = nn.Linear(dim, dim) if whiten else None
        self.fc = nn.Linear(dim, dim) if last else None

    def forward(self, tokens: Tokens) -> Tensor:
        grid = tokens.grids[-1]
        height, width = grid.shape[2:]
        boxes = regions(height, width, levels=self.levels, overlap=self.overlap)
        pooled = [generalised_mean(grid, self.p)]
        pooled += [generalised_mean(grid[:, :, y : y + side, x : x + side], self.p) for y, x, side in boxes]
        rows = unit(torch.stack(pooled, dim=1))
        if self.whiten is not None:
            rows = unit(self.whiten(rows))
        summed = rows.sum(dim=1)
        return summed if self.fc is None else self.fc(unit(summed))


def build(
    widths: tuple[int, ...],
    *,
    p: float = 3.0,
    learn: bool = True,
    levels: int = 3,
    overlap: float = 0.4,
    whiten: bool = False,
    last: bool = False,
) -> RegionalGem:
    """GeM over regions of the last map; (B, D, h, w) -> (B, D).

    `whiten` adds the linear layer per region, `last` another one after the sum: cirtorch's `gem-r-w` has both.
    """
    return RegionalGem(widths[-1], p=p, learn=learn, levels=levels, overlap=overlap, whiten=whiten, last=last)
