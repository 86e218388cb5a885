"""Boxes: which pixels of an image they hold. Whoever crops an image, or needs the size of a crop, asks here.

A box is x0, y0, x1, y1 in pixels of the image as its file stores it. It is cut to that image before anything is
computed from it; an EXIF turn comes after the crop. So the size of a crop is always that of its visible pixels.
"""

from pathlib import Path

import numpy as np

from vitret.core.errors import DataError
from vitret.core.records import Float64, Int64

Box = tuple[float, float, float, float]
# From this EXIF orientation on, width and height change places when an image is turned upright.
TURNED = 5


def cut(boxes: Float64, sizes: Int64) -> Int64:
    """Boxes (n, 4) in whole pixels inside images of `sizes` (n, 2) (width, height); a row of NaN is the whole image.

    Each coordinate is rounded to the nearest integer, halves to the even one, as Pillow's `crop` does in the
    revisited protocol's published code; what hangs over the border is cut off, where Pillow would add black.
    Of a box that holds no pixel, x0 ≥ x1 or y0 ≥ y1 comes out.
    >>> cut(np.array([[-5.0, 10.5, 700.0, 40.0], [np.nan] * 4]), np.array([[400, 300], [400, 300]])).tolist()
    [[0, 10, 400, 40], [0, 0, 400, 300]]
    """
    whole = np.concatenate([np.zeros_like(sizes), sizes], axis=1)
    inside = np.clip(np.round(boxes), 0, np.tile(sizes, 2))
    return np.where(np.isnan(boxes[:, :1]), whole, np.nan_to_num(inside)).astype(np.int64)


def crop_sizes(boxes: Float64, sizes: Int64) -> Int64:
    """(n, 2) width and height of what the boxes hold of images of `sizes`, at least 1.

    >>> crop_sizes(np.array([[200.0, 50.0, 700.0, 250.0]]), np.array([[400, 300]])).tolist()
    [[200, 200]]
    """
    corners = cut(boxes, sizes)
    sides: Int64 = np.maximum(corners[:, 2:] - corners[:, :2], 1)
    return sides


def whole_pixels(box: Box, size: tuple[int, int], path: Path) -> tuple[int, int, int, int]:
    """One box, cut to an image of `size` (width, height); one that holds no pixel raises `DataError`."""
    x0, y0, x1, y1 = cut(np.array([box], np.float64), np.array([size], np.int64))[0].tolist()
    if x0 >= x1 or y0 >= y1:
        raise DataError(
            f"{path}: the box ({shown(box)}) holds no pixel of the {size[0]}×{size[1]} image. "
            "Boxes are x0, y0, x1, y1 in pixels of the stored image."
        )
    return x0, y0, x1, y1


def shown(box: Box) -> str:
    """A box in words, for messages.

    >>> shown((0.0, 1.5, 20.0, 30.0))
    '0, 1.5, 20, 30'
    """
    return ", ".join(f"{v:g}" for v in box)
