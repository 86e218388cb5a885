import numpy as np
import pytest
import torch
from PIL import Image

from vitret.core.protocol import Protocol
from vitret.core.records import Images
from vitret.data import layout
from vitret.data.layout import LayoutWriter
from vitret.describe import framing
from vitret.describe.framing import box_of, centre, frame, load, padded, resize, size_finder, stored_size

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
    image = load(tmp_path / "a.png", box, plan, protocol)
    assert image.shape == (3, 20, 20)
    assert (image == 255).all()
    assert not (load(tmp_path / "a.png", box, plan, Protocol(size=40, crop="none")) == 255).all()


def test_centre_and_padding():
    image = torch.arange(16.0).view(1, 4, 4)
    assert centre(image, (2, 2)).flatten().tolist() == [5, 6, 9, 10]
    assert padded(image[None], (4, 6))[0, 0, :, 4:].abs().sum() == 0


def test_an_upright_size_follows_exif_only_when_asked(tmp_path):
    exif = Image.Exif()
    exif[0x0112] = 6
    Image.new("RGB", (30, 20)).save(tmp_path / "a.jpg", exif=exif)
    assert stored_size(tmp_path / "a.jpg", exif=False) == (20, 30)
    assert stored_size(tmp_path / "a.jpg", exif=True) == (30, 20)
    assert stored_size(tmp_path / "missing.jpg", exif=False) is None


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
    assert [with_stray(row) for row in (0, 1)] == [(20, 30), (9, 8)]

    def opened(*_, **__):
        raise AssertionError("a header was opened")

    monkeypatch.setattr(framing, "header_size", opened)
    find = size_finder(prepared, exif=exif)
    assert [find(row) for row in (0, 1)] == from_headers == [(30, 20) if exif else (20, 30), (20, 30)]


def test_a_box_is_truncated_where_the_protocol_says_so():
    # DOLG 63b117d, evaler/infer.py: map(int, bbx). The default stays out of the fingerprint.
    box = (10.6, 20.5, 99.7, 80.9)
    assert box_of(box, Protocol(boxes="truncate")) == (10, 20, 99, 80)
    assert box_of(box, Protocol()) == box
    assert box_of(box, Protocol(boxes="truncate", crop="none")) is None
    assert "boxes" not in Protocol().model_dump()
    assert Protocol().fingerprint != Protocol(boxes="truncate").fingerprint
