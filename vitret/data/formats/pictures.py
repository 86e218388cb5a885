"""Which files are photographs: suffixes, the formats that Pillow may open, HEIC; and what other files are."""

from __future__ import annotations

from functools import cache
from typing import Any, BinaryIO

from PIL import Image, features

from vitret.core.disguise import disguise

SUFFIXES = frozenset(
    {
        *(".jpg", ".jpeg", ".jpe", ".jfif", ".png", ".webp", ".bmp", ".gif", ".tif", ".tiff", ".ppm", ".pgm"),
        *(".avif", ".jp2", ".heic", ".heif"),
    }
)
# Pillow opens some fifty formats, one of them by starting Ghostscript. Photographs come as these; JPEG opens MPO.
ALWAYS = ("JPEG", "PNG", "WEBP", "BMP", "GIF", "TIFF", "PPM")
# Formats that a build of Pillow may be without, and the name of each in `PIL.features`. AVIF: since Pillow 11.3.
SOMETIMES = {"AVIF": "avif", "JPEG2000": "jpg_2000"}
# How documents begin that a user may have saved under the name of a photograph, lower case, and what they are.
DOCUMENTS = {
    b"<svg": "a vector drawing (SVG)",
    b"%pdf": "a PDF document",
    b"8bps": "a Photoshop document (PSD)",
    b"pk\x03\x04": "a ZIP archive",
}
# TIFF that Pillow does not open has, for example, three channels of 32 bits.
TIFF = (b"II*\0", b"MM\0*")
# The brands of ISO/IEC 23008-12 and of AV1 in bytes 8 to 11, after `ftyp`; other brands are films.
HEIC_BRANDS = frozenset({b"heic", b"heix", b"heim", b"heis", b"hevc", b"hevx", b"mif1", b"msf1"})
AVIF_BRANDS = frozenset({b"avif", b"avis"})
INSTALL_HEIF = "pip install 'vitret[heif]'"


@cache
def formats() -> tuple[str, ...]:
    """The formats that this installation opens, by Pillow's names."""
    known = {*features.modules, *features.codecs}
    return (
        *ALWAYS,
        *(name for name, feature in SOMETIMES.items() if feature in known and features.check(feature)),
    )


def instead(data: bytes) -> str:
    """What a file that is no known image is, from how it begins, and what to do, in two sentences."""
    if found := disguise(data):
        return f"is {found[0]}, not an image. {found[1]}"
    start = data.lstrip(b"\xef\xbb\xbf \t\r\n").lower()
    if start.startswith(b"\xff\xd8\xff"):
        return "is a JPEG behind other bytes, not an image. Fetch or copy the file again."
    for prefix, meaning in DOCUMENTS.items():
        if start.startswith(prefix):
            return f"is {meaning}, not an image. Save the picture as JPEG or PNG."
    if data.startswith(TIFF):
        return "is a TIFF that Pillow does not read. Save it with 8 or 16 bits per channel."
    if data[4:8] == b"ftyp":
        return _iso_media(data[8:12])
    return (
        f"is not an image in a known format ({', '.join(formats())}); it begins with {data[:8]!r}. Fetch or copy the "
        "file again."
    )


def _iso_media(brand: bytes) -> str:
    if brand in HEIC_BRANDS:
        return f"is a HEIC photograph. To read it: {INSTALL_HEIF}"
    if brand in AVIF_BRANDS and "AVIF" not in formats():
        return "is an AVIF photograph. To read it: pip install 'pillow>=11.3'"
    if brand in AVIF_BRANDS:
        return "is a damaged AVIF photograph. Fetch or copy the file again."
    return "is a film, not an image. Save a picture of it as JPEG or PNG."


def open_heic(file: BinaryIO) -> Image.Image | None:
    """A HEIC photograph, its header read; None where the file is none, or pillow-heif is not installed.

    Damage raises what pillow-heif raises. The picture is upright already: libheif turns it.
    """
    start = file.read(12)
    file.seek(0)
    if start[4:8] != b"ftyp" or start[8:12] not in HEIC_BRANDS:
        return None
    try:
        from pillow_heif.as_plugin import HeifImageFile
    except ImportError:
        return None
    image: Any = HeifImageFile(file)
    assert isinstance(image, Image.Image)
    return image
