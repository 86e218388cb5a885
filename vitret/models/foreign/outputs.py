"""What a network of others gives for an image, and which tokens that is.

A tensor (B, D) is a descriptor and taken as it is. A tensor (B, N, D) are tokens, prefix first; (B, D, h, w) is a map:
the head makes a descriptor of them. Of several outputs one is named, by key or by place.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from torch import Tensor

from vitret.core.errors import UserError, did_you_mean, listed
from vitret.models.tokens import Tokens

Kind = Literal["vector", "tokens", "map"]
_KINDS: dict[int, Kind] = {2: "vector", 3: "tokens", 4: "map"}


@dataclass(frozen=True, kw_only=True)
class Reading:
    """How outputs are read: which of several, and where tokens have their patches; None is found or refused."""

    output: str | int | None = None
    patch: int | None = None
    prefix_tokens: int | None = None


def chosen(given: Any, reading: Reading, *, name: str) -> Tensor:
    """The tensor of an output; `name` is the network's. Raises `UserError` that lists what came."""
    if isinstance(given, Tensor):
        if reading.output is not None:
            raise UserError(
                f"{name}: output={reading.output}, but it gives one tensor, {described(given)}. Leave output out."
            )
        return given
    parts = _parts(given)
    if reading.output is None:
        raise UserError(
            f"{name}: gives {described(given)}, not one tensor. Name the one to take: {name}:output=NAME"
        )
    if str(reading.output) not in parts:
        raise UserError(
            f"{name}: has no output '{reading.output}'. {did_you_mean(str(reading.output), parts)} It gives "
            f"{described(given)}."
        )
    part = parts[str(reading.output)]
    if not isinstance(part, Tensor):
        raise UserError(f"{name}: output={reading.output} is {described(part)}, not a tensor.")
    return part


def kind_of(value: Tensor, *, name: str) -> Kind:
    """Whether a tensor is a vector an image, tokens or a map."""
    if value.dim() == 4 and value.shape[2:] == (1, 1):
        return "vector"  # a map that the network has pooled already
    if value.dim() not in _KINDS or not value.is_floating_point():
        raise UserError(
            f"{name}: gives {described(value)}. Expected (images, channels), (images, tokens, channels) or "
            "(images, channels, height, width)."
        )
    return _KINDS[value.dim()]


def as_tokens(value: Tensor, kind: Kind, reading: Reading, *, name: str, images: Tensor) -> Tokens:
    """What heads read, of the `images` (B, 3, H, W) that were given; `kind` is what the network gives at its own size.

    A map of a small image may have one place, and is no vector for that.
    """
    if value.shape[0] != images.shape[0]:
        raise UserError(
            f"{name}: gives {described(value)} for {images.shape[0]} images: one row each is needed."
        )
    if kind not in (kind_of(value, name=name), _KINDS[value.dim()]):
        raise UserError(f"{name}: gives {described(value)} for images of this size, and a {kind} for others.")
    if kind == "vector":
        vector = value.flatten(1)
        empty = vector.new_zeros(*vector.shape, 0, 0)
        return Tokens(prefix=(vector.unsqueeze(1),), grids=(empty,), class_token=False)
    if kind == "map":
        return Tokens(
            prefix=(value.new_zeros(len(value), 0, value.shape[1]),), grids=(value,), class_token=False
        )
    height, width, prefix = _places(value, reading, name=name, images=images)
    grid = value[:, prefix:].transpose(1, 2).reshape(len(value), -1, height, width)
    return Tokens(prefix=(value[:, :prefix],), grids=(grid,), class_token=prefix > 0)


def _places(value: Tensor, reading: Reading, *, name: str, images: Tensor) -> tuple[int, int, int]:
    """Rows and columns of patches, and how many tokens stand before them."""
    if reading.patch is None:
        raise UserError(
            f"{name}: gives tokens, {described(value)}, and does not say how large its patches are. Say it: "
            f"{name}:patch=PIXELS"
        )
    height, width = (int(side) // reading.patch for side in images.shape[2:])
    prefix = value.shape[1] - height * width
    expected = prefix if reading.prefix_tokens is None else reading.prefix_tokens
    if prefix < 0 or prefix != expected:
        raise UserError(
            f"{name}: gives {described(value)} for images of {images.shape[2]}×{images.shape[3]} pixels, which are "
            f"{height}×{width} patches of {reading.patch} pixels and {expected} other tokens. Correct patch or "
            "prefix_tokens."
        )
    return height, width, prefix


def _parts(given: Any) -> dict[str, Any]:
    """The named parts of an output; those of a tuple are called 0, 1, ….

    >>> import torch
    >>> list(_parts((torch.zeros(1, 2), None)))
    ['0', '1']
    """
    if isinstance(given, Mapping):
        return {str(key): value for key, value in given.items()}
    if isinstance(given, tuple | list):
        return {str(place): value for place, value in enumerate(given)}
    return {}


def described(given: Any) -> str:
    """An output in words.

    >>> import torch
    >>> described({"cls": torch.zeros(1, 384), "masks": None})
    '2 outputs: cls (1, 384), masks NoneType'
    """
    if isinstance(given, Tensor):
        return f"({', '.join(map(str, given.shape))})"
    parts = _parts(given)
    if not parts:
        return type(given).__name__
    inner = [f"{key} {_short(value)}" for key, value in parts.items()]
    return f"{len(parts)} outputs: {listed(inner, shown=8)}"


def _short(value: Any) -> str:
    if isinstance(value, Tensor):
        return described(value)
    return f"{len(value)} values" if isinstance(value, Sequence | Mapping) else type(value).__name__
