"""Maximum of the last layer's patch tokens per channel (MAC): Tolias, Sicre, Jégou, ICLR 2016, section 3."""

from torch import Tensor, nn

from vitret.models.tokens import Tokens


class Max(nn.Module):
    def __init__(self, dim: int) -> None:
        super().__init__()
        self.dim = dim

    def forward(self, tokens: Tokens) -> Tensor:
        """Maximum over the grid, (B, D)."""
        return tokens.grids[-1].amax(dim=(-2, -1))


def build(widths: tuple[int, ...]) -> Max:
    return Max(widths[-1])
