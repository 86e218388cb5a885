"""A linear map after another head's unit descriptor: the head that `train_on: descriptors` learns on a frozen network.

One linear layer on frozen descriptors is how ILIAS (Kordopatis-Zilos et al., CVPR 2025) adapts networks; its start and
bias are ours.
"""

from collections.abc import Mapping
from typing import Any

from torch import Tensor, nn

from vitret.core import plugins
from vitret.core.config import validate
from vitret.core.networks import Part
from vitret.models.pooling import unit
from vitret.models.tokens import Tokens


class Linear(nn.Module):
    def __init__(self, base: nn.Module, *, dim: int | None, bias: bool) -> None:
        super().__init__()
        self.base, self.asked, self.bias = base, dim, bias
        self._make()

    def _make(self) -> None:
        width = int(self.base.dim)  # type: ignore[arg-type]
        self.dim = self.asked or width
        self.linear = nn.Linear(width, self.dim, bias=self.bias)
        if self.dim == width:
            nn.init.eye_(self.linear.weight)
        else:
            nn.init.orthogonal_(self.linear.weight)
        if self.bias:
            nn.init.zeros_(self.linear.bias)

    def take_from(self, backbone: Any) -> None:
        """Let the base take layers from the backbone, which may change its width."""
        take = getattr(self.base, "take_from", None)
        if callable(take):
            take(backbone)
            self._make()

    def forward(self, tokens: Tokens) -> Tensor:
        """(B, dim), not normalised."""
        y: Tensor = self.linear(unit(self.base(tokens)))
        return y


def build(
    widths: tuple[int, ...],
    *,
    base: str | Mapping[str, Any] = "cls",
    dim: int | None = None,
    bias: bool = True,
) -> Linear:
    """`base` is a head, `cls` or `{name: gem, p: 3.0}`; (B, its dim) -> (B, dim), the same unless given.

    It starts as the identity, or as a random orthogonal projection where `dim` is another.
    """
    part = validate(Part, {"name": base} if isinstance(base, str) else base, "head linear: base")
    inner = plugins.build("heads", part.name, widths, **part.options)
    return Linear(inner, dim=dim, bias=bias)
