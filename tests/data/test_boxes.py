from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from vitret.core.errors import DataError
from vitret.data.boxes import crop_sizes, cut, whole_pixels

WHOLE = [np.nan] * 4
NUMBER = st.floats(-80, 160, width=32)


@pytest.mark.parametrize(
    ("box", "corners"),
    [
        ([10, 20, 30, 40], [10, 20, 30, 40]),
        ([200, 50, 700, 250], [200, 50, 400, 250]),  # right, the case of the issue
        ([-5, 50, 20, 250], [0, 50, 20, 250]),  # left
        ([5, -1, 20, 9], [5, 0, 20, 9]),  # above
        ([5, 290, 20, 305], [5, 290, 20, 300]),  # below
        ([-9, -9, 999, 999], [0, 0, 400, 300]),  # every border
        ([10.5, 11.5, 20.4, 20.6], [10, 12, 20, 21]),  # halves to the even side, as Pillow rounds
        (WHOLE, [0, 0, 400, 300]),
    ],
)
def test_a_box_is_rounded_and_cut_to_its_image(box: list[float], corners: list[int]):
    assert cut(np.array([box], np.float64), np.array([[400, 300]])).tolist() == [corners]


@given(st.lists(st.tuples(NUMBER, NUMBER, NUMBER, NUMBER), min_size=1, max_size=5))
def test_a_cut_box_lies_in_its_image_and_stays_as_it_is(boxes: list[tuple[float, float, float, float]]):
    sizes = np.tile([[64, 48]], (len(boxes), 1))
    once = cut(np.array(boxes), sizes)
    assert ((once >= 0) & (once <= np.tile(sizes, 2))).all()
    np.testing.assert_array_equal(cut(once.astype(np.float64), sizes), once)
    for box, corners in zip(boxes, once.tolist(), strict=True):
        one = cut(np.array([box]), sizes[:1])[0].tolist()
        assert one == corners, "a box depends on no other"


@given(st.tuples(NUMBER, NUMBER), st.integers(1, 90), st.integers(1, 90))
def test_a_crop_has_the_size_of_the_one_that_pillow_cuts(corner: tuple[float, float], w: int, h: int):
    x, y = (round(v) for v in corner)
    inside = max(x, 0), max(y, 0), min(x + w, 64), min(y + h, 48)
    if inside[0] >= inside[2] or inside[1] >= inside[3]:
        return
    theirs = Image.new("L", (64, 48)).crop(inside).size
    assert tuple(crop_sizes(np.array([[x, y, x + w, y + h]], np.float64), np.array([[64, 48]]))[0]) == theirs


def test_an_empty_crop_counts_as_one_pixel():
    assert crop_sizes(np.array([[500.0, 0, 600, 10]]), np.array([[400, 300]])).tolist() == [[1, 10]]


@pytest.mark.parametrize("box", [(70, 0, 90, 10), (5, 5, 5.3, 20), (20, 0, 10, 10), (-9, -9, 0, 0)])
def test_boxes_without_a_pixel_raise(box: tuple[float, float, float, float]):
    with pytest.raises(DataError, match="holds no pixel of the 64×48 image"):
        whole_pixels(box, (64, 48), Path("a.jpg"))
