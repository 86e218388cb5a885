"""Token: a few learned visual words gather the map, are refined by it, and together make the descriptor.

Wu et al., "Learning Token-based Representation for Image Retrieval", AAAI 2022; layers read in the authors' code.
"""

import torch
from torch import Tensor, nn

from vitret.models.attention import CrossAttention, Mlp
from vitret.models.tokens import Tokens


class Enhance(nn.Module):
    """Local feature self-attention: x + MHA(x), then x + linear(BN(x)); (B, N, D) -> same shape."""

    def __init__(self, width: int, *, heads: int, dropout: float) -> None:
        super().__init__()
        self.attn = CrossAttention(width, heads=heads, dropout=dropout, weight_dropout=dropout)
        self.bn = nn.BatchNorm1d(width)
        self.mlp = nn.Linear(width, width)

    def forward(self, x: Tensor) -> Tensor:
        x = x + self.attn(x, x)
        y: Tensor = x + self.mlp(self.bn(x.transpose(1, 2)).transpose(1, 2))
        return y


class Refine(nn.Module):
    """Tokens look at the map, pass an MLP, then look at each other: (B, T, D), (B, N, D) -> (B, T, D)."""

    def __init__(self, width: int, *, heads: int, dropout: float) -> None:
        super().__init__()
        self.bn1 = nn.LayerNorm(width)
        self.cross_attn = CrossAttention(width, heads=heads, dropout=dropout, weight_dropout=dropout)
        self.mlp = Mlp(width, ratio=2.0)
        self.bn2 = nn.LayerNorm(width)
        self.self_attn = CrossAttention(width, heads=heads, dropout=dropout, weight_dropout=dropout)

    def forward(self, words: Tensor, places: Tensor) -> Tensor:
        words = words + self.cross_attn(self.bn1(words), places)
        words = words + self.mlp(words)
        normed = self.bn2(words)
        y: Tensor = words + self.self_attn(normed, normed)
        return y


class TokenHead(nn.Module):
    def __init__(
        self,
        width: int,
        *,
        dim: int,
        inner: int,
        words: int,
        heads: int,
        enhance: int,
        refine: int,
        dropout: float,
    ) -> None:
        super().__init__()
        self.dim = dim
        self.query = nn.Parameter(torch.randn(1, words, inner))
        self.conv = nn.Sequential(nn.Conv2d(width, inner, 1), nn.BatchNorm2d(inner))
        self.encoder = nn.ModuleList(Enhance(inner, heads=heads, dropout=dropout) for _ in range(enhance))
        self.token_norm = nn.Sequential(nn.Linear(inner, inner), nn.LayerNorm(inner))
        self.decoder = nn.ModuleList(Refine(inner, heads=heads, dropout=dropout) for _ in range(refine))
        self.proj = nn.Sequential(nn.Linear(words * inner, dim), nn.BatchNorm1d(dim))
        for module in self.modules():
            if isinstance(module, CrossAttention):
                for layer in (module.q, module.k, module.v):
                    nn.init.trunc_normal_(layer.weight, std=0.02)
                    nn.init.zeros_(layer.bias)
                # Attention starts as nothing added, as in the authors' code.
                nn.init.zeros_(module.proj.weight)
                nn.init.zeros_(module.proj.bias)

    def forward(self, tokens: Tokens) -> Tensor:
        places = self.conv(tokens.grids[-1]).flatten(2).transpose(1, 2)
        for layer in self.encoder:
            places = layer(places)
        query = self.query.expand(len(places), -1, -1)
        # The softmax runs over the words, not over places: every place is shared out among the words.
        share = (query @ places.transpose(1, 2)).softmax(dim=1)
        words = self.token_norm(share @ places)
        for layer in self.decoder:
            words = layer(words, places)
        y: Tensor = self.proj(words.flatten(1))
        return y


def build(
    widths: tuple[int, ...],
    *,
    dim: int = 1024,
    inner: int = 1024,
    words: int = 4,
    heads: int = 8,
    enhance: int = 1,
    refine: int = 2,
    dropout: float = 0.1,
) -> TokenHead:
    """Descriptor of `dim` from the last map; the defaults are the published network's.

    `words` visual words of `inner` channels, `enhance` layers of self-attention on the map, `refine` on the words. The
    authors' code also drops whole residual branches at rate 0.1 in training; here only attention and outputs drop out.
    """
    return TokenHead(
        widths[-1],
        dim=dim,
        inner=inner,
        words=words,
        heads=heads,
        enhance=enhance,
        refine=refine,
        dropout=dropout,
    )
