"""Image files → uint8 RGB arrays, and what a file is: size, digest, or the reason it cannot be read.

Pillow reads every format; a JPEG goes through simplejpeg where that is installed. Both are libjpeg-turbo with the
same settings and scale by the same powers of two, so the pixels agree (tested) and only the time differs.
What is not 8-bit RGB is converted: see `formats/brightness.py`.
"""

import contextlib
import hashlib
import io
import multiprocessing
import struct
import warnings
import zlib
from collections.abc import Iterable, Iterator
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import BinaryIO

import numpy as np
from PIL import ExifTags, Image, UnidentifiedImageError

from vitret.core.disguise import HEAD
from vitret.core.errors import DataError, MachineError
from vitret.data.boxes import TURNED, Box, whole_pixels
from vitret.data.formats.brightness import BrightnessError, Pixels, rgb
from vitret.data.formats.pictures import formats, instead, open_heic

try:
    import simplejpeg
except ImportError:
    simplejpeg = None


# What Pillow raises on damaged bytes; its documentation names only OSError.
DAMAGE = (
    OSError,
    SyntaxError,
    ValueError,
    TypeError,
    LookupError,
    ArithmeticError,
    AttributeError,
    EOFError,
    RuntimeError,
    MemoryError,
    struct.error,
    zlib.error,
)
# Twice Pillow's default: there Pillow itself refuses, as one small file may claim to unfold into terabytes.
MAX_PIXELS = 178_956_970
# EXIF orientation → (quarter turns anticlockwise, mirrored left to right afterwards): EXIF 2.3, tag 0x0112.
TURNS = {2: (0, True), 3: (2, False), 4: (2, True), 5: (3, True), 6: (3, False), 7: (1, True), 8: (1, False)}


@dataclass(frozen=True, kw_only=True)
class ImageReport:
    """What one file is: stored width and height in pixels, EXIF orientation 1…8, bytes, sha256, or the problem."""

    width: int = 0
    height: int = 0
    format: str = ""
    orientation: int = 1
    size: int = 0
    sha256: str = ""
    problem: str | None = None


def decode(
    path: Path, *, box: Box | None = None, draft: tuple[int, int] | None = None, exif: bool = False
) -> Pixels:
    """Read one image as (H, W, 3) uint8 RGB, contiguous.

    `box` x0 y0 x1 y1 in pixels of the stored image crops it: see `boxes.whole_pixels`.
    `draft` (width, height) lets a JPEG be decoded at 1/2, 1/4 or 1/8 of its size, as small as both sides stay at
    least that long; it does nothing for other formats, nor beside a box, whose pixels would not be whole.
    `exif` turns the image upright by its EXIF orientation, after cropping; `draft` means the upright image.
    A file that is missing, truncated, not an image or beyond `MAX_PIXELS` raises `DataError` with the reason.
    """
    data = _read(path)
    image = _open(io.BytesIO(data), path)
    orientation = _orientation(image) if exif else 1
    scale = 1
    if draft is not None and box is None and image.format == "JPEG":
        scale = _scale(image.size, draft[::-1] if orientation >= TURNED else draft)
    corners = None if box is None else whole_pixels(box, image.size, path)
    pixels = _pixels(image, data, scale, path)
    if corners is not None:
        x0, y0, x1, y1 = corners
        pixels = pixels[y0:y1, x0:x1]
    turns, mirrored = TURNS.get(orientation, (0, False))
    pixels = np.rot90(pixels, turns)
    return np.ascontiguousarray(pixels[:, ::-1] if mirrored else pixels)


def header(path: Path) -> tuple[int, int, int]:
    """Width and height as stored, in pixels, and EXIF orientation 1…8, from a file's header; errors as in `decode`."""
    with _opened(path) as file:
        image = _open(file, path)
        return image.width, image.height, _orientation(image)


def check(path: Path) -> ImageReport:
    """Open one file, decode it whole, and say what it is; a bad file is a report with a problem, never an error."""
    try:
        data = _read(path)
    except DataError as error:
        return ImageReport(problem=_reason(error, path))
    facts = {"size": len(data), "sha256": hashlib.sha256(data).hexdigest()}
    try:
        image = _open(io.BytesIO(data), path)
        width, height = image.size
        report = ImageReport(
            width=width,
            height=height,
            format=image.format or "",
            orientation=_orientation(image),
            size=len(data),
            sha256=str(facts["sha256"]),
        )
        _pixels(image, data, 1, path)
    except DataError as error:
        return ImageReport(size=len(data), sha256=str(facts["sha256"]), problem=_reason(error, path))
    return report


def check_all(paths: Iterable[Path], workers: int) -> Iterator[ImageReport]:
    """`check` of every path, in order, on a pool of processes; at most a few thousand are under way at a time.

    With `workers` 0 it runs in this process.
    """
    if workers <= 0:
        yield from map(check, paths)
        return
    # Not fork: the caller may have threads. Workers import this module only, not torch.
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(workers, mp_context=context) as pool:
        todo = iter(paths)
        try:
            while batch := list(islice(todo, 256 * workers)):
                yield from pool.map(check, batch, chunksize=16)
        except BrokenProcessPool as error:
            raise MachineError(
                "A process that checks images ended before its work did. Run the same command again with --workers 0: "
                "finished work is kept. (A script of your own that calls vitret needs `if __name__ == '__main__':`.)"
            ) from error


def open_file(path: Path) -> BinaryIO:
    """The bytes of an image, opened: a file, or one inside a packed tar (`fetch/tar_index.py`)."""
    try:
        return path.open("rb")
    except NotADirectoryError:
        # Only here: a process that checks loose files starts faster without reading Arrow.
        from vitret.data.fetch.tar_index import open_packed

        return open_packed(path)


@contextlib.contextmanager
def _opened(path: Path) -> Iterator[BinaryIO]:
    try:
        with open_file(path) as file:
            yield file
    except FileNotFoundError as error:
        raise DataError(f"{path}: no such file.") from error
    except OSError as error:
        raise DataError(f"{path}: cannot be read ({error.strerror or error}).") from error


def _read(path: Path) -> bytes:
    with _opened(path) as file:
        data = file.read()
    if not data:
        raise DataError(f"{path}: is empty (0 bytes). Fetch or copy the file again.")
    return data


def _open(file: BinaryIO, path: Path) -> Image.Image:
    """Read the header. Every image of vitret is opened here: these formats, this bound, one error."""
    # Pillow warns about large images, odd EXIF and short TIFFs; here each is an error of ours or of no concern.
    warnings.filterwarnings("ignore", module=r"PIL\.")
    try:
        image = open_heic(file) or Image.open(file, formats=formats())
    except UnidentifiedImageError as error:
        file.seek(0)
        raise DataError(f"{path}: {instead(file.read(HEAD))}") from error
    except Image.DecompressionBombError as error:
        raise DataError(f"{path}: has more than {MAX_PIXELS:,} pixels. Make it smaller.") from error
    except DAMAGE as error:
        raise _damaged(path, error) from error
    if image.width * image.height > MAX_PIXELS:
        raise DataError(
            f"{path}: is {image.width}×{image.height}, more than {MAX_PIXELS:,} pixels. Make it smaller."
        )
    return image


def _damaged(path: Path, error: BaseException) -> DataError:
    return DataError(f"{path}: is damaged ({error or type(error).__name__}). Fetch or copy the file again.")


def _orientation(image: Image.Image) -> int:
    try:
        value = image.getexif().get(ExifTags.Base.Orientation, 1)
    except DAMAGE:
        return 1  # EXIF that cannot be read says nothing; the picture itself may be sound.
    return value if isinstance(value, int) and value in TURNS else 1


def _scale(size: tuple[int, int], wanted: tuple[int, int]) -> int:
    """The largest of 8, 4, 2 that divides both sides and leaves them at least as long as wanted, else 1."""
    return next((s for s in (8, 4, 2) if size[0] // s >= wanted[0] and size[1] // s >= wanted[1]), 1)


def _pixels(image: Image.Image, data: bytes, scale: int, path: Path) -> Pixels:
    if simplejpeg is not None and image.format == "JPEG" and image.mode in ("RGB", "L"):
        # The smallest size that libjpeg offers with both sides at least this long is exactly 1/scale.
        lowest = {"min_height": -(-image.height // scale), "min_width": -(-image.width // scale)}
        try:
            fast: Pixels = simplejpeg.decode_jpeg(data, "RGB", **(lowest if scale > 1 else {}))
            return fast
        except ValueError:
            pass  # Pillow decides whether the file is broken or only unusual, so that both setups agree.
    try:
        if scale > 1:
            image.draft(None, (image.width // scale, image.height // scale))
        return rgb(image)
    except BrightnessError as error:
        raise DataError(f"{path}: has {error}, of no known brightness. Save it with 8 or 16 bits.") from error
    except DAMAGE as error:
        raise _damaged(path, error) from error


def _reason(error: DataError, path: Path) -> str:
    """The message without the path, which the list of failures names already."""
    return str(error).removeprefix(f"{path}: ")
