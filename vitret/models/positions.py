"""Position embeddings interpolated as DINOv2's own code does it for its networks without registers.

Oquab et al., 2023, `interpolate_pos_encoding` of facebookresearch/dinov2: bicubic, no antialiasing, with an offset.
timm's way differs by up to 1e-3 away from 518 pixels; with registers both agree.
"""

from types import MethodType
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional

from vitret.core.errors import UserError

# Added to the sides of the grid before they are divided, against rounding.
_OFFSET = 0.1


def interpolate_as_upstream(arch: str, model: Any) -> None:
    """Make a ViT interpolate positions as facebookresearch/dinov2 does for its networks without registers."""
    if type(model).__name__ != "VisionTransformer" or getattr(model, "pos_embed", None) is None:
        raise UserError(f"positions: upstream is for DINOv2's ViT, and timm:{arch} is none.")
    if getattr(model, "reg_token", None) is not None or model.no_embed_class:
        raise UserError(
            f"positions: upstream is for DINOv2 without registers; with them, as in timm:{arch}, both agree."
        )
    model._pos_embed = MethodType(_upstream_positions, model)


def _upstream_positions(model: Any, tokens: Tensor) -> Tensor:
    batch, height, width, _ = tokens.shape
    rows, columns = model.patch_embed.grid_size
    first, grid = model.pos_embed[:, :1], model.pos_embed[:, 1:]
    if (height, width) != (rows, columns):
        maps = grid.float().reshape(1, rows, columns, -1).permute(0, 3, 1, 2)
        factors = ((height + _OFFSET) / rows, (width + _OFFSET) / columns)
        maps = functional.interpolate(maps, scale_factor=factors, mode="bicubic", antialias=False)
        grid = maps.permute(0, 2, 3, 1).reshape(1, height * width, -1).to(grid.dtype)
    with_class = torch.cat([model.cls_token.expand(batch, -1, -1), tokens.flatten(1, 2)], dim=1)
    positioned: Tensor = model.pos_drop(with_class + torch.cat([first, grid], dim=1))
    return positioned
