"""GLAM, local and global attention over channels and places: Song, Han and Avrithis, WACV 2022, equations 1 to 7.

F is the last map, (c, h, w). The maps of all four attentions are computed from F itself:

    local    A_c = sigmoid(conv1d(GAP F));   F_lc = F ⊙ A_c + F;   F_l = F_lc ⊙ A_s + F_lc
    global   F_gc = F ⊙ G_c, without a residual;                   F_g = F_gc ⊙ G_s + F_gc
    fusion   softmax of three scalars weighs F_l, F_g and F

No normalisation, ReLU or sigmoid stands where the text has none, so the global stream grows like the square of the
map. Not in the text: the inner width c' (an eighth of c here), dropout's rate (0.2), how layers are initialised
(torch's default). The figure's caption gives dilations 1, 3, 5 and the text 1, 2, 3: option `dilations`. The head
`glam_gated` is a gated, residual form of ours.
"""

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional

from vitret.models.pooling import at_least_float32, generalised_mean
from vitret.models.tokens import Tokens


def _channel_conv(kernel: int) -> nn.Conv1d:
    return nn.Conv1d(1, 1, kernel, padding=kernel // 2)


class LocalChannel(nn.Module):
    """A_c, equation 1: sigmoid of a 1-D convolution over the channels' means; (B, c, h, w) -> (B, c, 1, 1)."""

    def __init__(self, *, kernel: int) -> None:
        super().__init__()
        self.conv = _channel_conv(kernel)

    def forward(self, grid: Tensor) -> Tensor:
        mean = grid.mean(dim=(2, 3))[:, None]
        return torch.sigmoid(self.conv(mean)).transpose(1, 2)[..., None]


class LocalSpatial(nn.Module):
    """A_s: F reduced to c' channels, three dilated 3x3 and one 1x1 convolution; (B, c, h, w) -> (B, 1, h, w)."""

    def __init__(self, width: int, *, inner: int, dilations: Sequence[int]) -> None:
        super().__init__()
        self.reduce = nn.Conv2d(width, inner, 1)
        self.dilated = nn.ModuleList(nn.Conv2d(inner, inner, 3, padding=d, dilation=d) for d in dilations)
        self.point = nn.Conv2d(inner, inner, 1)
        self.out = nn.Conv2d((len(dilations) + 1) * inner, 1, 1)

    def forward(self, grid: Tensor) -> Tensor:
        x = self.reduce(grid)
        y: Tensor = self.out(torch.cat([*(layer(x) for layer in self.dilated), self.point(x)], dim=1))
        return y


class GlobalChannel(nn.Module):
    """G_c: every channel becomes a mixture of all channels, its weights softmax(k^T q); (B, c, h, w) -> same shape."""

    def __init__(self, *, kernel: int) -> None:
        super().__init__()
        self.q = _channel_conv(kernel)
        self.k = _channel_conv(kernel)

    def forward(self, grid: Tensor) -> Tensor:
        mean = grid.mean(dim=(2, 3))[:, None]
        q, k = torch.sigmoid(self.q(mean)), torch.sigmoid(self.k(mean))
        share = (k.transpose(1, 2) @ q).softmax(dim=1)
        mixed: Tensor = grid.flatten(2).transpose(1, 2) @ share
        return mixed.transpose(1, 2).reshape_as(grid)


class GlobalSpatial(nn.Module):
    """G_s: every place becomes a mixture of all places, its weights softmax(K^T Q); (B, c, h, w) -> same shape."""

    def __init__(self, width: int, *, inner: int) -> None:
        super().__init__()
        self.q = nn.Conv2d(width, inner, 1)
        self.k = nn.Conv2d(width, inner, 1)
        self.v = nn.Conv2d(width, inner, 1)
        self.out = nn.Conv2d(inner, width, 1)

    def forward(self, grid: Tensor) -> Tensor:
        q, k, v = (layer(grid).flatten(2).transpose(1, 2) for layer in (self.q, self.k, self.v))
        mixed = functional.scaled_dot_product_attention(q, k, v, scale=1.0)  # the text has no scale
        y: Tensor = self.out(mixed.transpose(1, 2).reshape(len(grid), -1, *grid.shape[2:]))
        return y


class Glam(nn.Module):
    def __init__(
        self, width: int, *, dim: int, local: str, whole: str, kernel: int, inner: int, dilations: Sequence[int],
        p: float, learn: bool, dropout: float, batch_norm: bool,
    ) -> None:  # fmt: skip
        super().__init__()
        self.dim = dim
        self.local_channel = LocalChannel(kernel=kernel) if local in ("channel", "both") else None
        self.local_spatial = (
            LocalSpatial(width, inner=inner, dilations=dilations) if local in ("spatial", "both") else None
        )
        self.global_channel = GlobalChannel(kernel=kernel) if whole in ("channel", "both") else None
        self.global_spatial = GlobalSpatial(width, inner=inner) if whole in ("spatial", "both") else None
        streams = 1 + (local != "off") + (whole != "off")
        self.mix = nn.Parameter(torch.zeros(streams)) if streams > 1 else None
        self.p = nn.Parameter(torch.tensor([p]), requires_grad=learn)
        self.fc = nn.Linear(width, dim)
        self.dropout = nn.Dropout(dropout)
        self.bn = nn.BatchNorm1d(dim) if batch_norm else nn.Identity()

    def local_stream(self, grid: Tensor) -> Tensor:
        """F_l, equation 2."""
        seen = grid
        if self.local_channel is not None:
            seen = seen * self.local_channel(grid) + seen
        if self.local_spatial is not None:
            seen = seen * self.local_spatial(grid) + seen
        return seen

    def global_stream(self, grid: Tensor) -> Tensor:
        """F_g, equation 6: no residual after the channels, one after the places."""
        seen = grid
        if self.global_channel is not None:
            seen = seen * self.global_channel(grid)
        if self.global_spatial is not None:
            seen = seen * self.global_spatial(grid) + seen
        return seen

    def forward(self, tokens: Tokens) -> Tensor:
        grid = tokens.grids[-1]
        streams = [grid]
        if self.local_channel is not None or self.local_spatial is not None:
            streams.append(self.local_stream(grid))
        if self.global_channel is not None or self.global_spatial is not None:
            streams.append(self.global_stream(grid))
        if self.mix is not None:
            share = at_least_float32(self.mix).softmax(dim=0)
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
    dilations: Sequence[int] = (1, 2, 3),
    p: float = 3.0,
    learn: bool = True,
    dropout: float = 0.2,
    batch_norm: bool = True,
) -> Glam:
    """Attended last map, GeM, linear layer to `dim`, dropout, batch normalisation; (B, c, h, w) -> (B, dim).

    `local` and `whole` (the paper's "global") are "off", "channel", "spatial" or "both": the axes of its ablation.
    `inner` is c', an eighth of c when not given. Batch normalisation and dropout stand as the text lists them.
    """
    return Glam(
        widths[-1], dim=dim, local=local, whole=whole, kernel=kernel, inner=inner or max(1, widths[-1] // 8),
        dilations=dilations, p=p, learn=learn, dropout=dropout, batch_norm=batch_norm,
    )  # fmt: skip
