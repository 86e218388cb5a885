"""The network's own pooling and projection, for image towers trained against texts, such as SigLIP and CLIP.

It is taken from the backbone: `forward` gives what the network itself gives, and other networks are refused.
"""

from typing import Any

from torch import Tensor, nn

from vitret.core.errors import UserError
from vitret.models.tokens import Tokens


class Native(nn.Module):
    def __init__(self, width: int) -> None:
        super().__init__()
        self.dim = width
        self.own: nn.Module | None = None

    def take_from(self, backbone: Any) -> None:
        """Take the head that a backbone keeps for this; a `UserError` says why there is none."""
        offered = getattr(backbone, "own_head", None)
        if offered is None:
            raise UserError(
                f"The head 'native' needs a network of timm, and {type(backbone).__name__} is none. "
                "Choose another: vitret list heads"
            )
        self.own = offered()
        assert self.own is not None
        self.dim = int(self.own.dim)  # type: ignore[arg-type]

    def forward(self, tokens: Tokens) -> Tensor:
        """The network's own descriptor, (B, D)."""
        assert self.own is not None, "build_model lets the head take its layers from the backbone"
        y: Tensor = self.own(tokens)
        return y


def build(widths: tuple[int, ...]) -> Native:
    """Nothing to choose: pooling, projection and D are the network's."""
    return Native(widths[-1])
