"""Pixels of any kind that Pillow opens → 8-bit RGB.

What is not 8-bit RGB is converted as `Image.convert("RGB")` does it in every training code: alpha is dropped, CMYK goes
without a colour profile. Pixels of more than 8 bits are scaled, where Pillow would clip them.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

Pixels = NDArray[np.uint8]


class BrightnessError(ValueError):
    """The file is sound, but nothing says which number is white."""


def rgb(image: Image.Image) -> Pixels:
    """The image as (H, W, 3) uint8; pixels of no known brightness raise `BrightnessError`."""
    if image.mode == "I" and image.format == "TIFF":
        return _grey(_of_32_bits(np.asarray(image)))
    if image.mode.startswith("I"):
        return _grey(_of_16_bits(np.asarray(image).astype(np.int64)))
    if image.mode == "F":
        return _grey(_of_floats(np.asarray(image)))
    if image.mode == "P" and "transparency" in image.info:
        image = image.convert("RGBA")
    return np.asarray(image.convert("RGB"))


def _grey(values: NDArray[Any]) -> Pixels:
    grey = np.round(values).astype(np.uint8)
    return np.repeat(grey[:, :, None], 3, axis=2)


def _of_16_bits(wide: NDArray[np.int64]) -> NDArray[np.float64]:
    if wide.size and (wide.min() < 0 or wide.max() > 65535):
        raise BrightnessError(f"whole numbers from {wide.min()} to {wide.max()}")
    return wide / 257


def _of_32_bits(wide: NDArray[np.int32]) -> NDArray[Any]:
    """By their range: numpy and ImageJ write pictures of 8 or 16 bits as 32-bit TIFF; no camera has more."""
    numbers = wide.astype(np.int64)
    if numbers.size and numbers.min() >= 0 and numbers.max() <= 255:
        return numbers
    return _of_16_bits(numbers)


def _of_floats(values: NDArray[np.float32]) -> NDArray[np.float64]:
    """By their range: 0…1 is scaled, 0…255 stays."""
    if not np.isfinite(values).all():
        raise BrightnessError("floating-point pixels that are infinite or not a number")
    low, high = (float(values.min()), float(values.max())) if values.size else (0.0, 0.0)
    if low < 0 or high > 255:
        raise BrightnessError(f"floating-point pixels from {low:g} to {high:g}")
    return values.astype(np.float64) * (255 if high <= 1 else 1)
