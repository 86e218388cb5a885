"""CroW, weights for places and for channels without training: Kalantidis et al., ECCV workshops 2016 (from memory)."""

import torch
from torch import Tensor, nn

from vitret.models.tokens import Tokens


def spatial_weights(grid: Tensor, *, a: float, b: float) -> Tensor:
    """(B, h, w) weight of each place: its activation summed over channels, L_a-normalised, to the power 1/b."""
    total = grid.sum(dim=1)
    scale = total.pow(a).sum(dim=(1, 2), keepdim=True).pow(1 / a).clamp(min=1e-12)
    return (total / scale).clamp(min=1e-12).pow(1 / b)


def channel_weights(grid: Tensor, eps: float = 1e-6) -> Tensor:
    """(B, D) weight of each channel: the logarithm of how rare its activation is, as an inverse document frequency."""
    share = (grid > 0).float().mean(dim=(2, 3))
    weight = torch.log((share.shape[1] * eps + share.sum(dim=1, keepdim=True)) / (eps + share))
    return torch.where(share > 0, weight, torch.zeros_like(weight))


class Crow(nn.Module):
    def __init__(self, dim: int, *, a: float, b: float) -> None:
        super().__init__()
        self.dim = dim
        self.a = a
        self.b = b

    def forward(self, tokens: Tokens) -> Tensor:
        grid = torch.relu(tokens.grids[-1].float())
        pooled = (grid * spatial_weights(grid, a=self.a, b=self.b)[:, None]).sum(dim=(2, 3))
        return pooled * channel_weights(grid)


def build(widths: tuple[int, ...], *, a: float = 2.0, b: float = 2.0) -> Crow:
    """Weighted sum over the last map after a ReLU; (B, D, h, w) -> (B, D). Not meant to be trained through."""
    return Crow(widths[-1], a=a, b=b)
