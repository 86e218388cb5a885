"""Paint for walls and roofs: each panel becomes a small picture with masonry, windows, doors, crown and ornaments."""

from math import cos, pi, sin

import numpy as np
from PIL import Image, ImageDraw

from vitret.data.minitown.dice import Dice
from vitret.data.minitown.forms import Colour, Panel, Wall

PIXELS_PER_METRE = 9.0
LARGEST = 400
NIGHT_GLASS: Colour = (250, 214, 130)


def paint(panel: Panel, *, lit: bool) -> Image.Image:
    """The panel's picture, RGBA, its first row the panel's top; `lit` puts light behind some windows."""
    metres = panel.size
    scale = min(PIXELS_PER_METRE, LARGEST / max(metres))
    width, height = (max(6, round(side * scale)) for side in metres)
    wall = panel.wall
    dice = Dice(wall.seed, 1)
    canvas = _masonry(wall, width, height, scale)
    draw = ImageDraw.Draw(canvas)
    if wall.surface == "roof":
        _tiles(draw, wall, width, height, scale)
        _rows(draw, wall, (0.04 * width, 0.2 * height, 0.96 * width, height), dice=dice, lit=lit)
    else:
        _front(draw, wall, width, height, scale=scale, dice=dice, lit=lit)
    canvas.putalpha(_cut(wall, width, height))
    return canvas


def _shade(colour: Colour, factor: float) -> Colour:
    red, green, blue = (max(0, min(255, round(c * factor))) for c in colour)
    return red, green, blue


def _masonry(wall: Wall, width: int, height: int, scale: float) -> Image.Image:
    noise = np.random.Generator(np.random.PCG64(wall.seed))
    base = np.array(wall.wall, dtype=np.float32)
    coarse = noise.standard_normal((height // 6 + 2, width // 6 + 2)).astype(np.float32) * 7
    fine = noise.standard_normal((height, width)).astype(np.float32) * 5
    grain = coarse.repeat(6, axis=0).repeat(6, axis=1)[:height, :width] + fine
    course = np.arange(height - 1, -1, -1)
    if wall.masonry == "stripes":
        band = (course // max(2, round(1.1 * scale))) % 2 == 1
        colours = np.where(band[:, None], np.array(wall.trim, dtype=np.float32) * 0.94, base)
    else:
        colours = np.broadcast_to(base, (height, 3))
    picture = colours[:, None, :] + grain[:, :, None]
    if wall.masonry in ("stone", "brick"):
        step = max(3, round((0.9 if wall.masonry == "stone" else 0.5) * scale))
        length = step * 2
        joint = course % step == 0
        picture[joint] *= 0.86
        offset = (course // step % 2) * (length // 2)
        upright = (np.arange(width)[None, :] + offset[:, None]) % length == 0
        picture[upright & ~joint[:, None]] *= 0.88
    return Image.fromarray(np.clip(picture, 0, 255).astype(np.uint8))


def _tiles(draw: ImageDraw.ImageDraw, wall: Wall, width: int, height: int, scale: float) -> None:
    dark = _shade(wall.wall, 0.82)
    if wall.seed % 3:
        for y in range(height, 0, -max(3, round(0.9 * scale))):
            draw.line((0, y, width, y), fill=dark)
    if wall.seed % 3 != 1:
        for x in range(0, width, max(4, round(1.3 * scale))):
            draw.line((x, 0, x, height), fill=dark)
    draw.line((0, height - 1, width, height - 1), fill=_shade(wall.wall, 0.6), width=2)


def _front(
    draw: ImageDraw.ImageDraw, wall: Wall, width: int, height: int, *, scale: float, dice: Dice, lit: bool
) -> None:
    if wall.masonry == "timber" and wall.shape != "arches":
        _timber(draw, wall, width, height, scale)
    margin = 0.06 * width if wall.edge != "none" else 0.02 * width
    top = (0.1 if wall.crown != "plain" else 0.05) * height
    area = (margin, top, width - margin, 0.97 * height)
    _edges(draw, wall, width, height, scale=scale)
    if wall.shape == "arches":
        _arch_rims(draw, wall, width, height, scale)
    _rows(draw, wall, area, dice=dice, lit=lit)
    if wall.shape not in ("triangle", "taper"):
        _crown(draw, wall, width, height, scale)
    else:
        draw.line((0, height - 1, width, height - 1), fill=wall.trim, width=max(1, round(0.5 * scale)))
    for name, x, y, size in wall.ornaments:
        radius = max(3.0, size * min(width, height) * (1.0 if min(width, height) > 60 else 1.3))
        _ornament(draw, wall, name, x * width, (1 - y) * height, radius=radius)


def _timber(draw: ImageDraw.ImageDraw, wall: Wall, width: int, height: int, scale: float) -> None:
    beam, thick = (84, 62, 46), max(1, round(0.35 * scale))
    storeys = max(1, len(wall.rows))
    for storey in range(storeys + 1):
        y = height * storey / storeys
        draw.line((0, y, width, y), fill=beam, width=thick)
    for column in range(wall.bays + 1):
        x = width * column / wall.bays
        draw.line((x, 0, x, height), fill=beam, width=thick)
    if wall.seed % 2:
        for column in range(wall.bays):
            x0, x1 = width * column / wall.bays, width * (column + 1) / wall.bays
            draw.line((x0, height, x1, height - height / storeys), fill=beam, width=thick)


def _rows(
    draw: ImageDraw.ImageDraw, wall: Wall, area: tuple[float, float, float, float], *, dice: Dice, lit: bool
) -> None:
    """The windows of all storeys and the door, in a grid of bays."""
    if not wall.rows:
        return
    x0, y0, x1, y1 = area
    storey, bay = (y1 - y0) / len(wall.rows), (x1 - x0) / wall.bays
    for level, shape in enumerate(wall.rows):
        foot = y1 - level * storey
        if level and wall.surface == "wall":
            draw.line((x0, foot, x1, foot), fill=wall.trim, width=max(1, round(storey * 0.05)))
        if level == wall.balcony:
            _balcony(draw, wall, x0, x1, foot=foot - 0.06 * storey, rise=0.16 * storey)
        for column in range(wall.bays):
            left = x0 + column * bay
            cell = (left + 0.12 * bay, foot - 0.88 * storey, left + 0.88 * bay, foot - 0.1 * storey)
            glass = NIGHT_GLASS if lit and dice.chance(0.6) else (62, 70, 84)
            if level == 0 and column == wall.door:
                _door(draw, wall, (cell[0], cell[1], cell[2], foot))
            else:
                _window(draw, wall, shape, cell, glass=glass)


def _window(
    draw: ImageDraw.ImageDraw,
    wall: Wall,
    shape: str,
    cell: tuple[float, float, float, float],
    *,
    glass: Colour,
) -> None:
    x0, y0, x1, y1 = cell
    cx, cy, w, h = (x0 + x1) / 2, (y0 + y1) / 2, x1 - x0, y1 - y0
    if shape == "band":
        draw.rectangle(
            (x0 - 0.1 * w, cy - 0.16 * h, x1 + 0.1 * w, cy + 0.2 * h), fill=glass, outline=wall.trim
        )
        return
    if shape in ("round", "lozenge"):
        r = 0.36 * min(w, h)
        if shape == "round":
            draw.ellipse(
                (cx - r, cy - r, cx + r, cy + r), fill=glass, outline=wall.trim, width=max(1, round(r / 4))
            )
        else:
            points = [(cx, cy - 1.3 * r), (cx + r, cy), (cx, cy + 1.3 * r), (cx - r, cy)]
            draw.polygon(points, fill=glass, outline=wall.trim, width=max(1, round(r / 4)))
        return
    if shape == "paired":
        for x in (cx - 0.22 * w, cx + 0.22 * w):
            _opening(draw, wall, "arched", (x - 0.15 * w, y0 + 0.15 * h, x + 0.15 * w, y1), glass=glass)
        _hood(draw, wall, (x0, y0, x1, y1))
        return
    slim = {"rect": 0.27, "tall": 0.2, "arched": 0.27, "gothic": 0.24, "square": 0.3, "loggia": 0.5}[shape]
    reach = min(slim * w, (0.34 if shape == "square" else 0.5) * h) if shape != "loggia" else 0.5 * w
    box = (cx - reach, y0 + 0.12 * h, cx + reach, y1)
    if shape == "square":
        box = (cx - reach, cy - reach, cx + reach, cy + reach)
    elif shape == "tall":
        box = (cx - reach, y0, cx + reach, y1 + 0.06 * h)
    style = {"gothic": "gothic", "arched": "arched", "loggia": "arched"}.get(shape, "rect")
    _opening(draw, wall, style, box, glass=(40, 40, 46) if shape == "loggia" else glass)
    if shape in ("rect", "square") and reach > 3:
        draw.line((cx, box[1], cx, box[3]), fill=wall.trim)
        draw.line((box[0], (box[1] + box[3]) / 2, box[2], (box[1] + box[3]) / 2), fill=wall.trim)
    if shape in ("rect", "tall", "arched"):
        _hood(draw, wall, (box[0] - 0.06 * w, box[1], box[2] + 0.06 * w, box[3]))


def _opening(
    draw: ImageDraw.ImageDraw,
    wall: Wall,
    style: str,
    box: tuple[float, float, float, float],
    *,
    glass: Colour,
) -> None:
    """A framed hole: rect, arched or gothic."""
    frame = max(1.0, 0.12 * (box[2] - box[0]))
    grown = (box[0] - frame, box[1] - frame, box[2] + frame, box[3] + frame)
    draw.polygon(_outline(style, grown), fill=wall.trim)
    draw.polygon(_outline(style, box), fill=glass)


def _outline(style: str, box: tuple[float, float, float, float]) -> list[tuple[float, float]]:
    x0, y0, x1, y1 = box
    half = (x1 - x0) / 2
    if style == "rect":
        return [(x0, y0), (x1, y0), (x1, y1), (x0, y1)]
    if style == "gothic":
        spring = min(y1, y0 + 1.6 * half)
        shoulder = y0 + (spring - y0) * 0.45
        return [(x0, y1), (x0, spring), (x0 + 0.3 * half, shoulder), (x0 + half, y0), (x1 - 0.3 * half, shoulder),
                (x1, spring), (x1, y1)]  # fmt: skip
    spring = min(y1, y0 + half)
    bow = [(x0 + half - half * cos(pi * i / 8), spring - (spring - y0) * sin(pi * i / 8)) for i in range(9)]
    return [(x0, y1), *bow, (x1, y1)]


def _hood(draw: ImageDraw.ImageDraw, wall: Wall, box: tuple[float, float, float, float]) -> None:
    x0, y0, x1, _ = box
    rise = max(2.0, 0.3 * (x1 - x0))
    dark = _shade(wall.trim, 0.8)
    if wall.hood == "flat":
        draw.rectangle((x0, y0 - rise * 0.5, x1, y0 - 1), fill=wall.trim, outline=dark)
    elif wall.hood == "triangle":
        draw.polygon([(x0, y0), (x1, y0), ((x0 + x1) / 2, y0 - rise)], fill=wall.trim, outline=dark)
    elif wall.hood == "bow":
        draw.pieslice((x0, y0 - rise, x1, y0 + rise), 180, 360, fill=wall.trim, outline=dark)


def _door(draw: ImageDraw.ImageDraw, wall: Wall, cell: tuple[float, float, float, float]) -> None:
    x0, y0, x1, y1 = cell
    inset = 0.14 * (x1 - x0)
    box = (x0 + inset, y0 + 0.1 * (y1 - y0), x1 - inset, y1)
    _opening(draw, wall, wall.door_shape, box, glass=(88, 58, 40) if wall.seed % 2 else (50, 66, 58))
    middle = (x0 + x1) / 2
    draw.line((middle, (y0 + y1) / 2, middle, y1), fill=(30, 26, 24))


def _balcony(
    draw: ImageDraw.ImageDraw, wall: Wall, x0: float, x1: float, *, foot: float, rise: float
) -> None:
    step = max(3.0, rise * 0.8)
    draw.rectangle((x0, foot, x1, foot + max(1.0, rise * 0.3)), fill=_shade(wall.trim, 0.85))
    draw.line((x0, foot - rise, x1, foot - rise), fill=_shade(wall.trim, 0.5))
    x = x0
    while x < x1:
        draw.line((x, foot - rise, x, foot), fill=_shade(wall.trim, 0.5))
        x += step


def _edges(draw: ImageDraw.ImageDraw, wall: Wall, width: int, height: int, *, scale: float) -> None:
    dark = _shade(wall.trim, 0.82)
    thick = max(3, round(0.05 * width))
    if wall.edge == "quoins":
        step = max(3, round(0.9 * scale))
        for i, y in enumerate(range(height, 0, -step)):
            reach = thick if i % 2 else round(thick * 0.6)
            draw.rectangle((0, y - step, reach, y - 1), fill=wall.trim, outline=dark)
            draw.rectangle((width - 1 - reach, y - step, width - 1, y - 1), fill=wall.trim, outline=dark)
    elif wall.edge in ("pilasters", "columns"):
        count = wall.bays if wall.edge == "columns" else max(1, wall.bays // 2)
        slim = max(1.5, min(thick / 2, width / count * 0.09))
        for i in range(count + 1):
            x = slim + (width - 2 * slim) * i / count
            draw.rectangle((x - slim, 0.08 * height, x + slim, height), fill=wall.trim)
            draw.line((x + slim, 0.08 * height, x + slim, height), fill=dark)
            draw.rectangle((x - 1.6 * slim, 0.07 * height, x + 1.6 * slim, 0.1 * height), fill=wall.trim)


def _crown(draw: ImageDraw.ImageDraw, wall: Wall, width: int, height: int, scale: float) -> None:
    """The uppermost strip of a wall; on a cut-out sheet also its parapet."""
    rise = min(0.1 * height, max(3.0, 1.1 * scale))
    dark = _shade(wall.trim, 0.62)
    draw.rectangle((0, 0, width, rise), fill=wall.trim)
    count = max(4, round(width / max(4.0, rise)))
    for i in range(count):
        x0, x1 = width * i / count, width * (i + 1) / count
        if wall.crown == "dentils" and i % 2:
            draw.rectangle((x0, rise * 0.4, x1, rise), fill=dark)
        elif wall.crown == "zigzag":
            draw.polygon([(x0, rise), ((x0 + x1) / 2, 0), (x1, rise)], fill=dark)
        elif wall.crown == "discs":
            draw.ellipse((x0 + 1, 1, x1 - 1, rise - 1), fill=dark)
        elif wall.crown == "balustrade":
            draw.rectangle((x0 + (x1 - x0) * 0.3, rise * 0.25, x0 + (x1 - x0) * 0.7, rise * 0.85), fill=dark)
        elif wall.crown == "battlements" and i % 2:
            draw.rectangle((x0, 0, x1, rise * 0.6), fill=_shade(wall.wall, 0.45))
    draw.line((0, rise, width, rise), fill=dark)


def _arch_boxes(wall: Wall, width: int, height: int) -> list[tuple[float, float, float, float]]:
    pitch = width / wall.bays
    pier = 0.13 * pitch
    return [
        (i * pitch + pier, height * (1 - wall.top), (i + 1) * pitch - pier, float(height))
        for i in range(wall.bays)
    ]


def _arch_rims(draw: ImageDraw.ImageDraw, wall: Wall, width: int, height: int, scale: float) -> None:
    rim = max(2.0, 0.7 * scale)
    for x0, y0, x1, y1 in _arch_boxes(wall, width, height):
        style = "gothic" if wall.door_shape == "gothic" else "arched"
        draw.polygon(
            _outline(style, (x0 - rim, y0 - rim, x1 + rim, y1)),
            fill=wall.trim,
            outline=_shade(wall.trim, 0.7),
        )


def _cut(wall: Wall, width: int, height: int) -> Image.Image:
    """The panel's outline as a mask, 255 inside."""
    if wall.shape == "rect":
        return Image.new("L", (width, height), 255)
    if wall.shape == "arches":
        mask = Image.new("L", (width, height), 255)
        holes = ImageDraw.Draw(mask)
        for box in _arch_boxes(wall, width, height):
            holes.polygon(_outline("gothic" if wall.door_shape == "gothic" else "arched", box), fill=0)
        return mask
    mask = Image.new("L", (width, height), 0)
    inset = width * (1 - wall.top) / 2
    ImageDraw.Draw(mask).polygon([(0, height), (inset, 0), (width - inset, 0), (width, height)], fill=255)
    return mask


def _ornament(draw: ImageDraw.ImageDraw, wall: Wall, name: str, x: float, y: float, *, radius: float) -> None:
    r, dark, bright = radius, _shade(wall.wall, 0.42), wall.trim
    disc = (x - r, y - r, x + r, y + r)
    thick = max(1, round(r / 6))

    def spokes(count: int, inner: float, outer: float, colour: Colour) -> None:
        for i in range(count):
            a = 2 * pi * i / count
            ends = (x + inner * cos(a), y + inner * sin(a), x + outer * cos(a), y + outer * sin(a))
            draw.line(ends, fill=colour, width=thick)

    if name == "clock":
        draw.ellipse(disc, fill=(240, 238, 228), outline=dark, width=thick)
        spokes(12, 0.75 * r, 0.95 * r, dark)
        draw.line((x, y, x, y - 0.7 * r), fill=dark, width=thick)
        draw.line((x, y, x + 0.5 * r, y + 0.2 * r), fill=dark, width=thick)
    elif name == "rose":
        draw.ellipse(disc, fill=(58, 62, 92), outline=bright, width=2 * thick)
        spokes(8, 0, 0.9 * r, bright)
        draw.ellipse((x - r / 3, y - r / 3, x + r / 3, y + r / 3), fill=bright)
    elif name == "rings":
        for part, colour in ((1.0, dark), (0.72, bright), (0.44, dark)):
            draw.ellipse((x - r * part, y - r * part, x + r * part, y + r * part), fill=colour)
    elif name == "sun":
        spokes(12, 0.4 * r, r, dark)
        draw.ellipse((x - r / 2, y - r / 2, x + r / 2, y + r / 2), fill=bright, outline=dark, width=thick)
    elif name == "star":
        reach = [r, 0.42 * r] * 5
        tips = [(x + reach[i] * sin(pi * i / 5), y - reach[i] * cos(pi * i / 5)) for i in range(10)]
        draw.polygon(tips, fill=dark, outline=bright)
    elif name == "cross":
        draw.rectangle((x - r / 4, y - r, x + r / 4, y + r), fill=dark)
        draw.rectangle((x - 0.8 * r, y - r / 2, x + 0.8 * r, y), fill=dark)
    elif name == "shield":
        left, right, low = x - 0.8 * r, x + 0.8 * r, y + 0.2 * r
        field = [(left, y - r), (right, y - r), (right, low), (x, y + r), (left, low)]
        draw.polygon(field, fill=bright, outline=dark, width=thick)
        draw.line((x - 0.8 * r, y - r, x + 0.5 * r, y + 0.6 * r), fill=dark, width=2 * thick)
    elif name == "niche":
        draw.polygon(
            _outline("arched", (x - 0.55 * r, y - r, x + 0.55 * r, y + r)), fill=dark, outline=bright
        )
        draw.ellipse((x - 0.2 * r, y - 0.6 * r, x + 0.2 * r, y - 0.2 * r), fill=bright)
        draw.polygon([(x, y - 0.4 * r), (x + 0.35 * r, y + r), (x - 0.35 * r, y + r)], fill=bright)
    elif name == "banner":
        draw.rectangle((x - 0.4 * r, y - r, x + 0.4 * r, y + r), fill=dark, outline=bright, width=thick)
        draw.rectangle((x - 0.4 * r, y - 0.3 * r, x + 0.4 * r, y + 0.3 * r), fill=bright)
    else:
        draw.polygon([(x, y - r), (x + r, y), (x, y + r), (x - r, y)], fill=bright, outline=dark, width=thick)
        draw.polygon([(x, y - r / 2), (x + r / 2, y), (x, y + r / 2), (x - r / 2, y)], fill=dark)
