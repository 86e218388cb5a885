"""GeM with a linear layer after it: cirtorch's networks "with whitening learned end to end", and DIR's; both read.

cirtorch normalises between pooling and layer (`normalise`), DIR does not.
"""

import torch
from torch import Tensor, nn

from vitret.models.pooling import generalised_mean, unit
from vitret.models.tokens import Tokens


class GemFc(nn.Module):
    def __init__(self, width: int, *, dim: int, p: float, learn: bool, normalise: bool) -> None:
        super().__init__()
        self.dim = dim
        self.p = nn.Parameter(torch.tensor([p]), requires_grad=learn)
        self.normalise = normalise
        self.fc = nn.Linear(width, dim)

    def forward(self, tokens: Tokens) -> Tensor:
        pooled = generalised_mean(tokens.grids[-1], self.p)
        y: Tensor = self.fc(unit(pooled) if self.normalise else pooled)
        return y


def build(
    widths: tuple[int, ...],
    *,
    dim: int | None = None,
    p: float = 3.0,
    learn: bool = True,
    normalise: bool = True,
) -> GemFc:
    """Pooled last map through one linear layer; (B, D, h, w) -> (B, dim), dim = D unless given."""
    return GemFc(widths[-1], dim=dim or widths[-1], p=p, learn=learn, normalise=normalise)
