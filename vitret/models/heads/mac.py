"""MAC, the maximum of each channel over the map: Tolias et al., ICLR 2016."""

from torch import Tensor, nn

from vitret.models.pooling import rectified
from vitret.models.tokens import Tokens


class Mac(nn.Module):
    def __init__(self, dim: int, *, rectify: bool) -> None:
        super().__init__()
        self.dim = dim
        self.rectify = rectify

    def forward(self, tokens: Tokens) -> Tensor:
        return rectified(tokens.grids[-1], self.rectify).amax(dim=(2, 3))


def build(widths: tuple[int, ...], *, rectify: bool = True) -> Mac:
    """Maximum over the last map; (B, D, h, w) -> (B, D).

    MAC is defined on what a ReLU leaves; `rectify` makes a transformer's map so (our decision) and changes no CNN's.
    """
    return Mac(widths[-1], rectify=rectify)
