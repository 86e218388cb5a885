"""From an image's stored size to the pixels a network sees: crop, size rule, fit to the patch; resizing of uint8.

The size rule for cropped queries is that of cirtorch (Radenović et al., code of TPAMI 2019): the crop is resized as
much as its whole image would be, so a query has the magnification of the database image it was cut from.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional

from vitret.core.errors import DataError
from vitret.core.protocol import Protocol
from vitret.core.records import Images
from vitret.data import layout
from vitret.data.boxes import TURNED, Box, crop_sizes
from vitret.data.images import decode, header


class Stored(NamedTuple):
    """Sides of an image in pixels as its file stores it; `turned` says that they change places before it is seen."""

    height: int
    width: int
    turned: bool = False


SizeOf = Callable[[int], Stored | None]
"""Row of an image → its size, if it is known."""


@dataclass(frozen=True, kw_only=True)
class Frame:
    """Sizes (height, width) in pixels: after resizing, after cropping its centre, and after padding."""

    resized: tuple[int, int]
    cropped: tuple[int, int]
    final: tuple[int, int]


FrameOf = Callable[[int], Frame]
"""Row of an image → what a protocol makes of it."""


def frame_finder(images: Images, protocol: Protocol, *, patch: int) -> FrameOf:
    """What a protocol makes of each image, without decoding it.

    Where a header cannot be read any frame will do: decoding the file says what is wrong with it.
    """
    size_of = size_finder(images, exif=protocol.exif == "apply")

    def find(row: int) -> Frame:
        return frame(size_of(row) or Stored(1, 1), crop_of(images, row, protocol), protocol, patch=patch)

    return find


def frame(size: Stored | tuple[int, int], box: Box | None, protocol: Protocol, *, patch: int) -> Frame:
    """What a protocol makes of an image of `size` (height, width) as stored, cut to `box` and then turned upright.

    A square has its side whatever the image's, larger or smaller; the other rules enlarge only if the protocol says so.
    >>> frame((768, 1024), None, Protocol(size=384), patch=16).final
    (288, 384)
    >>> frame((768, 1024), (0, 0, 512, 256), Protocol(size=384), patch=16).final
    (96, 192)
    """
    stored = Stored(*size)
    whole = stored.height, stored.width
    crop = whole if box is None else _crop_size(whole, box)
    height, width = crop[::-1] if stored.turned else crop
    measured = whole if protocol.query_size == "same_magnification" else crop
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


def _crop_size(size: tuple[int, int], box: Box) -> tuple[int, int]:
    """(height, width) of the pixels that a box holds of an image of `size` (height, width), as stored."""
    width, height = crop_sizes(np.array([box], np.float64), np.array([size[::-1]], np.int64))[0].tolist()
    return height, width


def _scale(size: tuple[int, int], protocol: Protocol) -> float:
    if protocol.size_rule == "none":
        return 1.0
    side = max(size) if protocol.size_rule == "longer" else min(size)
    return protocol.size / side if protocol.upscale else min(1.0, protocol.size / side)


def _each(sides: tuple[float, float], change) -> tuple[int, int]:  # type: ignore[no-untyped-def]
    return int(change(sides[0])), int(change(sides[1]))


def box_of(box: Box | None, protocol: Protocol, *, marks: bool = True) -> Box | None:
    """The box that a protocol cuts an image to, if any; one that does not only mark a region is always cut."""
    if box is None or (marks and protocol.crop != "box"):
        return None
    if protocol.boxes == "truncate":
        x0, y0, x1, y1 = box
        return float(int(x0)), float(int(y0)), float(int(x1)), float(int(y1))
    return box


def crop_of(images: Images, row: int, protocol: Protocol) -> Box | None:
    """The box that a protocol cuts this image to, if any."""
    return box_of(images.box(row), protocol, marks=images.marks)


def crops(images: Images, protocol: Protocol) -> bool:
    """Whether a protocol cuts any of these images to a box."""
    boxed = images.boxes is not None and not np.isnan(images.boxes[:, 0]).all()
    return boxed and (protocol.crop == "box" or not images.marks)


def stored_size(path: Path, *, exif: bool) -> Stored | None:
    """What the file's header says, turned only if `exif`; None where it cannot be read.

    The reason is found, and said, when the image is decoded.
    """
    try:
        width, height, orientation = header(path)
    except DataError:
        return None
    return Stored(height, width, exif and orientation >= TURNED)


def size_finder(images: Images, *, exif: bool) -> SizeOf:
    """How to find an image's size: in the table of a prepared set, else in the file's header.

    None where the header cannot be read.
    """
    known = layout.load_sizes(images)

    def find(row: int) -> Stored | None:
        if not known[row, :2].all():
            return stored_size(images.file(row), exif=exif)
        width, height, orientation = (int(value) for value in known[row])
        return Stored(height, width, exif and orientation >= TURNED)

    return find


def load(images: Images, row: int, plan: Frame, protocol: Protocol) -> Tensor:
    """One image as the network's pixels, (3, H, W) uint8, in channels-last memory; padding is left to `padded`.

    A broken file raises `DataError`.
    """
    draft = (plan.resized[1], plan.resized[0]) if protocol.decode == "scaled" else None
    box = crop_of(images, row, protocol)
    pixels = decode(images.file(row), box=box, draft=draft, exif=protocol.exif == "apply")
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
