"""SPoC, the sum (here: mean) of each channel over the map: Babenko and Lempitsky, ICCV 2015."""

import torch
from torch import Tensor, nn

from vitret.models.pooling import rectified
from vitret.models.tokens import Tokens


def centre_prior(height: int, width: int) -> Tensor:
    """(h, w) Gaussian weights round the centre, sum 1; sigma is a third of the way from centre to nearest border."""
    sigma = max(min(height, width) / 6, 0.5)
    y = torch.arange(height) - (height - 1) / 2
    x = torch.arange(width) - (width - 1) / 2
    weights = torch.exp(-(y[:, None] ** 2 + x[None, :] ** 2) / (2 * sigma**2))
    return weights / weights.sum()


class Spoc(nn.Module):
    def __init__(self, dim: int, *, rectify: bool, centred: bool) -> None:
        super().__init__()
        self.dim = dim
        self.rectify = rectify
        self.centred = centred

    def forward(self, tokens: Tokens) -> Tensor:
        grid = rectified(tokens.grids[-1], self.rectify).float()
        if not self.centred:
            return grid.mean(dim=(2, 3))
        return (grid * centre_prior(*grid.shape[2:]).to(grid)).sum(dim=(2, 3))


def build(widths: tuple[int, ...], *, rectify: bool = True, centre: bool = False) -> Spoc:
    """Mean over the last map; (B, D, h, w) -> (B, D).

    `centre` weights places by the paper's Gaussian centring prior (from memory); cirtorch's SPoC has none (read).
    `rectify` makes a transformer's map non-negative as a CNN's is (our decision).
    """
    return Spoc(widths[-1], rectify=rectify, centred=centre)
