"""GLAM's four attentions in a gated, residual form that is ours: after Song, Han and Avrithis, WACV 2022.

The head `glam` is the paper's text. Here each attention gives a gate in (0, 1) and the map x becomes x · gate + x, one
gate after the other, so that no stream grows faster than the map it came from; the global spatial attention is
SOLAR's block. No published number belongs to this form.
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
    """A gate per value from the mixture of all channels that attention among them gives: (B, D, h, w) -> same shape."""

    def __init__(self, *, kernel: int) -> None:
        super().__init__()
        self.q = nn.Conv1d(1, 1, kernel, padding=kernel // 2)
        self.k = nn.Conv1d(1, 1, kernel, padding=kernel // 2)

    def forward(self, grid: Tensor) -> Tensor:
        mean = grid.mean(dim=(2, 3))[:, None]
        q, k = torch.sigmoid(self.q(mean)), torch.sigmoid(self.k(mean))
        share = (k.transpose(1, 2) @ q).softmax(dim=1)
        mixed: Tensor = grid.flatten(2).transpose(1, 2) @ share
        return torch.sigmoid(mixed.transpose(1, 2).reshape_as(grid))


class GlobalSpatial(nn.Module):
    """A gate per value from what similar places hold, by attention among places: (B, D, h, w) -> same shape.

    The attention is SOLAR's without its residual path; its last convolution starts at zero, the gate at one half.
    """

    def __init__(self, width: int, *, inner: int) -> None:
        super().__init__()
        self.soa = SecondOrderAttention(width, reduction=max(1, width // inner))

    def forward(self, grid: Tensor) -> Tensor:
        return torch.sigmoid(self.soa.attend(grid))


def gated(grid: Tensor, *gates: nn.Module | None) -> Tensor:
    """The map after one gate after the other, x · gate(x) + x; None is a gate switched off."""
    for gate in gates:
        grid = grid if gate is None else grid * gate(grid) + grid
    return grid


class GatedGlam(nn.Module):
    def __init__(
        self, width: int, *, dim: int, local: str, whole: str, kernel: int, inner: int, p: float, learn: bool,
        dropout: float, batch_norm: bool,
    ) -> None:  # fmt: skip
        super().__init__()
        self.dim = dim
        self.local_channel = LocalChannel(kernel=kernel) if local in ("channel", "both") else None
        self.local_spatial = LocalSpatial(width, inner=inner) if local in ("spatial", "both") else None
        self.global_channel = GlobalChannel(kernel=kernel) if whole in ("channel", "both") else None
        self.global_spatial = GlobalSpatial(width, inner=inner) if whole in ("spatial", "both") else None
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
            streams.append(gated(grid, self.local_channel, self.local_spatial))
        if self.global_channel is not None or self.global_spatial is not None:
            streams.append(gated(grid, self.global_channel, self.global_spatial))
        if self.mix is not None:
            share = functional.softmax(self.mix.float(), dim=0)
            grid = torch.stack([w * x for w, x in zip(share, streams, strict=True)]).sum(dim=0)
        y: Tensor = self.bn(self.dropout(self.fc(generalised_mean(grid, self.p))))
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
) -> GatedGlam:
    """Attended last map, GeM, linear layer to `dim`, dropout, batch normalisation; (B, D, h, w) -> (B, dim).

    `local` and `whole` (the paper's "global") are "off", "channel", "spatial" or "both": the axes of its ablation.
    `inner` is the width of the spatial attentions, an eighth of D when not given; dropout's rate is our decision.
    """
    return GatedGlam(
        widths[-1], dim=dim, local=local, whole=whole, kernel=kernel, inner=inner or max(1, widths[-1] // 8),
        p=p, learn=learn, dropout=dropout, batch_norm=batch_norm,
    )  # fmt: skip
