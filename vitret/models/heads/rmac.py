"""R-MAC, the sum of unit maxima over regions: Tolias et al., ICLR 2016; regions as in cirtorch (read)."""

from torch import Tensor, nn

from vitret.models.pooling import rectified, regions, unit
from vitret.models.tokens import Tokens


class Rmac(nn.Module):
    def __init__(self, dim: int, *, levels: int, overlap: float, rectify: bool) -> None:
        super().__init__()
        self.dim = dim
        self.levels = levels
        self.overlap = overlap
        self.rectify = rectify

    def forward(self, tokens: Tokens) -> Tensor:
        grid = rectified(tokens.grids[-1], self.rectify)
        height, width = grid.shape[2:]
        total = unit(grid.amax(dim=(2, 3)))
        for top, left, side in regions(height, width, levels=self.levels, overlap=self.overlap):
            total = total + unit(grid[:, :, top : top + side, left : left + side].amax(dim=(2, 3)))
        return total


def build(widths: tuple[int, ...], *, levels: int = 3, overlap: float = 0.4, rectify: bool = True) -> Rmac:
    """Regional maxima of the last map; (B, D, h, w) -> (B, D). The whole map counts as one more region.

    `rectify` makes a transformer's map non-negative as a CNN's is (our decision).
    """
    return Rmac(widths[-1], levels=levels, overlap=overlap, rectify=rectify)
