"""DOLG, orthogonal fusion of a local and a global branch: Yang et al., ICCV 2021; layers read in the authors' code.

Wants the maps of two stages (`layers: 2` of a CNN): attention on the finer one, GeM and a linear layer on the
coarser one; the local map loses its share along the global vector, is averaged and stands beside it.
"""

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from vitret.core.errors import UserError
from vitret.models.attention import SpatialAttention
from vitret.models.pooling import generalised_mean, orthogonal_part
from vitret.models.tokens import Tokens


class MultiAtrous(nn.Module):
    """The optional front end: a 1x1 and dilated 3x3 convolutions and image pooling, concatenated, 1x1, ReLU.

    No normalisation inside, as in the code; (B, D, h, w) -> same shape.
    """

    def __init__(self, channels: int, *, width: int, dilations: Sequence[int]) -> None:
        super().__init__()
        self.aspp = nn.ModuleList(
            [
                nn.Conv2d(channels, width, 1),
                *(nn.Conv2d(channels, width, 3, padding=d, dilation=d) for d in dilations),
            ]
        )
        self.im_pool = nn.Conv2d(channels, width, 1)
        self.conv_after = nn.Conv2d((len(self.aspp) + 1) * width, channels, 1)

    def forward(self, grid: Tensor) -> Tensor:
        whole = torch.relu(self.im_pool(grid.mean(dim=(2, 3), keepdim=True)))
        seen = [whole.expand(-1, -1, *grid.shape[2:]), *(layer(grid) for layer in self.aspp)]
        return torch.relu(self.conv_after(torch.cat(seen, dim=1)))


class Dolg(nn.Module):
    def __init__(
        self,
        widths: tuple[int, ...],
        *,
        dim: int,
        local_width: int,
        p: float,
        learn: bool,
        atrous: MultiAtrous | None,
    ) -> None:
        super().__init__()
        self.dim = dim
        self.atrous = atrous
        self.localmodel = SpatialAttention(widths[-2], local_width)
        self.p = nn.Parameter(torch.tensor([p]), requires_grad=learn)
        self.fc_t = nn.Linear(widths[-1], local_width)
        self.fc = nn.Linear(2 * local_width, dim)

    def forward(self, tokens: Tokens) -> Tensor:
        fine, coarse = tokens.grids[-2:]
        if self.atrous is not None:
            fine = self.atrous(fine)
        whole = self.fc_t(generalised_mean(coarse, self.p))
        rest = orthogonal_part(self.localmodel(fine), whole).mean(dim=(2, 3))
        y: Tensor = self.fc(torch.cat([whole, rest], dim=1))
        return y


def build(
    widths: tuple[int, ...],
    *,
    dim: int = 512,
    local_width: int | None = None,
    p: float = 3.0,
    learn: bool = True,
    multi_atrous: bool = False,
    atrous_width: int | None = None,
    dilations: Sequence[int] = (6, 12, 18),
) -> Dolg:
    """Descriptor of `dim` from the last two maps; p learns from 3 on and the atrous front end is off, as in the code.

    `local_width` is 1024 there, the finer stage's width, which is what None gives; `atrous_width` is half of it.
    """
    if len(widths) < 2:
        raise UserError(
            "head dolg reads two maps, the backbone gives one. Set the backbone's option layers: 2."
        )
    front = (
        MultiAtrous(widths[-2], width=atrous_width or widths[-2] // 2, dilations=dilations)
        if multi_atrous
        else None
    )
    return Dolg(widths, dim=dim, local_width=local_width or widths[-2], p=p, learn=learn, atrous=front)
