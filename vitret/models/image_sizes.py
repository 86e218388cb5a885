"""Which image sizes a network takes, found by sending shapes through it: torch's meta device computes nothing."""

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional

Takes = Callable[[int, int], bool]


@dataclass(frozen=True, kw_only=True)
class ImageSizes:
    """Sides are multiples of `step` pixels; or every image is resized to the one size `fixed`, (height, width)."""

    step: int
    fixed: tuple[int, int] | None = None


def takes(network: Callable[[Tensor], object], height: int, width: int) -> str:
    """Why a network on the meta device refuses an image of this size; empty if it takes it."""
    images = torch.empty(1, 3, height, width, device="meta")
    try:
        with torch.no_grad():
            network(images)
    # A network refuses a size in whichever way its author met it first.
    except (AssertionError, RuntimeError, ValueError, TypeError, IndexError) as error:
        return (str(error).strip() or type(error).__name__).splitlines()[0]
    return ""


def find_sizes(network: Callable[[Tensor], object], native: tuple[int, int], steps: list[int]) -> ImageSizes:
    """The smallest of `steps` whose multiples a network takes, in shapes that are no square; else its native size."""
    others = [step for step in (32, 64, max(native)) if step > max(steps)]
    for step in [*sorted(steps), *others]:
        if all(not takes(network, *size) for size in _rectangles(step, max(native))):
            return ImageSizes(step=step)
    return ImageSizes(step=1, fixed=native)


def _rectangles(step: int, side: int) -> list[tuple[int, int]]:
    """Two sizes near `side` that differ from it and from a square: one smaller and wide, one larger and high.

    >>> _rectangles(16, 224)
    [(144, 192), (272, 240)]
    >>> _rectangles(1, 224)
    [(157, 227), (267, 241)]
    """
    if step == 1:
        return [(side * 7 // 10 + 1, side + 3), (side * 12 // 10 - 1, side + 17)]
    small = max(1, side * 7 // 10 // step)
    large = side // step + 1
    return [(small * step, (small + 3) * step), ((large + 2) * step, large * step)]


def resized(images: Tensor, size: tuple[int, int]) -> Tensor:
    """Images (B, 3, H, W) at the size (height, width), bicubic with antialiasing."""
    # Half precision has no antialiased kernel on every device.
    made = functional.interpolate(images.float(), size, mode="bicubic", antialias=True)
    return made.to(images.dtype)
