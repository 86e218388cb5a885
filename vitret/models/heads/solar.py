"""SOLAR's head: second-order attention on the last map, GeM, whitening layer; Ng et al., ECCV 2020, read in its code.

In the published networks a first block stands inside the CNN, after stage 4 of 5: backbone `resnet_soa` has it.
"""

import torch
from torch import Tensor, nn

from vitret.models.attention import SecondOrderAttention
from vitret.models.pooling import generalised_mean, unit
from vitret.models.tokens import Tokens


class Solar(nn.Module):
    def __init__(
        self, width: int, *, reduction: int, p: float, learn: bool, whiten: bool, dim: int | None
    ) -> None:
        super().__init__()
        self.soa = SecondOrderAttention(width, reduction=reduction)
        self.p = nn.Parameter(torch.tensor([p]), requires_grad=learn)
        self.dim = (dim or width) if whiten else width
        # Called as in head gem_fc, whose published networks SOLAR starts from.
        self.fc = nn.Linear(width, self.dim) if whiten else None

    def forward(self, tokens: Tokens) -> Tensor:
        pooled = unit(generalised_mean(self.soa(tokens.grids[-1]), self.p))
        return pooled if self.fc is None else self.fc(pooled)


def build(
    widths: tuple[int, ...],
    *,
    reduction: int = 2,
    p: float = 3.0,
    learn: bool = True,
    whiten: bool = True,
    dim: int | None = None,
) -> Solar:
    """Attention, GeM and linear whitening of the last map; (B, D, h, w) -> (B, dim), dim = D unless given.

    `reduction` 2 is the published block's on the last stage (4 on the one before it).
    """
    return Solar(widths[-1], reduction=reduction, p=p, learn=learn, whiten=whiten, dim=dim)
