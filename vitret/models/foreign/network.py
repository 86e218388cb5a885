"""A network of others as a backbone: its outputs become tokens, its facts are found by sending images through it."""

import contextlib
import copy
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor, nn

from vitret.core.errors import UserError, said
from vitret.models.foreign.outputs import Reading, as_tokens, chosen, kind_of
from vitret.models.image_sizes import ImageSizes, find_sizes, resized
from vitret.models.tokens import Tokens
from vitret.models.weights import note

# In which ways code of others refuses its input or its arguments.
FAILURES = (
    ArithmeticError,
    AssertionError,
    AttributeError,
    EOFError,
    ImportError,
    LookupError,
    OSError,
    RuntimeError,
    TypeError,
    ValueError,
)
IMAGENET_MEAN, IMAGENET_STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
# The side of the image that a network is first tried with where nothing tells its own; multiple of 14, 16 and 32.
TRIAL_SIDE = 224


@dataclass(frozen=True, kw_only=True)
class Input:
    """What images a network expects; `size` is its own side in pixels, `fixed` says that it takes no other.

    None is not said: mean and deviation are then ImageNet's, and which sizes it takes is found out.
    """

    mean: Sequence[float] | None = None
    std: Sequence[float] | None = None
    size: int | None = None
    fixed: bool = False


class Vector(nn.Module):
    """The network's own descriptor as it is, (B, D)."""

    def __init__(self, dim: int) -> None:
        super().__init__()
        self.dim = dim

    def forward(self, tokens: Tokens) -> Tensor:
        return tokens.prefix[-1][:, 0]


class ForeignNetwork(nn.Module):
    """A network of others between images and tokens.

    `call` asks the network for its output; `name` is how messages call it, `origin` what a row records: source, entry,
    commit, and whether its code was trusted. What is found: `kind` of output, `widths`, `patch` that both image sides
    must be multiples of, and `sizes`. Raises `UserError` for an output that is none of those of `outputs`.
    """

    def __init__(
        self,
        model: nn.Module,
        *,
        name: str,
        origin: dict[str, Any],
        reading: Reading,
        expects: Input,
        call: Callable[[nn.Module, Tensor], Any] = lambda model, images: model(images),
    ) -> None:
        super().__init__()
        self.model = model.eval()
        self.name = name
        self.origin = origin
        self.notes: list[str] = []
        self._call = call
        self.mean: tuple[float, ...] = tuple(expects.mean or IMAGENET_MEAN)
        self.std: tuple[float, ...] = tuple(expects.std or IMAGENET_STD)
        if expects.mean is None or expects.std is None:
            self._note(f"{name}: mean and std are ImageNet's; nothing with the network tells its own.")
        self.reading = replace(reading, patch=reading.patch or _patch(model))
        side = expects.size or TRIAL_SIDE
        self.sizes: ImageSizes | None = ImageSizes(step=1, fixed=(side, side))
        shown = self._tried(side)
        self.kind = kind_of(shown, name=name)
        tokens = self._read(shown, shown.new_zeros(1, 3, side, side))
        self.widths: tuple[int, ...] = (tokens.grids[-1].shape[1],)
        self._offers_class_token = tokens.class_token
        if not expects.fixed:
            self.sizes = self._found(side)
        self.patch: int = self.sizes.step
        if self.sizes.fixed:
            self._note(f"{name} takes {side}×{side} pixels alone: every image is resized to that.")

    @property
    def gives_vectors(self) -> bool:
        """Whether there is nothing for a head to pool."""
        return self.kind == "vector"

    def own_head(self) -> Vector:
        """The head that takes the network's vector as it is; a `UserError` where there are tokens or a map instead."""
        if not self.gives_vectors:
            heads = "cls, gem or mean" if self._offers_class_token else "gem or mean"
            what = "a map" if self.kind == "map" else "tokens"
            raise UserError(
                f"{self.name}: gives {what} of {self.widths[0]} channels, not one vector an image. Say how they become "
                f"a descriptor: --head {heads} (in a name of `vitret bench`: {self.name}:head=gem)."
            )
        return Vector(self.widths[0])

    def forward(self, images: Tensor) -> Tokens:
        """Tokens of `images` (B, 3, H, W); H and W are multiples of `patch`."""
        if self.sizes is not None and self.sizes.fixed and tuple(images.shape[2:]) != self.sizes.fixed:
            images = resized(images, self.sizes.fixed)
        try:
            value = chosen(self._call(self.model, images), self.reading, name=self.name)
        except FAILURES as error:
            if isinstance(error, torch.OutOfMemoryError):
                raise
            if images.device.type == "meta":  # Whoever counts on shapes alone expects this of any network.
                raise RuntimeError(f"{self.name}: does not run on shapes alone") from error
            raise UserError(
                f"{self.name}: fails on images of {images.shape[2]}×{images.shape[3]} pixels ({said(error)}). If it "
                f"takes one size alone, say it: {self.name}:size=PIXELS:fixed=true"
            ) from error
        return self._read(value, images)

    def _read(self, value: Tensor, images: Tensor) -> Tokens:
        return as_tokens(value, self.kind, self.reading, name=self.name, images=images)

    def _tried(self, side: int) -> Tensor:
        """What the network gives for one black square."""
        try:
            with torch.no_grad():
                given = self._call(self.model, torch.zeros(1, 3, side, side, device=_device(self.model)))
        except FAILURES as error:
            raise UserError(
                f"{self.name}: fails on an image of {side}×{side} pixels ({said(error)}). If its own size is another, "
                f"say it: {self.name}:size=PIXELS"
            ) from error
        return chosen(given, self.reading, name=self.name)

    def _found(self, side: int) -> ImageSizes:
        """Which sizes the network takes; on shapes alone where it runs on them, else computed on black images."""
        network = self._shapes(side)
        steps = [self.reading.patch] if self.reading.patch else [1, 14, 16, 32]

        def run(images: Tensor) -> object:
            try:
                given = self._call(network, torch.zeros(images.shape, device=_device(network)))
                return self._read(chosen(given, self.reading, name=self.name), images)
            except FAILURES as error:
                raise ValueError(said(error)) from error
            except UserError as error:
                raise ValueError(str(error)) from error  # Other tokens than this size has patches.

        return find_sizes(run, (side, side), steps)

    def _shapes(self, side: int) -> nn.Module:
        """The network on torch's meta device where it can be called there, else itself."""
        with contextlib.suppress(*FAILURES), torch.no_grad():
            shapes = copy.deepcopy(self.model).to("meta")
            self._call(shapes, torch.empty(1, 3, side, side, device="meta"))
            return shapes
        return self.model

    def _note(self, text: str) -> None:
        self.notes.append(text)
        note(text)


def _device(network: nn.Module) -> torch.device:
    return next((value.device for value in network.parameters()), torch.device("cpu"))


def _patch(model: nn.Module) -> int | None:
    """The side of a patch, where a network says it in one of the usual ways."""
    stem = getattr(model, "patch_embed", None)
    for holder in (model, getattr(model, "config", None), stem):
        side = square_side(getattr(holder, "patch_size", None))
        if side is not None:
            return side
    return None


def square_side(value: Any) -> int | None:
    """A side in pixels, of a number or of a square.

    >>> square_side(14), square_side([16, 16]), square_side([16, 8]), square_side(None)
    (14, 16, None, None)
    """
    if isinstance(value, list | tuple) and len(set(value)) == 1:
        value = value[0]
    return value if isinstance(value, int) else None
