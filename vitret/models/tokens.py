"""What a backbone gives and a head reads: prefix tokens and patch grids of one or several layers."""

from dataclasses import dataclass

from torch import Tensor


@dataclass(frozen=True, kw_only=True, eq=False)
class Tokens:
    """Tokens of the asked-for layers, shallow to deep, so that `[-1]` is always the last layer.

    `prefix[l]` is (B, P, D_l): CLS first, then distillation and register tokens; a CNN has P = 0.
    `grids[l]` is (B, D_l, h_l, w_l). Without `class_token` the prefix holds other tokens alone, such as registers.
    """

    prefix: tuple[Tensor, ...]
    grids: tuple[Tensor, ...]
    class_token: bool = True

    def __post_init__(self) -> None:
        if not self.grids or len(self.prefix) != len(self.grids):
            raise ValueError(f"{len(self.prefix)} layers of prefix tokens, {len(self.grids)} of grids")
