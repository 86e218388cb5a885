"""Generalised mean of the last layer's patch tokens: Radenović, Tolias, Chum, TPAMI 2019, equation 3."""

import torch
from torch import Tensor, nn

from vitret.models.tokens import Tokens


def generalised_mean(grid: Tensor, p: Tensor | float, *, eps: float = 1e-6) -> Tensor:
    """`(mean max(x, eps)^p)^(1/p)` over the grid: p = 1 is the mean, p → ∞ the maximum.

    `grid` (B, D, h, w), `p` a number or (D,); returns (B, D) float32. Channels that are negative everywhere give eps.
    >>> generalised_mean(torch.tensor([[[[1.0, 2.0]]]]), 3.0)
    tensor([[1.6510]])
    """
    exponent = torch.as_tensor(p, dtype=torch.float32, device=grid.device)
    # Powers of bf16 lose the small activations; the pooled vector is tiny, so float32 costs nothing.
    flat = grid.float().flatten(2).clamp(min=eps)
    return flat.pow(exponent.reshape(-1, 1)).mean(dim=-1).pow(1 / exponent)


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
