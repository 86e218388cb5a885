"""A network of timm between images and tokens: prefix tokens and patch grids of any layers, at the sizes it takes."""

import copy
import inspect
from typing import Any

import torch
from torch import Tensor, nn

from vitret.core.errors import UserError
from vitret.models.image_sizes import ImageSizes, resized, takes
from vitret.models.own_head import OwnHead
from vitret.models.tokens import Tokens
from vitret.models.weights import first_line


class TimmBackbone(nn.Module):
    """A timm network without its classifier.

    `widths` has one entry per asked-for layer; `patch` is what both image sides must be multiples of (1 for a CNN).
    """

    def __init__(self, model: Any, *, layers: list[int], norm: bool) -> None:
        super().__init__()
        self.model = model
        self.layers = layers
        self.norm = norm
        self.sizes: ImageSizes | None = None
        self.strict = False
        self.notes: list[str] = []
        self.arch = ""
        self._own: OwnHead | str = "it was not built by name"
        channels = [info["num_chs"] for info in model.feature_info]
        last = len(channels) - 1
        # An EfficientNet pools its 1×1 head convolution, which comes after the last stage that timm lists.
        self.head_conv = last in layers and not has_tokens(model) and model.num_features != channels[last]
        if self.head_conv:
            channels[last] = model.num_features
        self.widths: tuple[int, ...] = tuple(channels[layer] for layer in layers)
        self.patch: int = _patch(model)
        self.prefix_tokens: int = int(getattr(model, "num_prefix_tokens", 0))
        self.mean: tuple[float, ...] = tuple(model.pretrained_cfg["mean"])
        self.std: tuple[float, ...] = tuple(model.pretrained_cfg["std"])
        known = inspect.signature(model.forward_intermediates).parameters
        self._takes_prefix = "return_prefix_tokens" in known and self.prefix_tokens > 0
        # XCiT and CaiT: the class token enters after the last block, in blocks of its own.
        late = any(
            getattr(model, name, None) is not None for name in ("cls_attn_blocks", "blocks_token_only")
        )
        self.class_attention = late and last in layers
        if late:
            self.prefix_tokens = int(self.class_attention)
        self.class_token = self.class_attention or (self._takes_prefix and _has_class_token(model))

    def forward(self, images: Tensor) -> Tokens:
        """Tokens of `images` (B, 3, H, W); H and W are multiples of `patch`.

        With class attention (XCiT, CaiT) the last layer is what the whole network makes, class token and grid; the
        layers before it have no prefix tokens.
        """
        fixed = self.sizes.fixed if self.sizes else None
        if fixed and tuple(images.shape[2:]) != fixed:
            self._require_resizing(images, fixed)
            images = resized(images, fixed)
        try:
            return self._with_class_token(images) if self.class_attention else self._tokens(images)
        except (AssertionError, RuntimeError, ValueError, IndexError) as error:
            self._explain(images, error)
            raise

    @property
    def has_own_head(self) -> bool:
        return isinstance(self._own, OwnHead)

    def own_head(self) -> OwnHead:
        """The network's own pooling and projection; a `UserError` where there is none or these tokens do not fit."""
        if isinstance(self._own, str):
            raise UserError(f"timm:{self.arch} has no head of its own: {self._own}.")
        if self.layers[-1] != len(self.model.feature_info) - 1 or not self.norm:
            raise UserError(
                "The head 'native' reads the last layer after the final norm: layers: 1, norm: shared_final."
            )
        return self._own

    def _require_resizing(self, images: Tensor, fixed: tuple[int, int]) -> None:
        if self.strict:
            raise UserError(
                f"timm:{self.arch}: dynamic_img_size is false, so it takes {fixed[0]}×{fixed[1]} pixels alone, not "
                f"{images.shape[2]}×{images.shape[3]}. Leave that option out, or `--set size_rule=square` "
                f"`--set size={fixed[0]}`."
            )

    def _explain(self, images: Tensor, error: BaseException) -> None:
        """A `UserError` if the size of the images is what the network refuses."""
        if not self.arch or isinstance(error, torch.OutOfMemoryError) or images.device.type == "meta":
            return
        shapes = _shapes_of(self)
        if shapes is not None and takes(shapes, images.shape[2], images.shape[3]):
            raise UserError(
                f"timm:{self.arch} refuses images of {images.shape[2]}×{images.shape[3]} pixels "
                f"({first_line(error)}). Try larger ones: --size, --set upscale=true"
            ) from error

    def _tokens(self, images: Tensor) -> Tokens:
        extra = {"return_prefix_tokens": True} if self._takes_prefix else {}
        given = self.model.forward_intermediates(
            images,
            indices=self.layers,
            norm=self.norm,
            stop_early=not self.head_conv,
            intermediates_only=not self.head_conv,
            **extra,
        )
        if self.head_conv:
            final, given = given
            given[-1] = final
        if self._takes_prefix:
            return Tokens(
                prefix=tuple(p for _, p in given),
                grids=tuple(g for g, _ in given),
                class_token=self.class_token,
            )
        return Tokens(prefix=tuple(_no_prefix(grid) for grid in given), grids=tuple(given))

    def _with_class_token(self, images: Tensor) -> Tokens:
        # Before the final norm, which the network's own forward applies after the class attention.
        grids = self.model.forward_intermediates(
            images, indices=self.layers, norm=False, intermediates_only=True
        )
        size = grids[-1].shape[2:]
        tokens = self.model.forward_cls(grids[-1].flatten(2).transpose(1, 2))
        if self.norm:
            tokens = self.model.norm(tokens)
            # Channels last for the norm, and back.
            grids = [
                self.model.norm(grid.permute(0, 2, 3, 1)).permute(0, 3, 1, 2) for grid in grids[:-1]
            ] + grids[-1:]
        grids[-1] = tokens[:, 1:].transpose(1, 2).unflatten(2, size)
        return Tokens(prefix=(*(_no_prefix(grid) for grid in grids[:-1]), tokens[:, :1]), grids=tuple(grids))


def _no_prefix(grid: Tensor) -> Tensor:
    return grid.new_zeros(grid.shape[0], 0, grid.shape[1])


def _has_class_token(model: Any) -> bool:
    holders = (model, getattr(model, "embeds", None))
    return any(getattr(holder, "cls_token", None) is not None for holder in holders)


def _patch(model: Any) -> int:
    """What image sides must be multiples of: 1 for a CNN."""
    stem = getattr(model, "patch_embed", None)
    if stem is None:
        return 1
    # XCiT's stem of convolutions has no such method.
    return int(stem.feat_ratio() if hasattr(stem, "feat_ratio") else model.feature_info[-1]["reduction"])


def has_tokens(model: Any) -> bool:
    """Whether a network works on a sequence of tokens."""
    stems = any(hasattr(model, name) for name in ("patch_embed", "embeds"))
    return stems or bool(getattr(model, "num_prefix_tokens", 0))


def _shapes_of(backbone: nn.Module) -> nn.Module | None:
    """The network on the meta device with the options it has, or None where that is not possible."""
    try:
        return copy.deepcopy(backbone).to("meta").eval()
    except (RuntimeError, NotImplementedError):
        return None
