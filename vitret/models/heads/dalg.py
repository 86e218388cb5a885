"""DALG-R, a reconstruction of DALG (Song et al., arXiv 2207.00287): two branches of attention, fused by attention.

Only the abstract could be read. Each of its claims is one switch here: a window-attention local branch
(`local_blocks`) with spatial attention (`spatial_attention`), hierarchical fusion learned by cross-attention
(`fusion: cross2`) rather than designed (`orthogonal`, `concat`, `hadamard`), and one scale at test time (the
protocol's). Everything else is our decision, guided by DOLG, the same group's earlier work, whose code was read.

Wants two maps, shallow to deep: of Swin the stages 3 and 4 (`layers: 2`). Maps of any size and shape are padded up
to whole windows and the padding is masked.
"""

import torch
from torch import Tensor, nn

from vitret.core.errors import UserError
from vitret.models.attention import CrossAttention, Mlp, SpatialAttention, WindowBlock
from vitret.models.pooling import generalised_mean, orthogonal_part
from vitret.models.tokens import Tokens

FUSIONS = ("cross2", "cross1", "concat", "hadamard", "orthogonal", "none")
POOLS = ("gem", "mean", "attention")


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


class Dalg(nn.Module):
    def __init__(
        self, *, pool: nn.Module | None, p: nn.Parameter | None, global_fc: nn.Linear, local: LocalBranch | None,
        coarse: nn.Module | None, levels: nn.ModuleList, fusion: str, output: str, fc: nn.Linear,
    ) -> None:  # fmt: skip
        super().__init__()
        self.dim = fc.out_features
        self.pool = pool
        self.p = p
        self.global_fc = global_fc
        self.local_branch = local
        self.coarse = coarse
        self.levels = levels
        self.fusion = fusion
        self.output = output
        self.fc = fc

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
    for option, value, known in (
        ("fusion", fusion, FUSIONS),
        ("global_pool", global_pool, POOLS),
        ("output", output, ("concat", "query")),
    ):
        if value not in known:
            raise UserError(f"head dalg: {option} is '{value}'. Known: {', '.join(known)}.")
    if len(widths) < 2 and fusion != "none":
        raise UserError(
            "head dalg reads two maps, the backbone gives one. Set the backbone's option layers: 2."
        )
    cross = {"cross1": 1, "cross2": 2}.get(fusion, 0)
    local = (
        LocalBranch(
            widths[-2], fusion_width, blocks=local_blocks, window=window,
            heads=local_heads or max(1, widths[-2] // 32), mlp_ratio=mlp_ratio, attend=spatial_attention,
        )
        if fusion != "none"
        else None
    )  # fmt: skip
    doubled = fusion in ("concat", "orthogonal") or (cross > 0 and output == "concat")
    return Dalg(
        pool=AttentionPool(widths[-1], heads=max(1, widths[-1] // 32))
        if global_pool == "attention"
        else None,
        p=nn.Parameter(torch.tensor([gem_p]), requires_grad=gem_learn) if global_pool == "gem" else None,
        global_fc=nn.Linear(widths[-1], fusion_width),
        local=local,
        coarse=nn.Conv2d(widths[-1], fusion_width, 1) if cross == 2 else None,
        levels=nn.ModuleList(
            CrossLevel(fusion_width, heads=fusion_heads, ratio=fusion_ratio) for _ in range(cross)
        ),
        fusion=fusion,
        output=output,
        fc=nn.Linear(2 * fusion_width if doubled else fusion_width, dim),
    )
