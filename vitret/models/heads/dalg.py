"""DALG-R, a reconstruction of DALG (Song et al., arXiv 2207.00287): two branches of attention, fused by attention.

Only the abstract could be read. Each of its claims is one switch here: a window-attention local branch
(`local_blocks`) with spatial attention (`spatial_attention`), hierarchical fusion learned by cross-attention
(`fusion: cross2`) rather than designed (`orthogonal`, `concat`, `hadamard`), and one scale at test time (the
protocol's). Everything else is our decision, guided by DOLG, the same group's earlier work, whose code was read.

Wants two maps, shallow to deep: of Swin the stages 3 and 4 (`layers: 2`). Maps of any size and shape are padded up
to whole windows and the padding is masked.
"""

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from vitret.core.errors import UserError
from vitret.models.attention import CrossAttention, Mlp, SpatialAttention, WindowBlock
from vitret.models.pooling import generalised_mean, orthogonal_part
from vitret.models.tokens import Tokens

CHOICES = {
    "fusion": ("cross2", "cross1", "concat", "hadamard", "orthogonal", "none"),
    "global_pool": ("gem", "mean", "attention"),
    "output": ("concat", "query"),
}


class AttentionPool(nn.Module):
    """A learned query looks at the map once: (B, D, h, w) -> (B, D)."""

    def __init__(self, width: int, *, heads: int) -> None:
        super().__init__()
        self.query = nn.Parameter(torch.zeros(1, 1, width))
        nn.init.trunc_normal_(self.query, std=0.02)
        self.norm = nn.LayerNorm(width)
        self.attn = CrossAttention(width, heads=heads)

    def forward(self, grid: Tensor) -> Tensor:
        places = self.norm(grid.flatten(2).transpose(1, 2))
        y: Tensor = self.attn(self.query.expand(len(grid), -1, -1), places).squeeze(1)
        return y


class LocalBranch(nn.Module):
    """Window blocks, every second one shifted, then DOLG's spatial attention or a 1x1 convolution: -> (B, C, h, w)."""

    def __init__(
        self,
        width: int,
        outputs: int,
        *,
        blocks: int,
        window: int,
        heads: int,
        mlp_ratio: float,
        attend: bool,
    ) -> None:
        super().__init__()
        self.blocks = nn.ModuleList(
            WindowBlock(width, heads=heads, window=window, shift=window // 2 * (i % 2), mlp_ratio=mlp_ratio)
            for i in range(blocks)
        )
        self.attention = SpatialAttention(width, outputs) if attend else nn.Conv2d(width, outputs, 1)

    def forward(self, grid: Tensor) -> Tensor:
        for block in self.blocks:
            grid = block(grid)
        attended: Tensor = self.attention(grid)
        return attended


class CrossLevel(nn.Module):
    """One level of fusion: q + MHA(LN(q), LN(kv)), then q + FFN(LN(q)); (B, 1, C), (B, N, C) -> (B, 1, C)."""

    def __init__(self, width: int, *, heads: int, ratio: float) -> None:
        super().__init__()
        self.norm_q = nn.LayerNorm(width)
        self.norm_kv = nn.LayerNorm(width)
        self.attn = CrossAttention(width, heads=heads)
        self.norm = nn.LayerNorm(width)
        self.mlp = Mlp(width, ratio=ratio)

    def forward(self, query: Tensor, others: Tensor) -> Tensor:
        query = query + self.attn(self.norm_q(query), self.norm_kv(others))
        y: Tensor = query + self.mlp(self.norm(query))
        return y


@dataclass(frozen=True, kw_only=True)
class Fusion:
    """How the branches meet: one of `CHOICES`, the width they meet at, heads and MLP ratio of a cross-attention."""

    kind: str
    width: int
    heads: int
    ratio: float
    output: str

    @property
    def levels(self) -> int:
        """Levels of cross-attention."""
        return {"cross1": 1, "cross2": 2}.get(self.kind, 0)

    @property
    def outputs(self) -> int:
        """Channels of the fused vector: those of one branch, or of two side by side."""
        beside = self.kind in ("concat", "orthogonal") or (self.levels > 0 and self.output == "concat")
        return 2 * self.width if beside else self.width


class Dalg(nn.Module):
    """`pool` is a learned pooling of the deep map, `p` the power of a GeM; without both the map is averaged."""

    def __init__(
        self,
        width: int,
        *,
        dim: int,
        pool: nn.Module | None,
        p: nn.Parameter | None,
        local: LocalBranch | None,
        fusion: Fusion,
    ) -> None:
        super().__init__()
        self.dim = dim
        self.pool = pool
        self.p = p
        self.global_fc = nn.Linear(width, fusion.width)
        self.local_branch = local
        self.coarse = nn.Conv2d(width, fusion.width, 1) if fusion.levels == 2 else None
        self.levels = nn.ModuleList(
            CrossLevel(fusion.width, heads=fusion.heads, ratio=fusion.ratio) for _ in range(fusion.levels)
        )
        self.fusion = fusion.kind
        self.output = fusion.output
        self.fc = nn.Linear(fusion.outputs, dim)

    def forward(self, tokens: Tokens) -> Tensor:
        deep = tokens.grids[-1]
        if self.pool is not None:
            pooled = self.pool(deep)
        else:
            pooled = deep.mean(dim=(2, 3)) if self.p is None else generalised_mean(deep, self.p)
        whole = self.global_fc(pooled)
        y: Tensor = self.fc(self._fused(whole, tokens))
        return y

    def _fused(self, whole: Tensor, tokens: Tokens) -> Tensor:
        if self.local_branch is None:
            return whole
        local = self.local_branch(tokens.grids[-2])
        if self.fusion == "concat":
            return torch.cat([whole, local.mean(dim=(2, 3))], dim=1)
        if self.fusion == "hadamard":
            product: Tensor = whole * local.mean(dim=(2, 3))
            return product
        if self.fusion == "orthogonal":
            return torch.cat([whole, orthogonal_part(local, whole).mean(dim=(2, 3))], dim=1)
        query = whole[:, None]
        maps = [local] if self.coarse is None else [local, self.coarse(tokens.grids[-1])]
        for level, grid in zip(self.levels, maps, strict=True):
            query = level(query, grid.flatten(2).transpose(1, 2))
        query = query.squeeze(1)
        return query if self.output == "query" else torch.cat([whole, query], dim=1)


def build(
    widths: tuple[int, ...],
    *,
    dim: int = 512,
    global_pool: str = "gem",
    gem_p: float = 3.0,
    gem_learn: bool = True,
    local_blocks: int = 2,
    window: int = 7,
    local_heads: int | None = None,
    mlp_ratio: float = 4.0,
    spatial_attention: bool = True,
    fusion: str = "cross2",
    fusion_width: int = 512,
    fusion_heads: int = 8,
    fusion_ratio: float = 4.0,
    output: str = "concat",
) -> Dalg:
    """Descriptor of `dim` from the last two maps.

    `fusion`: cross2 lets the global vector look at the local branch, then at the deep map; cross1 at the local branch
    alone; concat, hadamard and orthogonal are the designed ones; none leaves the global branch alone. `output` keeps
    [global; query] ("concat") or the query ("query") of a cross-attention. `local_heads` defaults to 32 channels a
    head as in Swin; `local_blocks: 0` takes window attention away, `spatial_attention: false` the other.
    """
    _check_choices(fusion=fusion, global_pool=global_pool, output=output)
    if len(widths) < 2 and fusion != "none":
        raise UserError(
            "head dalg reads two maps, the backbone gives one. Set the backbone's option layers: 2."
        )
    local = None
    if fusion != "none":
        local = LocalBranch(
            widths[-2], fusion_width, blocks=local_blocks, window=window,
            heads=local_heads or max(1, widths[-2] // 32), mlp_ratio=mlp_ratio, attend=spatial_attention,
        )  # fmt: skip
    attentive = global_pool == "attention"
    return Dalg(
        widths[-1],
        dim=dim,
        pool=AttentionPool(widths[-1], heads=max(1, widths[-1] // 32)) if attentive else None,
        p=nn.Parameter(torch.tensor([gem_p]), requires_grad=gem_learn) if global_pool == "gem" else None,
        local=local,
        fusion=Fusion(kind=fusion, width=fusion_width, heads=fusion_heads, ratio=fusion_ratio, output=output),
    )


def _check_choices(**chosen: str) -> None:
    """Refuse a word that is not among an option's choices."""
    for option, value in chosen.items():
        if value not in CHOICES[option]:
            raise UserError(f"head dalg: {option} is '{value}'. Known: {', '.join(CHOICES[option])}.")
