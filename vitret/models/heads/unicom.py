"""Unicom's head: all patch tokens in a row, two linear layers with batch normalisation; An et al., ICLR 2023 (read)."""

from torch import Tensor, nn

from vitret.core.errors import UserError
from vitret.models.tokens import Tokens


class Unicom(nn.Module):
    def __init__(self, width: int, *, places: int, dim: int) -> None:
        super().__init__()
        self.dim = dim
        self.places = places
        self.feature = nn.Sequential(
            nn.Linear(width * places, width, bias=False),
            nn.BatchNorm1d(width, eps=2e-5),
            nn.Linear(width, dim, bias=False),
            nn.BatchNorm1d(dim, eps=2e-5),
        )

    def forward(self, tokens: Tokens) -> Tensor:
        grid = tokens.grids[-1]
        if grid.shape[2] * grid.shape[3] != self.places:
            raise UserError(
                f"head unicom is made for {self.places} places, this image has {grid.shape[2]} x {grid.shape[3]}. "
                "Use the image size the head was trained at."
            )
        y: Tensor = self.feature(grid.flatten(2).transpose(1, 2).flatten(1))
        return y


def build(widths: tuple[int, ...], *, places: int = 196, dim: int = 768) -> Unicom:
    """Descriptor of `dim` from exactly `places` patch tokens: 196 for ViT-B/16 at 224; 512 wide for ViT-B/32."""
    return Unicom(widths[-1], places=places, dim=dim)
