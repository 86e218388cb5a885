"""Generalised mean of the last layer's patch tokens: Radenović, Tolias, Chum, TPAMI 2019, equation 3."""

import torch
from torch import Tensor, nn

from vitret.models.pooling import generalised_mean
from vitret.models.tokens import Tokens


class Gem(nn.Module):
    def __init__(self, dim: int, *, p: float, per_channel: bool, learn: bool, eps: float) -> None:
        super().__init__()
        self.dim = dim
        self.eps = eps
        self.p = nn.Parameter(torch.full((dim if per_channel else 1,), p), requires_grad=learn)

    def forward(self, tokens: Tokens) -> Tensor:
        """Pooled grid, (B, D), float32."""
        return generalised_mean(tokens.grids[-1], self.p, eps=self.eps)


def build(
    widths: tuple[int, ...],
    *,
    p: float = 3.0,
    learn: bool = True,
    per_channel: bool = False,
    eps: float = 1e-6,
) -> Gem:
    """One shared, learnable p that starts at 3, as in the published code of the paper; `per_channel` is its GeMmp."""
    return Gem(widths[-1], p=p, per_channel=per_channel, learn=learn, eps=eps)
