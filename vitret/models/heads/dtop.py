"""DToP, deep token pooling: class tokens and patch maps of the last k layers in one descriptor; Song et al., WACV 2023.

Read in the abstract: a global branch from class tokens, a local branch from patch tokens, each of several layers,
and locality enhanced at the deep ones. No code or weights were ever published and the method section was not
available here, so everything numeric is an option:

- from memory with medium confidence, and agreeing with an unofficial re-implementation: k = 6, width N = 2D, a 1x1
  reduction kD -> D, a residual round the locality module, average pooling, a linear layer per branch, concatenation;
- the unofficial re-implementation alone: the layers inside the locality module, `global_form: layer_mix`;
- from the same first author's previous paper (GLAM): that a linear layer, dropout and batch normalisation end it;
- our decisions: expansion 2, pyramid width 256, dropout 0 and before the final linear layer, where the unofficial
  re-implementation has it (GLAM names it after), WaveBlock between the two parts of the locality module.

k is the number of layers the backbone gives (`layers: 6`), and whether the final norm is applied to each of them is
the backbone's option `norm` (`shared_final` or `none`); `norm_tokens: per_layer` needs `norm: none`. Without dynamic
position embedding a network takes images of its own size alone: `arch_options: {dynamic_img_size: false}`.
"""

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor, nn

from vitret.core.errors import UserError
from vitret.models.locality import EnhancedLocality
from vitret.models.pooling import generalised_mean
from vitret.models.tokens import Tokens

CHOICES = {
    "branches": ("both", "global", "local"),
    "global_tokens": ("cls", "mean"),
    "global_form": ("flatten", "layer_mix"),
    "norm_tokens": ("as_given", "per_layer"),
    "reduce": ("conv", "layer_mix"),
    "locality": ("irb+aspp", "irb", "aspp", "off"),
    "waveblock": ("pre_aspp", "pre_irb", "post_aspp", "off"),
    "pool": ("gap", "gem"),
    "fusion": ("fc", "concat"),
}


class FlattenedLayers(nn.Module):
    """All k class tokens side by side through one linear layer: (B, k, D) -> (B, N)."""

    def __init__(self, layers: int, width: int, dim: int) -> None:
        super().__init__()
        self.fc = nn.Linear(layers * width, dim)

    def forward(self, tokens: Tensor) -> Tensor:
        y: Tensor = self.fc(tokens.flatten(1))
        return y


class MixedLayers(nn.Module):
    """One weight per layer, ReLU, one linear layer, ReLU (unofficial): (B, k, D) -> (B, N)."""

    def __init__(self, layers: int, width: int, dim: int) -> None:
        super().__init__()
        self.mix = nn.Linear(layers, 1)
        self.fc = nn.Linear(width, dim)

    def forward(self, tokens: Tensor) -> Tensor:
        mixed = torch.relu(self.mix(tokens.transpose(1, 2))).squeeze(-1)
        return torch.relu(self.fc(mixed))


class LocalBranch(nn.Module):
    """Maps of k layers reduced to one, made more local, pooled: (B, k, D, h, w) -> (B, N).

    `elm` makes the reduced map more local; `p` is the power of a GeM, without it the map is averaged.
    """

    def __init__(
        self,
        layers: int,
        width: int,
        dim: int,
        *,
        reduce: str,
        elm: nn.Module | None,
        residual: bool,
        p: nn.Parameter | None,
    ) -> None:
        super().__init__()
        self.reduce: nn.Module = (
            nn.Conv2d(layers * width, width, 1) if reduce == "conv" else nn.Conv3d(layers, 1, 1)
        )
        self.elm = elm
        self.residual = residual
        self.p = p
        self.fc = nn.Linear(width, dim)

    def forward(self, grids: Tensor) -> Tensor:
        flat = isinstance(self.reduce, nn.Conv2d)
        y = self.reduce(grids.flatten(1, 2)) if flat else self.reduce(grids).squeeze(1)
        if self.elm is not None:
            y = y + self.elm(y) if self.residual else self.elm(y)
        pooled = y.mean(dim=(2, 3)) if self.p is None else generalised_mean(y, self.p)
        z: Tensor = self.fc(pooled)
        return z


class Fusion(nn.Module):
    """Dropout, linear layer, batch normalisation on what the branches give: (B, n) -> (B, dim)."""

    def __init__(self, inputs: int, dim: int, *, dropout: float, batch_norm: bool) -> None:
        super().__init__()
        self.dropout = nn.Dropout(dropout)
        self.fc = nn.Linear(inputs, dim)
        self.bn = nn.BatchNorm1d(dim) if batch_norm else nn.Identity()

    def forward(self, x: Tensor) -> Tensor:
        y: Tensor = self.bn(self.fc(self.dropout(x)))
        return y


class Dtop(nn.Module):
    def __init__(
        self, *, norms: nn.ModuleList | None, global_tokens: str, global_branch: nn.Module | None,
        local_branch: LocalBranch | None, head: nn.Module, dim: int,
    ) -> None:  # fmt: skip
        super().__init__()
        self.dim = dim
        self.norms = norms
        self.global_tokens = global_tokens
        self.global_branch = global_branch
        self.local_branch = local_branch
        self.head = head

    def forward(self, tokens: Tokens) -> Tensor:
        branches = []
        if self.global_branch is not None:
            branches.append(self.global_branch(torch.stack(self._global_tokens(tokens), dim=1)))
        if self.local_branch is not None:
            if len({grid.shape[2:] for grid in tokens.grids}) > 1:
                sizes = [tuple(grid.shape[2:]) for grid in tokens.grids]
                raise UserError(
                    f"head dtop stacks maps of one size; this backbone gives {sizes}. Set its layers: 1."
                )
            grids = [self._normed(i, x.movedim(1, -1)).movedim(-1, 1) for i, x in enumerate(tokens.grids)]
            branches.append(self.local_branch(torch.stack(grids, dim=1)))
        y: Tensor = self.head(torch.cat(branches, dim=1))
        return y

    def _global_tokens(self, tokens: Tokens) -> list[Tensor]:
        if self.global_tokens == "mean":
            return [self._normed(i, grid.flatten(2).mean(dim=2)) for i, grid in enumerate(tokens.grids)]
        if tokens.prefix[-1].shape[1] == 0:
            raise UserError(
                "head dtop: this backbone has no class token. Set the head's option global_tokens: mean."
            )
        return [self._normed(i, prefix[:, 0]) for i, prefix in enumerate(tokens.prefix)]

    def _normed(self, layer: int, x: Tensor) -> Tensor:
        if self.norms is None:
            return x
        y: Tensor = self.norms[layer](x)
        return y


def build(
    widths: tuple[int, ...],
    *,
    branches: str = "both",
    global_tokens: str = "cls",
    global_form: str = "flatten",
    norm_tokens: str = "as_given",
    reduce: str = "conv",
    locality: str = "irb+aspp",
    expansion: int = 2,
    aspp_width: int = 256,
    dilations: Sequence[int] = (6, 12, 18),
    waveblock: str = "pre_aspp",
    wave_stripe: float = 0.3,
    wave_rate: float = 1.5,
    residual: bool = True,
    pool: str = "gap",
    gem_p: float = 3.0,
    gem_learn: bool = True,
    fusion: str = "fc",
    dropout: float = 0.0,
    batch_norm: bool = True,
    dim: int | None = None,
) -> Dtop:
    """Descriptor of `dim` (N = 2D unless given) from all layers the backbone gives, which must be equally wide.

    The choices of each worded option stand in `CHOICES`, its default first. With `fusion: concat` the branches are
    set side by side and nothing follows, so that both branches give 2N values. `global_tokens: mean` averages the
    patch tokens in place of the class token, for backbones that have none.
    """
    _check_choices(
        {
            "branches": branches, "global_tokens": global_tokens, "global_form": global_form,
            "norm_tokens": norm_tokens, "reduce": reduce, "locality": locality, "waveblock": waveblock, "pool": pool,
            "fusion": fusion,
        }
    )  # fmt: skip
    if len(set(widths)) > 1:
        raise UserError(
            f"head dtop stacks layers of one width; this backbone gives {widths}. Set its layers: 1."
        )
    width, layers = widths[-1], len(widths)
    inner = dim or 2 * width
    elm = None
    if locality != "off":
        elm = EnhancedLocality(
            width, parts=locality, expansion=expansion, aspp_width=aspp_width, dilations=dilations,
            waveblock=waveblock, stripe=wave_stripe, rate=wave_rate,
        )  # fmt: skip
    p = nn.Parameter(torch.tensor([gem_p]), requires_grad=gem_learn) if pool == "gem" else None
    # Made even where it is not used: the random numbers of what follows, and so the runs in results/, depend on it.
    local = LocalBranch(layers, width, inner, reduce=reduce, elm=elm, residual=residual, p=p)
    form = FlattenedLayers if global_form == "flatten" else MixedLayers
    both = 2 * inner if branches == "both" else inner
    return Dtop(
        norms=nn.ModuleList(nn.LayerNorm(width) for _ in widths) if norm_tokens == "per_layer" else None,
        global_tokens=global_tokens,
        global_branch=form(layers, width, inner) if branches != "local" else None,
        local_branch=local if branches != "global" else None,
        head=Fusion(both, inner, dropout=dropout, batch_norm=batch_norm) if fusion == "fc" else nn.Identity(),
        dim=inner if fusion == "fc" else both,
    )


def _check_choices(chosen: Mapping[str, str]) -> None:
    """Refuse a word that is not among an option's choices."""
    for option, known in CHOICES.items():
        if chosen[option] not in known:
            raise UserError(f"head dtop: {option} is '{chosen[option]}'. Known: {', '.join(known)}.")
