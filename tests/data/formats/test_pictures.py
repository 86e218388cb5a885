import io
import struct
import zlib
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, features

from vitret.core.errors import DataError
from vitret.data.formats import pictures
from vitret.data.images import check, decode, header


def picture() -> Image.Image:
    small = np.random.default_rng(0).integers(0, 256, (6, 8, 3), dtype=np.uint8)
    return Image.fromarray(small).resize((64, 48), Image.Resampling.BICUBIC)


def bytes_of(image: Image.Image, kind: str, **options: object) -> bytes:
    out = io.BytesIO()
    image.save(out, kind, **options)
    return out.getvalue()


def far(path: Path) -> float:
    return float(np.abs(decode(path).astype(int) - np.asarray(picture())).mean())


@pytest.mark.parametrize(
    ("name", "kind"),
    [
        ("a.jfif", "JPEG"),
        ("a.JPE", "JPEG"),
        ("a.jp2", "JPEG2000"),
        ("a.avif", "AVIF"),
        ("a.Webp", "WEBP"),
    ],
)
def test_photographs_as_phones_and_browsers_save_them(tmp_path: Path, name: str, kind: str):
    if kind == "AVIF" and not features.check("avif"):
        pytest.skip("this Pillow is without AVIF")
    path = tmp_path / name
    path.write_bytes(bytes_of(picture(), kind))
    assert path.suffix.lower() in pictures.SUFFIXES
    assert far(path) < 8
    assert check(path).format == kind
    assert header(path)[:2] == (64, 48)


def heic() -> bytes:
    made = io.BytesIO()
    pytest.importorskip("pillow_heif").from_pillow(picture()).save(made, quality=95)
    return made.getvalue()


def test_heic_is_read_by_pillow_heif(tmp_path: Path):
    path = tmp_path / "IMG_0001.HEIC"
    path.write_bytes(heic())
    assert far(path) < 8
    assert check(path).format == "HEIF"
    path.write_bytes(heic()[:300])
    with pytest.raises(DataError, match="is damaged"):
        decode(path)


def test_heic_without_pillow_heif_names_the_command(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setitem(__import__("sys").modules, "pillow_heif.as_plugin", None)
    path = tmp_path / "a.heic"
    path.write_bytes(b"\0\0\0\x18ftypheic" + bytes(200))
    with pytest.raises(DataError, match=r"is a HEIC photograph\. To read it: pip install 'vitret\[heif\]'"):
        decode(path)


def test_a_pillow_without_avif_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(pictures, "formats", lambda: pictures.ALWAYS)
    assert "pip install 'pillow>=11.3'" in pictures.instead(b"\0\0\0\x20ftypavif")


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"8BPS\0\1" + bytes(40), r"a Photoshop document \(PSD\)"),
        (b"%PDF-1.7\n", "a PDF document"),
        (b"<svg xmlns='x'/>", "a vector drawing"),
        (b"PK\x03\x04" + bytes(40), "a ZIP archive"),
        (b"\r\n\xff\xd8\xff\xe0" + bytes(40), "a JPEG behind other bytes"),
        (b"\0\0\0\x20ftypisom" + bytes(40), "a film"),
        (b"\0\0\0\x14ftypqt  " + bytes(40), "a film"),
        (b"II*\0" + struct.pack("<I", 8) + bytes(40), "TIFF that Pillow does not read"),
        (b"\0\0\0\x20ftypavif" + bytes(40), "damaged"),
    ],
)
def test_other_files_are_called_by_their_name(tmp_path: Path, content: bytes, said: str):
    path = tmp_path / "a.jpg"
    path.write_bytes(content)
    with pytest.raises(DataError, match=said):
        decode(path)


def test_pictures_of_several_frames_give_the_first(tmp_path: Path):
    other = Image.fromarray(255 - np.asarray(picture()))
    for name, kind in (("a.tif", "TIFF"), ("a.gif", "GIF"), ("a.webp", "WEBP"), ("a.jpg", "MPO")):
        path = tmp_path / name
        options = {"lossless": True} if kind == "WEBP" else {}
        path.write_bytes(bytes_of(picture(), kind, save_all=True, append_images=[other], **options))
        assert far(path) < 12, name


def test_transparency_uncovers_the_colours_below(tmp_path: Path):
    path = tmp_path / "a.gif"
    reds = Image.new("P", (4, 4))
    reds.putpalette([200, 30, 30] + [0, 0, 0] * 255)
    reds.save(path, transparency=0)
    assert decode(path)[0, 0].tolist() == [200, 30, 30]
    path = tmp_path / "a.png"
    Image.new("RGBA", (4, 4), (200, 30, 30, 0)).save(path)
    assert decode(path)[0, 0].tolist() == [200, 30, 30]


def test_cmyk_and_sixteen_bit_rgb_are_read(tmp_path: Path):
    path = tmp_path / "a.tif"
    picture().convert("CMYK").save(path)
    assert far(path) < 1
    wide = (np.asarray(picture()).astype(np.uint16) * 257).astype(">u2")

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    rows = b"".join(b"\0" + row.tobytes() for row in wide)
    path = tmp_path / "a.png"
    path.write_bytes(
        b"\x89PNG\r\n\x1a\n"
        + chunk(b"IHDR", struct.pack(">IIBBBBB", 64, 48, 16, 2, 0, 0, 0))
        + chunk(b"IDAT", zlib.compress(rows))
        + chunk(b"IEND", b"")
    )
    assert far(path) == 0


@pytest.mark.parametrize("kept", [0.75, 0.99])
def test_a_cut_photograph_is_refused(tmp_path: Path, kept: float):
    for kind in ("JPEG", "PNG", "WEBP", "AVIF", "JPEG2000"):
        if kind == "AVIF" and not features.check("avif"):
            continue
        data = bytes_of(picture(), kind)
        path = tmp_path / "a.jpg"
        path.write_bytes(data[: int(len(data) * kept)])
        with pytest.raises(DataError, match=r"damaged|Fetch or copy"):
            decode(path)
