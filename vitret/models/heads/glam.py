"""GLAM-style attention: local and global, channel and spatial; Song, Han and Avrithis, WACV 2022.

That there are these four attentions, learned fusion weights, GeM, and FC + dropout + batch normalisation to 512
is read in the paper's text; the layers inside each attention are from memory and the names of options say what
can be switched.
"""

import torch
from torch import Tensor, nn
from torch.nn import functional

from vitret.models.attention import SecondOrderAttention
from vitret.models.locality import ConvNorm
from vitret.models.pooling import generalised_mean
from vitret.models.tokens import Tokens


class LocalChannel(nn.Module):
    """A gate per channel from its neighbours in a 1-D convolution (ECA): (B, D, h, w) -> (B, D, 1, 1) in (0, 1)."""

    def __init__(self, *, kernel: int) -> None:
        super().__init__()
        self.conv = nn.Conv1d(1, 1, kernel, padding=kernel // 2)

    def forward(self, grid: Tensor) -> Tensor:
        mean = grid.mean(dim=(2, 3))[:, None]
        return torch.sigmoid(self.conv(mean)).transpose(1, 2)[..., None]


class LocalSpatial(nn.Module):
    """A gate per place from convolutions of three dilations: (B, D, h, w) -> (B, 1, h, w) in (0, 1)."""

    def __init__(self, width: int, *, inner: int) -> None:
        super().__init__()
        self.reduce = nn.Conv2d(width, inner, 1)
        self.seen = nn.ModuleList(ConvNorm(inner, inner, kernel=3, dilation=d) for d in (1, 2, 3))
        self.out = nn.Conv2d(4 * inner, 1, 1)

    def forward(self, grid: Tensor) -> Tensor:
        x = self.reduce(grid)
        return torch.sigmoid(self.out(torch.cat([x, *(layer(x) for layer in self.seen)], dim=1)))


class GlobalChannel(nn.Module):
    """Every channel map as a mixture of all, by attention among channels: (B, D, h, w) -> same shape."""

    def __init__(self, *, kernel: int) -> None:
        super().__init__()
        self.q = nn.Conv1d(1, 1, kernel, padding=kernel // 2)
        self.k = nn.Conv1d(1, 1, kernel, padding=kernel // 2)

    def forward(self, grid: Tensor) -> Tensor:
        mean = grid.mean(dim=(2, 3))[:, None]
        q, k = torch.sigmoid(self.q(mean)), torch.sigmoid(self.k(mean))
        share = (k.transpose(1, 2) @ q).softmax(dim=1)
        mixed: Tensor = grid.flatten(2).transpose(1, 2) @ share
        return mixed.transpose(1, 2).reshape_as(grid)


class Glam(nn.Module):
    def __init__(
        self, width: int, *, dim: int, local: str, whole: str, kernel: int, inner: int, p: float, learn: bool,
        dropout: float, batch_norm: bool,
    ) -> None:  # fmt: skip
        super().__init__()
        self.dim = dim
        self.local_channel = LocalChannel(kernel=kernel) if local in ("channel", "both") else None
        self.local_spatial = LocalSpatial(width, inner=inner) if local in ("spatial", "both") else None
        self.global_channel = GlobalChannel(kernel=kernel) if whole in ("channel", "both") else None
        self.global_spatial = (
            SecondOrderAttention(width, reduction=max(1, width // inner))
            if whole in ("spatial", "both")
            else None
        )
        streams = 1 + (local != "off") + (whole != "off")
        self.mix = nn.Parameter(torch.zeros(streams)) if streams > 1 else None
        self.p = nn.Parameter(torch.tensor([p]), requires_grad=learn)
        self.fc = nn.Linear(width, dim)
        self.dropout = nn.Dropout(dropout)
        self.bn = nn.BatchNorm1d(dim) if batch_norm else nn.Identity()

    def forward(self, tokens: Tokens) -> Tensor:
        grid = tokens.grids[-1]
        streams = [grid]
        if self.local_channel is not None or self.local_spatial is not None:
            x = grid if self.local_channel is None else grid * self.local_channel(grid) + grid
            streams.append(x if self.local_spatial is None else x * self.local_spatial(x) + x)
        if self.global_channel is not None or self.global_spatial is not None:
            x = grid if self.global_channel is None else grid * self.global_channel(grid) + grid
            streams.append(x if self.global_spatial is None else x * self.global_spatial(x) + x)
        if self.mix is not None:
            share = functional.softmax(self.mix.float(), dim=0)
            grid = torch.stack([w * x for w, x in zip(share, streams, strict=True)]).sum(dim=0)
        y: Tensor = self.bn(self.fc(self.dropout(generalised_mean(grid, self.p))))
        return y


def build(
    widths: tuple[int, ...],
    *,
    dim: int = 512,
    local: str = "both",
    whole: str = "both",
    kernel: int = 3,
    inner: int | None = None,
    p: float = 3.0,
    learn: bool = True,
    dropout: float = 0.2,
    batch_norm: bool = True,
) -> Glam:
    """Attended last map, GeM, linear layer to `dim`; (B, D, h, w) -> (B, dim).

    `local` and `whole` (the paper's "global") are "off", "channel", "spatial" or "both": the axes of its ablation.
    `inner` is the width of the spatial attentions, an eighth of D when not given; dropout's rate is our decision.
    """
    return Glam(
        widths[-1], dim=dim, local=local, whole=whole, kernel=kernel, inner=inner or max(1, widths[-1] // 8),
        p=p, learn=learn, dropout=dropout, batch_norm=batch_norm,
    )  # fmt: skip
