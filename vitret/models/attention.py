"""Attentions that several parts share: windows, cross-attention, second order, DOLG's spatial attention."""

from collections.abc import Callable

import torch
from torch import Tensor, nn
from torch.nn import functional

from vitret.core.errors import UserError


def heads_for(width: int, heads: int, what: str) -> int:
    """`heads` when it divides `width`; otherwise an error that names the divisors at hand."""
    if heads < 1 or width % heads:
        fitting = [n for n in range(1, width + 1) if width % n == 0]
        raise UserError(f"{what}: {heads} heads do not divide width {width}. Possible: {fitting}.")
    return heads


class Mlp(nn.Module):
    """Linear, activation, linear: (..., D) -> (..., D)."""

    def __init__(
        self, width: int, *, ratio: float, activation: Callable[[Tensor], Tensor] = functional.gelu
    ) -> None:
        super().__init__()
        self.fc1 = nn.Linear(width, int(width * ratio))
        self.fc2 = nn.Linear(int(width * ratio), width)
        self.activation = activation

    def forward(self, x: Tensor) -> Tensor:
        y: Tensor = self.fc2(self.activation(self.fc1(x)))
        return y


class CrossAttention(nn.Module):
    """Multi-head attention of queries (B, T, D) on other tokens (B, N, D): returns (B, T, D)."""

    def __init__(
        self, width: int, *, heads: int, bias: bool = True, dropout: float = 0.0, weight_dropout: float = 0.0
    ) -> None:
        super().__init__()
        self.heads = heads_for(width, heads, "cross-attention")
        self.weight_dropout = weight_dropout
        self.q = nn.Linear(width, width, bias=bias)
        self.k = nn.Linear(width, width, bias=bias)
        self.v = nn.Linear(width, width, bias=bias)
        self.proj = nn.Linear(width, width, bias=bias)
        self.dropout = nn.Dropout(dropout)

    def forward(self, queries: Tensor, others: Tensor) -> Tensor:
        q, k, v = (
            layer(x).unflatten(-1, (self.heads, -1)).transpose(1, 2)
            for layer, x in ((self.q, queries), (self.k, others), (self.v, others))
        )
        dropped = self.weight_dropout if self.training else 0.0
        mixed = functional.scaled_dot_product_attention(q, k, v, dropout_p=dropped)
        y: Tensor = self.dropout(self.proj(mixed.transpose(1, 2).flatten(2)))
        return y


class WindowAttention(nn.Module):
    """Self-attention inside (shifted) square windows with relative position bias: Liu et al., "Swin", ICCV 2021.

    (B, h, w, D) -> same shape, any h and w: the map is padded up to whole windows and padding is masked as key.
    """

    position_index: Tensor

    def __init__(self, width: int, *, heads: int, window: int, shift: int = 0) -> None:
        super().__init__()
        self.heads = heads_for(width, heads, "window attention")
        self.window = window
        self.shift = shift
        self.qkv = nn.Linear(width, 3 * width)
        self.proj = nn.Linear(width, width)
        self.position_bias = nn.Parameter(torch.zeros((2 * window - 1) ** 2, heads))
        nn.init.trunc_normal_(self.position_bias, std=0.02)
        place = torch.stack(
            torch.meshgrid(torch.arange(window), torch.arange(window), indexing="ij")
        ).flatten(1)
        offset = place[:, :, None] - place[:, None, :] + window - 1
        self.register_buffer("position_index", offset[0] * (2 * window - 1) + offset[1], persistent=False)

    def no_weight_decay(self) -> set[str]:
        """Names that no optimiser should decay, in timm's convention."""
        return {"position_bias"}

    def forward(self, x: Tensor) -> Tensor:
        batch, height, width, _ = x.shape
        n = self.window
        down, right = -height % n, -width % n
        padded = functional.pad(x, (0, 0, 0, right, 0, down))
        # One window that covers a whole side needs no shift along it: there is no border to cross.
        shift_y = self.shift if height + down > n else 0
        shift_x = self.shift if width + right > n else 0
        region = padded.new_zeros(padded.shape[1:3], dtype=torch.long)
        # The first `shift` rows and columns travel round to the far side and must not be seen from there.
        region[:shift_y] += 1
        region[:, :shift_x] += 2
        region[height:] = -1
        region[:, width:] = -1
        padded = padded.roll((-shift_y, -shift_x), dims=(1, 2))
        region = region.roll((-shift_y, -shift_x), dims=(0, 1))
        windows = _windows(padded, n)
        labels = _windows(region[None, :, :, None], n).squeeze(-1)
        # A token may look at tokens of its own region; padding (region -1) may be looked at by padding alone.
        allowed = labels[:, :, None] == labels[:, None, :]
        bias = self.position_bias[self.position_index].permute(2, 0, 1)
        mask = bias[None].masked_fill(~allowed[:, None], float("-inf"))
        q, k, v = self.qkv(windows).unflatten(-1, (3, self.heads, -1)).permute(2, 0, 3, 1, 4)
        mask = mask.to(q.dtype).repeat(batch, 1, 1, 1)
        mixed = functional.scaled_dot_product_attention(q, k, v, attn_mask=mask)
        y = _unwindows(self.proj(mixed.transpose(1, 2).flatten(2)), batch, height + down, width + right, n)
        return y.roll((shift_y, shift_x), dims=(1, 2))[:, :height, :width]


def _windows(x: Tensor, n: int) -> Tensor:
    """(B, h, w, D) -> (B * windows, n * n, D)."""
    batch, height, width, channels = x.shape
    cut = x.view(batch, height // n, n, width // n, n, channels)
    return cut.permute(0, 1, 3, 2, 4, 5).reshape(-1, n * n, channels)


def _unwindows(windows: Tensor, batch: int, height: int, width: int, n: int) -> Tensor:
    cut = windows.view(batch, height // n, width // n, n, n, -1)
    return cut.permute(0, 1, 3, 2, 4, 5).reshape(batch, height, width, -1)


class WindowBlock(nn.Module):
    """Pre-norm Swin block on a map: x + W-MSA(LN(x)), then x + MLP(LN(x)); (B, D, h, w) -> same shape."""

    def __init__(self, width: int, *, heads: int, window: int, shift: int, mlp_ratio: float) -> None:
        super().__init__()
        self.norm1 = nn.LayerNorm(width)
        self.attn = WindowAttention(width, heads=heads, window=window, shift=shift)
        self.norm2 = nn.LayerNorm(width)
        self.mlp = Mlp(width, ratio=mlp_ratio)

    def forward(self, grid: Tensor) -> Tensor:
        x: Tensor = grid.permute(0, 2, 3, 1)
        x = x + self.attn(self.norm1(x))
        x = x + self.mlp(self.norm2(x))
        return x.permute(0, 3, 1, 2)


class SpatialAttention(nn.Module):
    """DOLG's attention on a map: (B, D, h, w) -> (B, C, h, w), read in its code (ICCV 2021).

    u = BN(conv1x1(x)); result = softplus(conv1x1(ReLU(u))) * u / |u|, the norm taken over channels.
    """

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(inputs, outputs, 1)
        self.bn = nn.BatchNorm2d(outputs)
        self.conv2 = nn.Conv2d(outputs, 1, 1)

    def forward(self, grid: Tensor) -> Tensor:
        u = self.bn(self.conv1(grid))
        score = functional.softplus(self.conv2(torch.relu(u)))
        return score * functional.normalize(u, dim=1)


class SecondOrderAttention(nn.Module):
    """SOLAR's block: every place becomes itself plus what similar places hold; Ng et al., ECCV 2020, read in its code.

    (B, D, h, w) -> same shape. The last convolution starts at zero, so that the block starts as the identity.
    `attend` is what the others hold, alone.
    """

    def __init__(self, width: int, *, reduction: int) -> None:
        super().__init__()
        inner = max(1, width // reduction)
        self.f = nn.Sequential(nn.Conv2d(width, inner, 1), nn.BatchNorm2d(inner), nn.ReLU())
        self.g = nn.Sequential(nn.Conv2d(width, inner, 1), nn.BatchNorm2d(inner), nn.ReLU())
        self.h = nn.Conv2d(width, inner, 1)
        self.v = nn.Conv2d(inner, width, 1)
        for layer in (self.f[0], self.g[0], self.h):
            assert isinstance(layer, nn.Conv2d)
            nn.init.kaiming_normal_(layer.weight)
            assert layer.bias is not None
            nn.init.zeros_(layer.bias)
        nn.init.zeros_(self.v.weight)
        assert self.v.bias is not None
        nn.init.zeros_(self.v.bias)

    def attend(self, grid: Tensor) -> Tensor:
        q, k, v = (layer(grid).flatten(2).transpose(1, 2) for layer in (self.f, self.g, self.h))
        mixed = functional.scaled_dot_product_attention(q, k, v)
        y: Tensor = self.v(mixed.transpose(1, 2).reshape(len(grid), -1, *grid.shape[2:]))
        return y

    def forward(self, grid: Tensor) -> Tensor:
        return grid + self.attend(grid)
