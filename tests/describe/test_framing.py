from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image, ImageOps

from vitret.core.protocol import Protocol
from vitret.core.records import Images
from vitret.data import layout
from vitret.data.images import decode
from vitret.data.layout import LayoutWriter
from vitret.describe import framing
from vitret.describe.framing import (
    Stored,
    box_of,
    centre,
    crops,
    frame,
    frame_finder,
    load,
    padded,
    resize,
    size_finder,
    stored_size,
)

WIDE = (480, 640)  # height, width


@pytest.mark.parametrize(
    ("switches", "box", "final"),
    [
        ({"size": 320}, None, (240, 320)),
        ({"size": 1024}, None, (480, 640)),  # never enlarged unless told
        ({"size": 1280, "upscale": True}, None, (960, 1280)),
        ({"size": 240, "size_rule": "shorter"}, None, (240, 320)),
        ({"size": 224, "size_rule": "square"}, None, (224, 224)),
        ({"size_rule": "none"}, None, (480, 640)),
        ({"size": 320}, (0.0, 0.0, 320.0, 160.0), (80, 160)),  # as small as its whole image becomes
        ({"size": 320, "query_size": "same_size"}, (0.0, 0.0, 320.0, 160.0), (160, 320)),
        ({"size": 240, "size_rule": "shorter", "centre_crop": 224}, None, (224, 224)),
        # What hangs over the border is cut off first: 320×160 pixels are left of the first, 160×320 of the second.
        ({"size": 320, "query_size": "same_size"}, (320.0, 320.0, 900.0, 900.0), (160, 320)),
        ({"size": 320, "query_size": "same_size"}, (-90.0, 160.0, 160.0, 999.0), (320, 160)),
        ({"size": 320}, (320.0, 320.0, 900.0, 900.0), (80, 160)),
    ],
)
def test_sizes_on_paper(switches, box, final):
    assert frame(WIDE, box, Protocol(**switches), patch=16).final == final


@pytest.mark.parametrize("fit", ["round", "pad", "crop"])
def test_sides_become_multiples_of_the_patch(fit):
    plan = frame((333, 517), None, Protocol(size=400, fit=fit), patch=14)
    assert plan.final[0] % 14 == plan.final[1] % 14 == 0
    smaller = {"round": 258 / 14, "pad": 18.5, "crop": 18}[fit]
    assert plan.final[0] == {"round": 252, "pad": 266, "crop": 252}[fit], smaller


def test_no_image_is_too_thin():
    assert frame((1000, 3), None, Protocol(size=64), patch=16).final == (64, 16)
    assert frame((1000, 3), None, Protocol(size=64, fit="crop"), patch=16).final == (64, 16)


def test_resizing_agrees_with_pillow_within_a_grey_level():
    pixels = np.random.default_rng(0).integers(0, 256, (90, 120, 3), dtype=np.uint8)
    for name, code in (("bicubic", Image.Resampling.BICUBIC), ("bilinear", Image.Resampling.BILINEAR)):
        ours = resize(pixels, (32, 48), name).permute(1, 2, 0).numpy().astype(int)
        theirs = np.asarray(Image.fromarray(pixels).resize((48, 32), code)).astype(int)
        assert np.abs(ours - theirs).max() <= 1


def test_load_cuts_the_box_before_resizing(tmp_path):
    pixels = np.zeros((40, 40, 3), np.uint8)
    pixels[10:30, 10:30] = 255
    Image.fromarray(pixels).save(tmp_path / "a.png")
    protocol, box = Protocol(size=40, query_size="same_size"), (10.0, 10.0, 30.0, 30.0)
    plan = frame((40, 40), box, protocol, patch=4)
    images = Images.of(tmp_path, ["a.png"], np.array([box]))
    image = load(images, 0, plan, protocol)
    assert image.shape == (3, 20, 20)
    assert (image == 255).all()
    whole = Protocol(size=40, crop="none")
    marked = replace(images, marks=True)
    assert not (load(marked, 0, plan, whole) == 255).all()
    # A box that makes the image is cut whatever the protocol says about boxes that mark what a query asks about.
    assert (load(images, 0, plan, whole) == 255).all()
    assert [crops(images, whole), crops(marked, whole), crops(marked, protocol)] == [True, False, True]
    assert box_of(box, whole) is None


def test_centre_and_padding():
    image = torch.arange(16.0).view(1, 4, 4)
    assert centre(image, (2, 2)).flatten().tolist() == [5, 6, 9, 10]
    assert padded(image[None], (4, 6))[0, 0, :, 4:].abs().sum() == 0


def test_a_size_is_turned_by_exif_only_when_asked(tmp_path):
    exif = Image.Exif()
    exif[0x0112] = 6
    Image.new("RGB", (30, 20)).save(tmp_path / "a.jpg", exif=exif)
    assert stored_size(tmp_path / "a.jpg", exif=False) == Stored(20, 30, turned=False)
    assert stored_size(tmp_path / "a.jpg", exif=True) == Stored(20, 30, turned=True)
    assert stored_size(tmp_path / "missing.jpg", exif=False) is None
    assert frame(Stored(20, 30, turned=True), None, Protocol(), patch=1).final == (30, 20)


PIXELS = np.random.default_rng(0).integers(0, 256, (40, 56, 3), dtype=np.uint8)


@pytest.fixture(scope="module")
def turned_photographs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The same 56×40 noise as 1.png … 8.png, each with the EXIF orientation it is called by."""
    folder = tmp_path_factory.mktemp("turned")
    for orientation in range(1, 9):
        exif = Image.Exif()
        exif[0x0112] = orientation
        Image.fromarray(PIXELS).save(folder / f"{orientation}.png", exif=exif)
    return folder


LEFT, TOP = st.integers(-30, 55), st.integers(-30, 39)
SIDE = st.one_of(st.integers(1, 3), st.integers(1, 90))


@given(
    orientation=st.integers(1, 8),
    box=st.tuples(LEFT, TOP, SIDE, SIDE).map(lambda b: (b[0], b[1], b[0] + b[2], b[1] + b[3])),
    exif=st.sampled_from(["apply", "ignore"]),
    rule=st.sampled_from(["longer", "shorter", "square", "none"]),
    fit=st.sampled_from(["round", "pad", "crop"]),
)
@settings(max_examples=400, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_a_network_sees_the_pixels_that_pillow_cuts_and_turns(
    turned_photographs, tmp_path, orientation, box, exif, rule, fit
):
    """Boxes inside, over each border and of one pixel, in every EXIF orientation."""
    x0, y0, x1, y1 = max(box[0], 0), max(box[1], 0), min(box[2], 56), min(box[3], 40)
    if x0 >= x1 or y0 >= y1:
        return
    name = f"{orientation}.png"
    with Image.open(turned_photographs / name) as stored:
        # Pillow keeps the EXIF of what it cuts, so that the crop is turned as its photograph would be.
        crop = stored.crop((x0, y0, x1, y1))
        crop.info = stored.info
        cut = ImageOps.exif_transpose(crop) if exif == "apply" else crop
    boxed = tuple(float(v) for v in box)
    seen = decode(turned_photographs / name, box=boxed, exif=exif == "apply")
    np.testing.assert_array_equal(seen, np.asarray(cut))

    cut.info = {}
    cut.save(tmp_path / "cut.png")
    protocol = Protocol(
        size=32, size_rule=rule, upscale=True, query_size="same_size", exif=exif, fit=fit, crop="box"
    )
    images = Images.of(turned_photographs, [name], np.array([boxed]))
    alone = Images.of(tmp_path, ["cut.png"])
    plan = frame_finder(images, protocol, patch=4)(0)
    assert plan == frame(cut.size[::-1], None, protocol, patch=4)
    assert torch.equal(load(images, 0, plan, protocol), load(alone, 0, plan, protocol))


@pytest.mark.parametrize("exif", ["apply", "ignore"])
def test_a_crop_is_as_large_as_in_its_photograph_in_every_orientation(turned_photographs, exif):
    protocol = Protocol(size=28, exif=exif)  # half the longer side
    for orientation in range(1, 9):
        images = Images.of(turned_photographs, [f"{orientation}.png"], np.array([[16.0, 0, 40, 8]]))
        turned = exif == "apply" and orientation >= 5
        assert frame_finder(images, protocol, patch=1)(0).final == ((12, 4) if turned else (4, 12))


def test_a_frame_is_found_where_no_header_can_be_read(tmp_path):
    (tmp_path / "a.jpg").write_bytes(b"nothing")
    images = Images.of(tmp_path, ["a.jpg"], np.array([[5.0, 5, 9, 9]]))
    assert frame_finder(images, Protocol(), patch=16)(0).final == (16, 16)


@pytest.mark.parametrize("exif", [False, True])
def test_sizes_of_a_prepared_set_come_from_its_table(tmp_path, monkeypatch, exif):
    turned = Image.Exif()
    turned[0x0112] = 6
    (tmp_path / "photos").mkdir()
    Image.new("RGB", (30, 20)).save(tmp_path / "photos" / "a.jpg", exif=turned)
    Image.new("RGB", (30, 20)).save(tmp_path / "photos" / "b.jpg")
    with LayoutWriter(tmp_path / "data", "small") as writer:
        for name in ("a.jpg", "b.jpg"):
            writer.link(tmp_path / "photos" / name, name)
        writer.distractors(["a.jpg", "b.jpg"])
        writer.card({"title": "Two photographs"})
        writer.finish()
    prepared = layout.load_images(tmp_path / "data", "small").images
    loose = Images.of(tmp_path / "photos", ["a.jpg", "b.jpg"])
    from_headers = [size_finder(loose, exif=exif)(row) for row in (0, 1)]
    # A file that a user put beside the set's own is in no table.
    Image.new("RGB", (8, 9)).save(prepared.root / "c.jpg")
    with_stray = size_finder(Images.of(prepared.root, ["b.jpg", "c.jpg"]), exif=exif)
    assert [with_stray(row) for row in (0, 1)] == [Stored(20, 30), Stored(9, 8)]

    def opened(*_, **__):
        raise AssertionError("a header was opened")

    monkeypatch.setattr(framing, "header", opened)
    find = size_finder(prepared, exif=exif)
    assert [find(row) for row in (0, 1)] == from_headers == [Stored(20, 30, exif), Stored(20, 30)]


def test_a_box_is_truncated_where_the_protocol_says_so():
    # DOLG 63b117d, evaler/infer.py: map(int, bbx). The default stays out of the fingerprint.
    box = (10.6, 20.5, 99.7, 80.9)
    assert box_of(box, Protocol(boxes="truncate")) == (10, 20, 99, 80)
    assert box_of(box, Protocol()) == box
    assert box_of(box, Protocol(boxes="truncate", crop="none")) is None
    # A box that makes an image of its own is always cut, truncated if the protocol says so.
    assert box_of(box, Protocol(boxes="truncate", crop="none"), marks=False) == (10, 20, 99, 80)
    assert "boxes" not in Protocol().model_dump()
    assert Protocol().fingerprint != Protocol(boxes="truncate").fingerprint


def test_a_truncated_box_over_the_border_has_the_frame_of_its_pixels(tmp_path):
    Image.fromarray(PIXELS).save(tmp_path / "a.png")
    protocol = Protocol(size_rule="none", boxes="truncate", query_size="same_size")
    images = Images.of(tmp_path, ["a.png"], np.array([[40.6, -0.7, 70.5, 10.9]]))
    plan = frame_finder(images, protocol, patch=1)(0)
    assert plan.final == (10, 16)
    assert np.array_equal(load(images, 0, plan, protocol).permute(1, 2, 0), PIXELS[:10, 40:])
