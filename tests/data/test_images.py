import hashlib
import io
import struct
import warnings
import zlib
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from vitret.core.errors import DataError
from vitret.data import images
from vitret.data.images import check, check_all, decode, header


def picture(width: int = 64, height: int = 48, seed: int = 0) -> Image.Image:
    """A smooth picture with a corner that tells which way up it is: red at the top left."""
    rows, columns = np.mgrid[0:height, 0:width]
    pixels = np.stack([rows * 3 % 256, columns * 3 % 256, (rows + columns + seed) % 256], axis=2).astype(
        np.uint8
    )
    pixels[: height // 4, : width // 4] = (255, 0, 0)
    return Image.fromarray(pixels)


def saved(folder: Path, image: Image.Image, name: str = "a.jpg", **options: object) -> Path:
    path = folder / name
    image.save(path, **options)
    return path


@pytest.fixture(params=["simplejpeg", "pillow"])
def decoder(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    if request.param == "pillow":
        monkeypatch.setattr(images, "simplejpeg", None)
    elif images.simplejpeg is None:
        pytest.skip("needs simplejpeg")
    return str(request.param)


@pytest.mark.parametrize("draft", [None, (16, 12), (33, 20), (9, 6), (1, 1)])
@pytest.mark.parametrize("grey", [False, True])
def test_both_decoders_give_the_same_pixels(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, draft: tuple[int, int] | None, grey: bool
):
    pytest.importorskip("simplejpeg")
    path = saved(tmp_path, picture(67, 51).convert("L" if grey else "RGB"), quality=80)
    fast = decode(path, draft=draft)
    monkeypatch.setattr(images, "simplejpeg", None)
    np.testing.assert_array_equal(fast, decode(path, draft=draft))


@pytest.mark.usefixtures("decoder")
def test_draft_halves_as_long_as_both_sides_suffice(tmp_path: Path):
    path = saved(tmp_path, picture(640, 480))
    assert decode(path, draft=(320, 240)).shape == (240, 320, 3)
    assert decode(path, draft=(321, 240)).shape == (480, 640, 3)
    assert decode(path, draft=(80, 60)).shape == (60, 80, 3)
    assert decode(path, draft=(2000, 2000)).shape == (480, 640, 3)


def test_draft_leaves_other_formats_and_boxes_alone(tmp_path: Path):
    assert decode(saved(tmp_path, picture(), "a.png"), draft=(8, 8)).shape == (48, 64, 3)
    boxed = decode(saved(tmp_path, picture()), draft=(4, 4), box=(0, 0, 10, 9))
    assert boxed.shape == (9, 10, 3)


@pytest.mark.parametrize("mode", ["L", "P", "CMYK", "RGBA", "LA", "1", "YCbCr"])
@pytest.mark.usefixtures("decoder")
def test_every_mode_becomes_rgb(tmp_path: Path, mode: str):
    name = {"CMYK": "a.jpg", "YCbCr": "a.jpg"}.get(mode, "a.png")
    pixels = decode(saved(tmp_path, picture().convert(mode), name))
    assert pixels.shape == (48, 64, 3)
    assert pixels.dtype == np.uint8
    assert pixels.flags.c_contiguous
    if mode not in ("L", "LA", "1"):
        assert (
            np.abs(pixels[2, 2].astype(int) - [255, 0, 0]).max() < 90
        )  # A palette of 256 colours is coarse.


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.usefixtures("decoder")
def test_exif_turns_as_pillow_does_and_only_when_asked(tmp_path: Path, orientation: int):
    from PIL import ImageOps

    exif = Image.Exif()
    exif[0x0112] = orientation
    path = saved(tmp_path, picture(64, 48), exif=exif)
    with Image.open(path) as stored:
        upright = np.asarray(ImageOps.exif_transpose(stored))
        np.testing.assert_array_equal(decode(path, exif=False), np.asarray(stored))
    np.testing.assert_array_equal(decode(path, exif=True), upright)
    assert check(path).orientation == orientation


def test_draft_means_the_upright_image(tmp_path: Path):
    exif = Image.Exif()
    exif[0x0112] = 6
    path = saved(tmp_path, picture(640, 480), exif=exif)  # Upright: 480 wide, 640 high.
    assert decode(path, exif=True, draft=(240, 320)).shape == (320, 240, 3)
    assert decode(path, exif=True, draft=(320, 240)).shape == (640, 480, 3)


def test_boxes_are_rounded_and_cut_to_the_image(tmp_path: Path):
    path = saved(tmp_path, picture(), "a.png")
    whole = decode(path)
    np.testing.assert_array_equal(decode(path, box=(1.4, 2.6, 10.5, 11.5)), whole[3:12, 1:10])
    np.testing.assert_array_equal(decode(path, box=(-5.0, 40.0, 10.0, 99.0)), whole[40:48, 0:10])
    with Image.open(path) as stored:
        np.testing.assert_array_equal(
            decode(path, box=(3.5, 4.5, 20.2, 30.7)), stored.crop((3.5, 4.5, 20.2, 30.7))
        )


@pytest.mark.usefixtures("decoder")
def test_truncated_jpegs_raise_at_every_length(tmp_path: Path):
    data = saved(tmp_path, picture(200, 150)).read_bytes()
    path = tmp_path / "cut.jpg"
    for length in (0, 1, 10, 300, len(data) // 2, len(data) - 40):
        path.write_bytes(data[:length])
        with pytest.raises(DataError, match=r"cut\.jpg: "):
            decode(path)
        assert check(path).problem


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"<!DOCTYPE HTML PUBLIC><html><title>302 Found</title>", r"a web page \(HTML\)"),
        (b"\n  <html>", r"a web page \(HTML\)"),
        (b"<?xml version='1.0'?><Error>", "an XML document"),
        (b"version https://git-lfs.github.com/spec/v1", "Git LFS pointer"),
        (b"", r"is empty \(0 bytes\)"),
        (b"hello", r"not an image in a known format \(JPEG, .*\); it begins with b'hello'"),
        (b"\x89PNG\r\n\x1a\nbroken", "."),
    ],
)
def test_what_is_no_image_is_called_by_its_name(tmp_path: Path, content: bytes, said: str):
    path = tmp_path / "a.jpg"
    path.write_bytes(content)
    with pytest.raises(DataError, match=said):
        decode(path)


@pytest.mark.parametrize("kind", ["EPS", "ICO", "TGA", "DDS"])
def test_only_formats_of_photographs_are_opened(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kind: str):
    """Pillow would start `gs` for the first."""
    marker = tmp_path / "gs-was-started"
    fake = tmp_path / "bin" / "gs"
    fake.parent.mkdir()
    fake.write_text(f"#!/bin/sh\ntouch '{marker}'\n")
    fake.chmod(0o755)
    monkeypatch.setenv("PATH", str(fake.parent), prepend=":")
    path = tmp_path / "a.jpg"
    picture().save(path, kind)
    assert "not an image in a known format" in (check(path).problem or "")
    with pytest.raises(DataError, match="not an image in a known format"):
        header(path)
    assert not marker.exists()


@pytest.mark.parametrize(
    "raised", [RuntimeError("Failed to decode frame 0"), struct.error("unpack"), KeyError(3)]
)
def test_whatever_pillow_raises_on_damage_is_a_problem_of_that_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, raised: Exception
):
    def broken(*_: object) -> None:
        raise raised

    path = saved(tmp_path, picture(), "a.png")
    monkeypatch.setattr("PIL.ImageFile.ImageFile.load", broken)
    assert str(raised) in (check(path).problem or "")


def test_a_header_has_the_stored_size_and_the_orientation(tmp_path: Path):
    exif = Image.Exif()
    exif[0x0112] = 6
    path = saved(tmp_path, picture(64, 48), exif=exif)
    assert header(path) == (64, 48, 6)


def test_missing_files_and_folders_raise(tmp_path: Path):
    with pytest.raises(DataError, match="no such file"):
        decode(tmp_path / "a.jpg")
    with pytest.raises(DataError, match="cannot be read"):
        decode(tmp_path)


def test_bombs_are_refused_without_unfolding_and_without_warnings(tmp_path: Path):
    # A PNG header that claims 50000 × 50000 pixels.
    chunk = b"IHDR" + struct.pack(">IIBBBBB", 50_000, 50_000, 8, 2, 0, 0, 0)
    data = b"\x89PNG\r\n\x1a\n" + struct.pack(">I", 13) + chunk + struct.pack(">I", zlib.crc32(chunk))
    data += struct.pack(">I", 1000) + b"IDAT" + bytes(1000)
    path = tmp_path / "a.png"
    path.write_bytes(data)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        with pytest.raises(DataError, match=r"pixels\. Make it smaller"):
            decode(path)


def test_palette_with_transparency_does_not_warn(tmp_path: Path):
    path = saved(tmp_path, picture().convert("P"), "a.png", transparency=bytes(range(256)))
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        decode(path)
    assert not caught


def test_check_says_what_a_file_is(tmp_path: Path):
    path = saved(tmp_path, picture(30, 20), "a.png")
    report = check(path)
    assert (report.width, report.height, report.format, report.orientation) == (30, 20, "PNG", 1)
    assert report.size == path.stat().st_size
    assert report.sha256 == hashlib.sha256(path.read_bytes()).hexdigest()
    assert report.problem is None


def test_a_pool_reports_in_order_what_one_process_reports(tmp_path: Path):
    paths = [saved(tmp_path, picture(8 + i, 8), f"{i}.png") for i in range(40)]
    paths[7].write_bytes(b"<html>")
    alone = list(check_all(paths, 0))
    assert list(check_all(paths, 2)) == alone
    assert [i for i, report in enumerate(alone) if report.problem] == [7]


def test_damaged_exif_does_not_cost_the_picture(tmp_path: Path):
    out = io.BytesIO()
    picture().save(out, "JPEG", exif=b"Exif\x00\x00II*\x00\xff\xff\xff\x7f")
    path = tmp_path / "a.jpg"
    path.write_bytes(out.getvalue())
    assert decode(path, exif=True).shape == (48, 64, 3)
