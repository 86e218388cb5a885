from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from vitret.core.errors import DataError
from vitret.data.images import check, decode


def saved(folder: Path, values: Any, dtype: str, name: str = "a.tif") -> Path:
    path = folder / name
    Image.fromarray(np.array([values], dtype=dtype)).save(path)
    return path


# The second row: a picture of 0…255 in 32 bits is not black.
@pytest.mark.parametrize(
    ("values", "dtype", "grey"),
    [
        ([0, 257, 32896, 65535], "uint16", [0, 1, 128, 255]),
        ([0, 1, 128, 255], "int32", [0, 1, 128, 255]),
        ([0, 257, 32896, 65535], "int32", [0, 1, 128, 255]),
        ([0, 0, 0, 0], "int32", [0, 0, 0, 0]),
        ([0, 0.25, 0.5, 1], "float32", [0, 64, 128, 255]),
        ([0, 1, 128, 255], "float32", [0, 1, 128, 255]),
        ([0, 0.4, 127.6, 254.5], "float32", [0, 0, 128, 254]),
        # Sixteen bits are sixteen, however dark the picture is.
        ([0, 100, 200, 255], "uint16", [0, 0, 1, 1]),
    ],
)
def test_a_tiff_is_as_bright_as_its_range_says(
    tmp_path: Path, values: list[float], dtype: str, grey: list[int]
):
    pixels = decode(saved(tmp_path, values, dtype))
    assert pixels.shape == (1, 4, 3)
    assert pixels[0, :, 0].tolist() == pixels[0, :, 2].tolist() == grey


def test_sixteen_bits_of_a_png_or_pgm_are_scaled_not_clipped(tmp_path: Path):
    for name in ("a.png", "a.pgm"):
        assert decode(saved(tmp_path, [0, 257, 32896, 65535], "uint16", name))[0, :, 0].tolist() == [
            0,
            1,
            128,
            255,
        ]
    assert decode(saved(tmp_path, [0, 100, 200, 255], "uint16", "dark.pgm"))[0, :, 0].tolist() == [0, 0, 1, 1]


@pytest.mark.parametrize(
    ("values", "dtype", "said"),
    [
        (
            [0, 65536],
            "int32",
            r"whole numbers from 0 to 65536, of no known brightness\. Save it with 8 or 16 bits",
        ),
        ([-1, 255], "int32", "whole numbers from -1 to 255"),
        ([0, 256], "float32", "floating-point pixels from 0 to 256"),
        ([-0.5, 0.5], "float32", "floating-point pixels from -0.5 to 0.5"),
        ([0, np.nan], "float32", "infinite or not a number"),
        ([0, np.inf], "float32", "infinite or not a number"),
    ],
)
def test_pixels_of_no_known_brightness_are_refused_in_words(
    tmp_path: Path, values: list[float], dtype: str, said: str
):
    path = saved(tmp_path, values, dtype)
    with pytest.raises(DataError, match=said) as raised:
        decode(path)
    assert "damaged" not in str(raised.value)
    assert "no known brightness" in (check(path).problem or "")
