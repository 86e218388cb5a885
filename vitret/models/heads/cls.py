"""The class token of the last layer: Dosovitskiy et al., ICLR 2021."""

from torch import Tensor, nn

from vitret.core.errors import UserError
from vitret.models.tokens import Tokens


class Cls(nn.Module):
    def __init__(self, dim: int) -> None:
        super().__init__()
        self.dim = dim

    def forward(self, tokens: Tokens) -> Tensor:
        """First prefix token, (B, D)."""
        prefix = tokens.prefix[-1]
        if prefix.shape[1] == 0:
            raise UserError(
                "The head 'cls' needs a class token and this backbone has none. Use --head gem or mean."
            )
        return prefix[:, 0]


def build(widths: tuple[int, ...]) -> Cls:
    return Cls(widths[-1])
