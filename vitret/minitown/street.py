"""All that is not the landmark: light, sky, distant roofs, ground, what stands before the lens, rain and snow."""

from dataclasses import dataclass
from functools import lru_cache
from math import atan2, degrees

import numpy as np
from PIL import Image, ImageDraw, ImageFilter

from vitret.minitown.camera import Occluder, Shot, View
from vitret.minitown.dice import Dice
from vitret.minitown.facades import PALETTES
from vitret.minitown.forms import Colour


@dataclass(frozen=True, kw_only=True)
class Air:
    """How a time of day looks: the sky's upper and lower colour, light on walls, how strong the sun's side is."""

    high: Colour
    low: Colour
    light: tuple[float, float, float]
    sun: float


AIRS = {
    "day": Air(high=(96, 150, 214), low=(196, 218, 236), light=(1.0, 1.0, 0.98), sun=0.4),
    "overcast": Air(high=(168, 174, 182), low=(206, 208, 210), light=(0.86, 0.88, 0.92), sun=0.08),
    "golden": Air(high=(120, 140, 180), low=(246, 196, 128), light=(1.06, 0.94, 0.76), sun=0.5),
    "dusk": Air(high=(44, 52, 96), low=(200, 130, 120), light=(0.78, 0.66, 0.74), sun=0.15),
    "night": Air(high=(10, 12, 28), low=(38, 36, 56), light=(0.8, 0.66, 0.46), sun=0.25),
}


def lit(colour: Colour, air: Air, factor: float = 1.0) -> Colour:
    """A colour in the light of the hour."""
    red, green, blue = (min(255, round(c * a * factor)) for c, a in zip(colour, air.light, strict=True))
    return red, green, blue


def relit(
    picture: Image.Image, factors: tuple[float, ...], add: tuple[float, ...] = (0.0, 0.0, 0.0)
) -> Image.Image:
    """Each channel of an RGB picture times its factor plus its addend."""
    (r, g, b), (u, v, w) = factors, add
    return picture.convert("RGB", (r, 0, 0, u, 0, g, 0, v, 0, 0, b, w))


def sky(air: Air, size: tuple[int, int], dice: Dice, *, clouds: bool) -> Image.Image:
    """A graded sky with a few soft clouds."""
    width, height = size
    ramp = np.linspace(0, 1, height)[:, None] * (np.array(air.low) - air.high) + air.high
    small = Image.fromarray(np.repeat(ramp[::8, None, :], 2, axis=1).astype(np.uint8))
    sky = small.resize((max(2, width // 8), max(2, height // 8)), Image.Resampling.BILINEAR)
    if clouds:
        draw, pale = ImageDraw.Draw(sky), lit((236, 238, 242), air)
        for _ in range(dice.integer(0, 6)):
            x, y = dice.uniform(0, sky.width), dice.uniform(0, sky.height * 0.7)
            w, h = dice.uniform(3, sky.width / 3), dice.uniform(1, sky.height / 8)
            draw.ellipse((x - w, y - h, x + w, y + h), fill=pale)
        sky = sky.filter(ImageFilter.BoxBlur(1))
    return sky.resize(size, Image.Resampling.BILINEAR)


@lru_cache(maxsize=8)
def _roofline(town: int) -> Image.Image:
    """A strip of distant houses all around, RGBA; 3 pixels a degree."""
    dice = Dice(town, 77)
    strip = Image.new("RGBA", (1080, 72))
    draw = ImageDraw.Draw(strip)
    x = 0
    while x < strip.width:
        width, height = dice.integer(14, 46), dice.integer(14, 46)
        wall, _, roof = dice.pick(PALETTES)
        top = strip.height - height
        draw.rectangle((x, top, x + width, strip.height), fill=(*wall, 255))
        if dice.chance(0.6):
            rise = dice.integer(4, 12)
            draw.polygon([(x, top), (x + width, top), (x + width // 2, top - rise)], fill=(*roof, 255))
        for row in range(top + 4, strip.height - 4, 8):
            for column in range(x + 3, x + width - 3, 7):
                draw.rectangle((column, row, column + 2, row + 4), fill=(90, 92, 100, 255))
        x += width + dice.integer(-2, 10)
    return strip


def skyline(
    picture: Image.Image, shot: Shot, camera: View | None, *, horizon: float, town: int, air: Air
) -> None:
    """The distant roofs that this direction and this zoom would show, pasted above the horizon row."""
    strip = _roofline(town)
    heading = shot.azimuth % 360
    if camera is None:
        across = 60.0
    else:
        focal = float(camera.lens[0, 0])
        across = min(140.0, degrees(2 * atan2(shot.width / 2, focal)))
    left = int((heading - across / 2) % 360 * 3)
    columns = max(2, int(across * 3))
    wide = Image.new("RGBA", (columns, strip.height))
    wide.paste(strip, (-left, 0))
    if left + columns > strip.width:
        wide.paste(strip, (strip.width - left, 0))
    scale = picture.width / columns
    tall = max(2, min(int(strip.height * scale), picture.height))
    far = wide.resize((picture.width, tall), Image.Resampling.BILINEAR)
    haze = 0.72 if shot.weather == "fog" else 0.35
    colour = Image.new("RGB", far.size, air.low)
    body = Image.blend(relit(far.convert("RGB"), air.light), colour, haze)
    picture.paste(body, (0, round(horizon) - tall + 4), far.getchannel("A"))


def ground(picture: Image.Image, shot: Shot, *, horizon: float, air: Air, dice: Dice) -> None:
    """Paving, grass, water or snow below the horizon row, sometimes with a road."""
    draw = ImageDraw.Draw(picture)
    width, height = picture.size
    top = round(horizon)
    if top >= height:
        return
    colour = (226, 230, 238) if shot.weather == "snow" else dice.pick(
        ((136, 132, 126), (112, 112, 116), (158, 146, 122), (104, 126, 84), (92, 118, 134))
    )  # fmt: skip
    draw.rectangle((0, top, width, height), fill=lit(colour, air, 0.95))
    y = float(top)
    step = 2.0
    while y < height:
        draw.line(
            (0, y, width, y), fill=lit(colour, air, dice.uniform(0.82, 1.02)), width=max(1, int(step / 3))
        )
        y += step
        step *= 1.5
    if dice.chance(0.5):
        middle = dice.uniform(0, width)
        far, near = dice.uniform(2, 12), dice.uniform(60, 200)
        edge = lit(colour, air, 0.75)
        draw.polygon(
            [(middle - far, top), (middle + far, top), (middle + near, height), (middle - near, height)],
            fill=edge,
        )


def obstacle(picture: Image.Image, occluder: Occluder, *, air: Air, dice: Dice) -> None:
    """Draw an occluder into its box; trees and branches fill the ellipse within it."""
    width, height = picture.size
    x0, y0, x1, y1 = (v * side for v, side in zip(occluder.box, (width, height, width, height), strict=True))
    draw = ImageDraw.Draw(picture)
    kind = occluder.kind
    if kind in ("tree", "branch"):
        green = dice.pick(((58, 92, 44), (80, 108, 50), (120, 96, 40), (46, 78, 52)))
        if kind == "tree":
            trunk = (x1 - x0) * 0.06
            middle = (x0 + x1) / 2
            draw.rectangle(
                (middle - trunk, (y0 + y1) / 2, middle + trunk, height * 1.1), fill=lit((74, 56, 42), air)
            )
        for i in range(26):
            # The leaves fill the ellipse that the camera counts as covered.
            a, part = i * 2.4, (i / 26) ** 0.5 * 0.82
            x = (x0 + x1) / 2 + np.cos(a) * part * (x1 - x0) / 2
            y = (y0 + y1) / 2 + np.sin(a) * part * (y1 - y0) / 2
            w, h = (x1 - x0) * 0.16, (y1 - y0) * 0.16
            draw.ellipse((x - w, y - h, x + w, y + h), fill=lit(green, air, dice.uniform(0.7, 1.15)))
    elif kind == "van":
        colour = dice.pick(((190, 40, 36), (230, 230, 226), (40, 80, 140), (220, 180, 60), (60, 110, 70)))
        draw.rounded_rectangle((x0, y0, x1, y1), radius=(y1 - y0) * 0.15, fill=lit(colour, air))
        draw.rectangle(
            (x0 + (x1 - x0) * 0.06, y0 + (y1 - y0) * 0.14, x1 - (x1 - x0) * 0.06, y0 + (y1 - y0) * 0.46),
            fill=(50, 58, 68),
        )
        r = (y1 - y0) * 0.16
        for x in (x0 + (x1 - x0) * 0.22, x1 - (x1 - x0) * 0.22):
            draw.ellipse((x - r, y1 - r, x + r, y1 + r), fill=(24, 24, 26))
    elif kind == "lamp":
        draw.rectangle((x0, y0, x1, y1), fill=(46, 48, 50))
        r = (x1 - x0) * 1.6
        glow = (255, 226, 150) if air.sun < 0.3 else (220, 220, 214)
        draw.ellipse((x0 - r, y0 - r, x1 + r, y0 + r), fill=glow)
    elif kind == "people":
        count = max(1, round((x1 - x0) / (y1 - y0) * 2.2))
        wide = (x1 - x0) / count
        for i in range(count):
            left, head = x0 + i * wide, wide * 0.26
            coat = dice.pick(((40, 44, 60), (150, 50, 48), (200, 190, 170), (60, 90, 70), (90, 70, 110)))
            top = y0 + dice.uniform(0.0, 0.12) * (y1 - y0)
            draw.rectangle((left + wide * 0.08, top + 2 * head, left + wide * 0.92, y1), fill=lit(coat, air))
            draw.ellipse(
                (left + wide / 2 - head, top, left + wide / 2 + head, top + 2 * head),
                fill=lit((205, 160, 130), air),
            )
    else:
        shade = dice.pick(((96, 78, 66), (70, 72, 78), (140, 124, 100)))
        draw.rectangle((x0, y0, x1, y1), fill=lit(shade, air, 0.7))
        for y in range(int(y0), int(y1), 14):
            draw.line((x0, y, x1, y), fill=lit(shade, air, 0.55))


def fall(picture: Image.Image, weather: str, dice: Dice) -> None:
    """Rain or snow before the lens."""
    draw = ImageDraw.Draw(picture)
    slant = dice.uniform(-2, 2)
    for _ in range(dice.integer(40, 110)):
        x, y = dice.uniform(0, picture.width), dice.uniform(0, picture.height)
        if weather == "snow":
            draw.ellipse((x, y, x + 1.2, y + 1.2), fill=(244, 246, 250))
        else:
            draw.line((x, y, x + slant, y + 6), fill=(176, 184, 194))
