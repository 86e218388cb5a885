"""A plain vision transformer whose stem, position embedding and attention can be exchanged.

Dosovitskiy et al., ICLR 2021; parameter names are timm's, so that public checkpoints of this shape load by name.
Sources of the exchangeable pieces stand at each. Serves the backbones that timm does not have.
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor, nn
from torch.nn import functional

from vitret.core.errors import UserError
from vitret.models.attention import Mlp, heads_for
from vitret.models.tokens import Tokens

IMAGENET_MEAN = (0.485, 0.456, 0.406)
IMAGENET_STD = (0.229, 0.224, 0.225)


class PatchStem(nn.Module):
    """One convolution from pixels to tokens; `overlap` pixels are seen on every side beyond the patch.

    Overlapping windows of side P + 2o at stride P are ViTGAN's (Lee et al., ICLR 2022); o = 0 is the usual stem.
    """

    def __init__(self, width: int, *, patch: int, overlap: int = 0) -> None:
        super().__init__()
        self.proj = nn.Conv2d(3, width, patch + 2 * overlap, stride=patch, padding=overlap)

    def forward(self, images: Tensor) -> Tensor:
        y: Tensor = self.proj(images)
        return y


class ConvStem(nn.Module):
    """Three convolutions with batch normalisation and ReLU, then an 8x8 projection: stride 16 in all.

    "Scaled ReLU" (Wang et al., AAAI 2022, layers as a third party's code describes them) and, the same, LV-ViT's stem
    (read in its code). `batch_norm` and `relu` off leave the convolutions alone, the paper's counter-example.
    """

    def __init__(self, width: int, *, channels: int = 64, batch_norm: bool = True, relu: bool = True) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(3, channels, 7, stride=2, padding=3, bias=False)
        self.bn1 = nn.BatchNorm2d(channels) if batch_norm else nn.Identity()
        self.conv2 = nn.Conv2d(channels, channels, 3, padding=1, bias=False)
        self.bn2 = nn.BatchNorm2d(channels) if batch_norm else nn.Identity()
        self.conv3 = nn.Conv2d(channels, channels, 3, padding=1, bias=False)
        self.bn3 = nn.BatchNorm2d(channels) if batch_norm else nn.Identity()
        self.proj = nn.Conv2d(channels, width, 8, stride=8)
        self.act = nn.ReLU() if relu else nn.Identity()

    def forward(self, images: Tensor) -> Tensor:
        x = self.act(self.bn1(self.conv1(images)))
        x = self.act(self.bn2(self.conv2(x)))
        y: Tensor = self.proj(self.act(self.bn3(self.conv3(x))))
        return y


@dataclass(frozen=True, kw_only=True)
class Blocks:
    """What the blocks of a transformer are made of.

    Residual branches are divided by `residual_scale`; `drop_path` is the last block's rate, the first one's is 0.
    """

    width: int
    depth: int
    heads: int
    mlp_ratio: float = 4.0
    qkv_bias: bool = True
    attention: Literal["dot", "distance"] = "dot"
    activation: Callable[[Tensor], Tensor] = functional.gelu
    residual_scale: float = 1.0
    drop_path: float = 0.0
    eps: float = 1e-6

    def build(self) -> nn.ModuleList:
        """The blocks, with random weights."""
        last = max(1, self.depth - 1)
        return nn.ModuleList(Block(self, drop_path=self.drop_path * i / last) for i in range(self.depth))


class DotAttention(nn.Module):
    """Multi-head self-attention by scaled dot products: (B, N, D) -> same shape."""

    def __init__(self, width: int, *, heads: int, qkv_bias: bool) -> None:
        super().__init__()
        self.heads = heads_for(width, heads, "attention")
        self.qkv = nn.Linear(width, 3 * width, bias=qkv_bias)
        self.proj = nn.Linear(width, width)

    def forward(self, x: Tensor) -> Tensor:
        q, k, v = self.qkv(x).reshape(*x.shape[:2], 3, self.heads, -1).permute(2, 0, 3, 1, 4)
        mixed = functional.scaled_dot_product_attention(q, k, v)
        y: Tensor = self.proj(mixed.transpose(1, 2).flatten(2))
        return y


class DistanceAttention(nn.Module):
    """Self-attention that falls with Euclidean distance, queries and keys tied: (B, N, D) -> same shape.

    softmax(-|q_i - q_j|^2 / sqrt(d)): Kim et al., ICML 2021, as ViTGAN's discriminator uses it. That queries and keys
    are one projection is read in secondary texts; the minus sign is inferred, for attention must fall with distance.
    """

    def __init__(self, width: int, *, heads: int, qkv_bias: bool) -> None:
        super().__init__()
        self.heads = heads_for(width, heads, "attention")
        self.qk = nn.Linear(width, width, bias=qkv_bias)
        self.v = nn.Linear(width, width, bias=qkv_bias)
        self.proj = nn.Linear(width, width)

    def forward(self, x: Tensor) -> Tensor:
        q, v = (y.reshape(*x.shape[:2], self.heads, -1).transpose(1, 2) for y in (self.qk(x), self.v(x)))
        # -|q_i - q_j|^2 = 2 q_i.q_j - |q_j|^2 - |q_i|^2, and the last term is the same along a row of the softmax.
        bias = -(q.float() ** 2).sum(dim=-1)[:, :, None] / math.sqrt(q.shape[-1])
        bias = bias.to(q.dtype).expand(-1, -1, x.shape[1], -1)
        mixed = functional.scaled_dot_product_attention(2 * q, q, v, attn_mask=bias)
        y: Tensor = self.proj(mixed.transpose(1, 2).flatten(2))
        return y


class DropPath(nn.Module):
    """In training, a residual branch is left out for a random share of the images; the kept are scaled up."""

    def __init__(self, rate: float) -> None:
        super().__init__()
        self.rate = rate

    def forward(self, x: Tensor) -> Tensor:
        if not self.training or self.rate == 0:
            return x
        kept = torch.rand(len(x), *[1] * (x.ndim - 1), device=x.device) >= self.rate
        return x * kept / (1 - self.rate)


class Block(nn.Module):
    """Pre-norm transformer block; each branch is divided by `scale` before it is added: (B, N, D) -> same shape."""

    def __init__(self, spec: Blocks, *, drop_path: float) -> None:
        super().__init__()
        kind = DotAttention if spec.attention == "dot" else DistanceAttention
        self.norm1 = nn.LayerNorm(spec.width, eps=spec.eps)
        self.attn: nn.Module = kind(spec.width, heads=spec.heads, qkv_bias=spec.qkv_bias)
        self.norm2 = nn.LayerNorm(spec.width, eps=spec.eps)
        self.mlp = Mlp(spec.width, ratio=spec.mlp_ratio, activation=spec.activation)
        self.drop_path = DropPath(drop_path)
        self.scale = spec.residual_scale

    def forward(self, x: Tensor) -> Tensor:
        x = x + self.drop_path(self.attn(self.norm1(x))) / self.scale
        y: Tensor = x + self.drop_path(self.mlp(self.norm2(x))) / self.scale
        return y


def sincos_grid(height: int, width: int, channels: int, *, temperature: float = 10000.0) -> Tensor:
    """MoCo v3's fixed position table for a grid (read in its code): (h * w, D), row-major, D a multiple of 4.

    Four quarters: sine and cosine of the row, sine and cosine of the column.
    """
    if channels % 4:
        raise UserError(f"A 2-D sine-cosine position table needs a width that 4 divides, not {channels}.")
    rate = temperature ** -(torch.arange(channels // 4, dtype=torch.float64) / (channels // 4))
    rows = (torch.arange(height, dtype=torch.float64)[:, None] * rate)[:, None].expand(-1, width, -1)
    columns = (torch.arange(width, dtype=torch.float64)[:, None] * rate)[None].expand(height, -1, -1)
    table = torch.cat([rows.sin(), rows.cos(), columns.sin(), columns.cos()], dim=-1)
    return table.flatten(0, 1).float()


def resized_positions(stored: Tensor, grid: tuple[int, int], size: tuple[int, int]) -> Tensor:
    """The stored embedding (1, P + h0 w0, D) at another grid: (1, P + h w, D); prefix tokens' stay as they are.

    Bicubic with antialiasing, timm's default; the native grid is given back exactly.
    """
    if grid == size:
        return stored
    first = stored.shape[1] - grid[0] * grid[1]
    prefix, table = stored[:, :first], stored[:, first:]
    image = table.reshape(1, *grid, -1).permute(0, 3, 1, 2).float()
    image = functional.interpolate(image, size=size, mode="bicubic", antialias=True)
    return torch.cat([prefix, image.flatten(2).transpose(1, 2).to(stored.dtype)], dim=1)


def chosen_layers(layers: int | Sequence[int], count: int) -> list[int]:
    """Ascending indices of the asked-for blocks: the last `layers`, or the listed ones, negative from the end.

    >>> chosen_layers(2, 12), chosen_layers([0, -1], 12)
    ([10, 11], [0, 11])
    """
    asked = range(-layers, 0) if isinstance(layers, int) else layers
    chosen = sorted({index + count if index < 0 else index for index in asked})
    if not chosen or chosen[0] < 0 or chosen[-1] >= count:
        raise UserError(f"layers={layers}: this backbone has {count} blocks, 0…{count - 1}.")
    return chosen


class VisionTransformer(nn.Module):
    """Images to class token (if there is one) and patch grids of the chosen blocks, at any size `patch` divides.

    `grid` is the grid whose position embedding is stored; others are resized from it at every call.
    """

    def __init__(
        self,
        blocks: Blocks,
        *,
        stem: nn.Module,
        patch: int,
        grid: tuple[int, int],
        position: Literal["learned", "sincos"] = "learned",
        class_token: bool = True,
        layers: int | Sequence[int] = 1,
        norm: str = "shared_final",
    ) -> None:
        super().__init__()
        width = blocks.width
        self.patch = patch
        self.grid = grid
        self.layers = chosen_layers(layers, blocks.depth)
        self.widths: tuple[int, ...] = (width,) * len(self.layers)
        self.prefix_tokens = int(class_token)
        self.mean: tuple[float, float, float] = IMAGENET_MEAN
        self.std: tuple[float, float, float] = IMAGENET_STD
        self.norm_layers = norm != "none"
        self.patch_embed = stem
        self.cls_token = nn.Parameter(torch.zeros(1, 1, width)) if class_token else None
        table = torch.zeros(1, self.prefix_tokens + grid[0] * grid[1], width)
        if position == "sincos":
            table[0, self.prefix_tokens :] = sincos_grid(*grid, width)
        self.pos_embed = nn.Parameter(table, requires_grad=position == "learned")
        self.blocks = blocks.build()
        self.norm = nn.LayerNorm(width, eps=blocks.eps)
        self._initialise(position)

    def _initialise(self, position: str) -> None:
        for module in self.modules():
            if isinstance(module, nn.Linear):
                nn.init.trunc_normal_(module.weight, std=0.02)
                if module.bias is not None:
                    nn.init.zeros_(module.bias)
        if self.cls_token is not None:
            nn.init.trunc_normal_(self.cls_token, std=0.02)
        if position == "learned":
            nn.init.trunc_normal_(self.pos_embed, std=0.02)

    def no_weight_decay(self) -> set[str]:
        """Names that no optimiser should decay, in timm's convention."""
        return {"cls_token", "pos_embed"}

    def embed(self, images: Tensor) -> Tensor:
        """Patch tokens before position and class token: (B, 3, H, W) -> (B, D, h, w)."""
        if images.shape[2] % self.patch or images.shape[3] % self.patch:
            raise UserError(
                f"Images of {tuple(images.shape[2:])} pixels: both sides must be multiples of {self.patch}."
            )
        grid: Tensor = self.patch_embed(images)
        return grid

    def encode(self, grid: Tensor) -> Tokens:
        """Run the blocks on embedded patches (B, D, h, w); gives the chosen layers."""
        size = (grid.shape[2], grid.shape[3])
        x = grid.flatten(2).transpose(1, 2)
        if self.cls_token is not None:
            x = torch.cat([self.cls_token.expand(len(grid), -1, -1), x], dim=1)
        x = x + resized_positions(self.pos_embed, self.grid, size)
        found = []
        for i, block in enumerate(self.blocks):
            x = block(x)
            if i in self.layers:
                found.append(self.norm(x) if self.norm_layers else x)
            if i == self.layers[-1]:
                break
        p = self.prefix_tokens
        maps = tuple(y[:, p:].transpose(1, 2).reshape(len(y), -1, *size) for y in found)
        return Tokens(prefix=tuple(y[:, :p] for y in found), grids=maps)

    def forward(self, images: Tensor) -> Tokens:
        return self.encode(self.embed(images))
