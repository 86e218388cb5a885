"""From an image's stored size to the pixels a network sees: crop, size rule, fit to the patch; resizing of uint8.

The size rule for cropped queries is that of cirtorch (Radenović et al., code of TPAMI 2019): the crop is resized as
much as its whole image would be, so a query has the magnification of the database image it was cut from.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional

from vitret.core.errors import DataError
from vitret.core.protocol import Protocol
from vitret.core.records import Images
from vitret.data import layout
from vitret.data.images import decode, header_size

Box = tuple[float, float, float, float]
SizeOf = Callable[[int], tuple[int, int] | None]
"""Row of an image → its (height, width), if it is known."""

# From this EXIF orientation on, width and height change places when an image is turned upright.
TURNED = 5


@dataclass(frozen=True, kw_only=True)
class Frame:
    """Sizes (height, width) in pixels: after resizing, after cropping its centre, and after padding."""

    resized: tuple[int, int]
    cropped: tuple[int, int]
    final: tuple[int, int]


def frame(size: tuple[int, int], box: Box | None, protocol: Protocol, *, patch: int) -> Frame:
    """What a protocol makes of an image of `size` (height, width), as it stands upright, cut to `box`.

    A square has its side whatever the image's, larger or smaller; the other rules enlarge only if the protocol says so.
    >>> frame((768, 1024), None, Protocol(size=384), patch=16).final
    (288, 384)
    >>> frame((768, 1024), (0, 0, 512, 256), Protocol(size=384), patch=16).final
    (96, 192)
    """
    height, width = size if box is None else (round(box[3]) - round(box[1]), round(box[2]) - round(box[0]))
    height, width = max(height, 1), max(width, 1)
    measured = size if protocol.query_size == "same_magnification" else (height, width)
    if protocol.size_rule == "square":
        sides = (float(protocol.size), float(protocol.size))
    else:
        scale = _scale(measured, protocol)
        sides = (height * scale, width * scale)
    if protocol.centre_crop is None and protocol.fit == "round":
        resized = _each(sides, lambda side: max(patch, round(side / patch) * patch))
        return Frame(resized=resized, cropped=resized, final=resized)
    resized = _each(sides, lambda side: max(1, round(side)))
    cropped = _each(resized, lambda side: min(side, protocol.centre_crop or side))
    if protocol.fit == "pad":
        return Frame(
            resized=resized, cropped=cropped, final=_each(cropped, lambda side: -(-side // patch) * patch)
        )
    # A side below one patch cannot be cut to a multiple of it; it is enlarged to one patch.
    resized = _each(resized, lambda side: max(side, patch))
    cropped = _each(cropped, lambda side: max(side // patch, 1) * patch)
    return Frame(resized=resized, cropped=cropped, final=cropped)


def _scale(size: tuple[int, int], protocol: Protocol) -> float:
    if protocol.size_rule == "none":
        return 1.0
    side = max(size) if protocol.size_rule == "longer" else min(size)
    return protocol.size / side if protocol.upscale else min(1.0, protocol.size / side)


def _each(sides: tuple[float, float], change) -> tuple[int, int]:  # type: ignore[no-untyped-def]
    return int(change(sides[0])), int(change(sides[1]))


def box_of(box: Box | None, protocol: Protocol) -> Box | None:
    """The box that a protocol cuts an image to, if any."""
    if box is None or protocol.crop != "box":
        return None
    if protocol.boxes == "truncate":
        x0, y0, x1, y1 = box
        return float(int(x0)), float(int(y0)), float(int(x1)), float(int(y1))
    return box


def stored_size(path: Path, *, exif: bool) -> tuple[int, int] | None:
    """(height, width) from the file's header, upright if `exif`; None where it cannot be read.

    The reason is found, and said, when the image is decoded.
    """
    try:
        width, height = header_size(path, exif=exif)
    except DataError:
        return None
    return height, width


def size_finder(images: Images, *, exif: bool) -> SizeOf:
    """How to find an image's (height, width): in the table of a prepared set, else in the file's header.

    None where the header cannot be read.
    """
    known = layout.load_sizes(images)

    def find(row: int) -> tuple[int, int] | None:
        if not known[row, :2].all():
            return stored_size(images.file(row), exif=exif)
        width, height, orientation = (int(value) for value in known[row])
        return (width, height) if exif and orientation >= TURNED else (height, width)

    return find


def load(path: Path, box: Box | None, plan: Frame, protocol: Protocol) -> Tensor:
    """One image as the network's pixels, (3, H, W) uint8, in channels-last memory; padding is left to `padded`.

    A broken file raises `DataError`.
    """
    draft = (plan.resized[1], plan.resized[0]) if protocol.decode == "scaled" else None
    pixels = decode(path, box=box_of(box, protocol), draft=draft, exif=protocol.exif == "apply")
    return centre(resize(pixels, plan.resized, protocol.interpolation), plan.cropped)


def resize(pixels: NDArray[np.uint8], size: tuple[int, int], interpolation: str) -> Tensor:
    """(H, W, 3) uint8 to (3, *size) uint8 with antialiasing, as Pillow resizes, several times as fast."""
    # Some decoders give read-only memory, which torch will not wrap.
    tensor = torch.from_numpy(np.require(pixels, requirements="W")).permute(2, 0, 1)
    if tuple(tensor.shape[1:]) == size:
        return tensor
    return functional.interpolate(tensor[None], size, mode=interpolation, antialias=True)[0]


def centre(image: Tensor, size: tuple[int, int]) -> Tensor:
    """The middle (…, *size) of an image; of two middles the upper left one."""
    top, left = (image.shape[-2] - size[0]) // 2, (image.shape[-1] - size[1]) // 2
    return image[..., top : top + size[0], left : left + size[1]]


def padded(images: Tensor, size: tuple[int, int]) -> Tensor:
    """Normalised images (B, 3, h, w) with zeros, the mean colour, added right and below up to `size`."""
    below, right = size[0] - images.shape[-2], size[1] - images.shape[-1]
    return functional.pad(images, (0, right, 0, below)) if below or right else images


def stacked(images: Sequence[Tensor]) -> Tensor:
    """Images of one size as (B, 3, H, W) in channels-last memory: one plain copy, no transposition."""
    return torch.stack([image.permute(1, 2, 0) for image in images]).permute(0, 3, 1, 2)
