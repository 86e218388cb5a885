"""Perceptual hash of 64 bits from the lowest DCT frequencies, after Zauner's "pHash" (thesis, 2010).

Written here because it is ten lines of scipy, which vitret needs anyway; the library `imagehash` gives the same kind of
hash, but brings PyWavelets with it and hashes one image at a time.
"""

import os
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from scipy.fft import dctn

from vitret.core.errors import DataError
from vitret.core.records import Images, Int64
from vitret.core.store import machine_error
from vitret.data.images import decode

Hashes = NDArray[np.uint64]
Progress = Callable[[int, int, str], None]

SIDE = 32
BLOCK = 1024
# No real hash: half of its bits would have to be set.
FAILED = np.uint64(2**64 - 1)


def perceptual_hash(pixels: NDArray[np.uint8]) -> np.uint64:
    """64 bits of an image (H, W, 3): which of its lowest 8 × 8 frequencies are above their median.

    Rescaling and recompression change few bits; a crop or a mirror image changes many.
    """
    grey = Image.fromarray(pixels).convert("L").resize((SIDE, SIDE), Image.Resampling.LANCZOS)
    low = dctn(np.asarray(grey, np.float64), norm="ortho")[:8, :8].ravel()
    # The first frequency is the mean brightness, which says nothing about the picture.
    bits = low > np.median(low[1:])
    return np.uint64(int.from_bytes(np.packbits(bits).tobytes(), "big"))


def hash_file(path: Path) -> tuple[np.uint64, np.uint64]:
    """The hash of an image file and that of its mirror image; `FAILED` where the file cannot be read."""
    try:
        pixels = decode(path, draft=(2 * SIDE, 2 * SIDE), exif=True)
    except DataError:
        return FAILED, FAILED
    return perceptual_hash(pixels), perceptual_hash(np.ascontiguousarray(pixels[:, ::-1]))


def hash_images(images: Images, out: Path, *, progress: Progress) -> Hashes:
    """The hash of every image, (n,), kept in `out` block by block: a killed call continues."""
    total = len(images)
    try:
        out.parent.mkdir(parents=True, exist_ok=True)
        with out.open("ab") as handle:
            done = min(handle.tell() // 8, total)
            handle.truncate(done * 8)
            for start in range(done, total, BLOCK):
                rows = range(start, min(start + BLOCK, total))
                block = np.array([hash_file(images.file(i))[0] for i in rows], "<u8")
                handle.write(block.tobytes())
                handle.flush()
                os.fsync(handle.fileno())
                progress(rows.stop, total, "images hashed")
    except OSError as error:
        raise machine_error(out, error) from error
    found: Hashes = np.fromfile(out, "<u8") if total else np.empty(0, np.uint64)
    return found


def near(hashes: Hashes, probe: np.uint64, *, within: int, most: int) -> tuple[Int64, Int64]:
    """Rows whose hash differs from the probe's in at most `within` bits, nearest first, and in how many.

    >>> rows, bits = near(np.array([7, 0, 5], np.uint64), np.uint64(7), within=1, most=9)
    >>> rows.tolist(), bits.tolist()
    ([0, 2], [0, 1])
    """
    if probe == FAILED:
        return np.empty(0, np.int64), np.empty(0, np.int64)
    found = [
        (row, bits) for start, apart in _apart(hashes, probe) for row, bits in _within(start, apart, within)
    ]
    found = sorted(found, key=lambda pair: (pair[1], pair[0]))[:most]
    return np.array([r for r, _ in found], np.int64), np.array([b for _, b in found], np.int64)


def _apart(hashes: Hashes, probe: np.uint64) -> Iterator[tuple[int, NDArray[np.uint8]]]:
    """Bits that differ, a million rows at a time."""
    for start in range(0, len(hashes), 1 << 20):
        part = hashes[start : start + (1 << 20)]
        yield start, np.where(part == FAILED, np.uint8(64), np.bitwise_count(part ^ probe))


def _within(start: int, apart: NDArray[np.uint8], within: int) -> Iterator[tuple[int, int]]:
    for row in np.flatnonzero(apart <= within):
        yield start + int(row), int(apart[row])
