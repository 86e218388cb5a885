"""Small pictures inside a page: JPEG in base64, so that the page needs no other file."""

import base64
import html
import io
from pathlib import Path

from PIL import Image

from vitret.core.errors import DataError
from vitret.data.boxes import Box
from vitret.data.images import decode

SIDE, QUALITY = 300, 80


def figure(path: Path, caption: str, *, box: Box | None = None) -> str:
    """An HTML figure of an image file, cut to a box in its pixels; words where the file cannot be read."""
    words = html.escape(caption)
    data = _thumbnail(path, box)
    picture = f'<img alt="{words}" src="data:image/jpeg;base64,{data}">' if data else "<i>not readable</i>"
    return f"<figure>{picture}<figcaption>{words}</figcaption></figure>"


def _thumbnail(path: Path, box: Box | None) -> str:
    """A small JPEG in base64; empty where the image cannot be read."""
    try:
        image = Image.fromarray(decode(path, box=box, draft=(SIDE, SIDE), exif=True))
    except DataError:
        return ""
    image.thumbnail((SIDE, SIDE))
    buffer = io.BytesIO()
    image.save(buffer, "JPEG", quality=QUALITY)
    return base64.b64encode(buffer.getvalue()).decode()
