from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from vitret.core.errors import DataError
from vitret.data.layout import LayoutWriter, load_eval
from vitret.data.layout.parts import Side


def prepared(folder: Path, *boxes: list[float], orientation: int = 1) -> list[str]:
    """Write a training set of one image, 40×30 as stored, with these boxes; returns what is said about them."""
    exif = Image.Exif()
    exif[0x0112] = orientation
    Image.new("RGB", (40, 30)).save(folder / "a.jpg", exif=exif)
    said: list[str] = []
    with LayoutWriter(folder, "boxed", report=said.append) as writer:
        writer.link(folder / "a.jpg", "a.jpg")
        writer.train(["a.jpg"] * len(boxes), list(range(len(boxes))), boxes=np.array(boxes, np.float64))
        writer.card({"title": "Boxes"})
        writer.finish()
    return [words for words in said if "box" in words]


def test_boxes_inside_say_nothing(tmp_path: Path):
    assert prepared(tmp_path, [0, 0, 40, 30], [np.nan] * 4, [-0.4, 0.2, 40.4, 30.4]) == []


def test_boxes_over_the_border_are_counted_and_the_first_is_named(tmp_path: Path):
    (said,) = prepared(tmp_path, [0, 0, 5, 5], [30, 5, 50, 20], [-3, 0, 9, 9])
    assert "2 boxes hang over their image and are cut to it; first: (30, 5, 50, 20) in a.jpg" in said
    assert "stored as 40×30" in said


@pytest.mark.parametrize("orientation", [5, 6, 7, 8])
def test_a_box_that_fits_only_upright_is_said(tmp_path: Path, orientation: int):
    (said,) = prepared(tmp_path, [5, 20, 25, 40], orientation=orientation)
    assert "lie in it as EXIF turns it upright; first: (5, 20, 25, 40)" in said
    assert "stored as 40×30, upright 30×40" in said
    assert "pixels of the stored image" in said


def test_a_box_outside_the_stored_image_that_lies_in_the_upright_one_is_refused_with_the_reason(
    tmp_path: Path,
):
    with pytest.raises(
        DataError, match=r"no pixel .*upright 30×40\. They lie in it as EXIF turns it upright"
    ):
        prepared(tmp_path, [5, 32, 25, 40], orientation=6)
    with pytest.raises(DataError, match=r"no pixel .*stored as 40×30\. Boxes are x0, y0, x1, y1"):
        prepared(tmp_path, [5, 32, 25, 40], orientation=3)


def test_several_boxed_queries_may_stand_on_one_photograph(tmp_path: Path):
    for name in ("a.png", "b.png"):
        Image.new("RGB", (40, 30)).save(tmp_path / name)
    boxes = np.array([[0.0, 0, 9, 9], [10.0, 0, 20, 9], [0.0, 0, 9, 9]])
    with LayoutWriter(tmp_path, "asked") as writer:
        for name in ("a.png", "b.png"):
            writer.link(tmp_path / name, name)
        # Its own item is junk for a query; the same picture with another box is another image.
        writer.evaluation(
            Side(["a.png", "a.png", "b.png"], labels=[0, 1, 0], boxes=boxes),
            Side(["a.png", "a.png"], labels=[0, 0], boxes=np.array([[0.0, 0, 9, 9], [20.0, 0, 30, 9]])),
            query_rows=np.array([0, -1]),
        )
        writer.card({"title": "Boxes"})
        writer.finish()
    found = load_eval(tmp_path, "asked")
    assert [found.queries.box(i) for i in (0, 1)] == [(0, 0, 9, 9), (20, 0, 30, 9)]
    assert [found.truth.judgements["positive"].row(q).tolist() for q in (0, 1)] == [[2], [0, 2]]
    assert not found.queries.marks
    assert not found.database.marks
