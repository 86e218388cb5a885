"""The class token of the last layer: Dosovitskiy et al., ICLR 2021."""

from typing import Literal

from torch import Tensor, nn

from vitret.core.errors import UserError
from vitret.models.tokens import Tokens


class Cls(nn.Module):
    def __init__(self, dim: int, *, mean: bool) -> None:
        super().__init__()
        self.dim = dim
        self.mean = mean

    def forward(self, tokens: Tokens) -> Tensor:
        """First prefix token or the mean of all, (B, D)."""
        prefix = tokens.prefix[-1]
        if prefix.shape[1] == 0 or not tokens.class_token:
            raise UserError(
                "The head 'cls' needs a class token, and the last of the asked-for layers has none: CNNs, Swin and "
                "networks made for average pooling never have one, XCiT and CaiT only after their last block "
                "(layers: 1). Use --head gem or mean."
            )
        return prefix.mean(dim=1) if self.mean else prefix[:, 0]


def build(widths: tuple[int, ...], *, prefix: Literal["first", "mean"] = "first") -> Cls:
    """`prefix: mean` averages a distilled DeiT's class and distillation tokens, as timm does at test time.

    The IRT paper speaks of the class token alone.
    """
    return Cls(widths[-1], mean=prefix == "mean")
