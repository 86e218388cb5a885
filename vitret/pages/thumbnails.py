"""Small pictures inside a page: JPEG in base64, so that the page needs no other file."""

import base64
import html
import io
from pathlib import Path

from PIL import Image, ImageDraw

from vitret.core.errors import DataError
from vitret.data.boxes import Box
from vitret.data.images import decode, header

SIDE, QUALITY = 300, 80
OUTLINE = (255, 196, 0)


def figure(path: Path, caption: str, *, box: Box | None = None) -> str:
    """An HTML figure of an image file, cut to a box in its pixels; words where the file cannot be read."""
    words = html.escape(caption)
    data = base64.b64encode(small_jpeg(path, box=box, side=SIDE)).decode()
    picture = f'<img alt="{words}" src="data:image/jpeg;base64,{data}">' if data else "<i>not readable</i>"
    return f"<figure>{picture}<figcaption>{words}</figcaption></figure>"


def small_jpeg(path: Path, *, box: Box | None, side: int, outlined: bool = False) -> bytes:
    """A JPEG of at most `side` pixels a side, cut to a box or, `outlined`, whole with the box drawn into it.

    Empty where the image cannot be read.
    """
    drawn = box if outlined else None
    try:
        # A box is in pixels of the stored image, so what it is drawn into is not turned.
        pixels = decode(path, box=None if drawn else box, draft=(side, side), exif=drawn is None)
        width, _, _ = header(path)
    except DataError:
        return b""
    image = Image.fromarray(pixels)
    if drawn is not None:
        scale = image.width / width
        image.thumbnail((side, side))
        scale *= image.width / pixels.shape[1]
        ImageDraw.Draw(image).rectangle([scale * corner for corner in drawn], outline=OUTLINE, width=2)
    image.thumbnail((side, side))
    buffer = io.BytesIO()
    image.save(buffer, "JPEG", quality=QUALITY)
    return buffer.getvalue()
