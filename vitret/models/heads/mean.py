"""Mean of the last layer's patch tokens (SPoC without its centre prior): Babenko and Lempitsky, ICCV 2015."""

from torch import Tensor, nn

from vitret.models.tokens import Tokens


class Mean(nn.Module):
    def __init__(self, dim: int) -> None:
        super().__init__()
        self.dim = dim

    def forward(self, tokens: Tokens) -> Tensor:
        """Mean over the grid, (B, D)."""
        return tokens.grids[-1].float().mean(dim=(-2, -1))


def build(widths: tuple[int, ...]) -> Mean:
    return Mean(widths[-1])
