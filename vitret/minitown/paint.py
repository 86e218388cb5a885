"""Paint for walls and roofs: each panel becomes a small picture with masonry, windows, doors, crown and ornaments."""

import numpy as np
from PIL import Image, ImageDraw

from vitret.minitown.dice import Dice
from vitret.minitown.forms import Colour, Panel, Wall
from vitret.minitown.openings import door, outline, shade, window
from vitret.minitown.ornaments import ornament

PIXELS_PER_METRE = 7.5
LARGEST = 340
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
    dark = shade(wall.wall, 0.82)
    if wall.seed % 3:
        for y in range(height, 0, -max(3, round(0.9 * scale))):
            draw.line((0, y, width, y), fill=dark)
    if wall.seed % 3 != 1:
        for x in range(0, width, max(4, round(1.3 * scale))):
            draw.line((x, 0, x, height), fill=dark)
    draw.line((0, height - 1, width, height - 1), fill=shade(wall.wall, 0.6), width=2)


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
        radius = max(3.0, size * min(width, height))
        ornament(draw, wall, name, x * width, (1 - y) * height, radius=radius)


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
    """The windows of all storeys and a door, in a grid of bays."""
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
                door(draw, wall, (cell[0], cell[1], cell[2], foot))
            else:
                window(draw, wall, shape, cell, glass=glass)


def _balcony(
    draw: ImageDraw.ImageDraw, wall: Wall, x0: float, x1: float, *, foot: float, rise: float
) -> None:
    step = max(3.0, rise * 0.8)
    draw.rectangle((x0, foot, x1, foot + max(1.0, rise * 0.3)), fill=shade(wall.trim, 0.85))
    draw.line((x0, foot - rise, x1, foot - rise), fill=shade(wall.trim, 0.5))
    x = x0
    while x < x1:
        draw.line((x, foot - rise, x, foot), fill=shade(wall.trim, 0.5))
        x += step


def _edges(draw: ImageDraw.ImageDraw, wall: Wall, width: int, height: int, *, scale: float) -> None:
    dark = shade(wall.trim, 0.82)
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
    dark = shade(wall.trim, 0.62)
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
            draw.rectangle((x0, 0, x1, rise * 0.6), fill=shade(wall.wall, 0.45))
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
            outline(style, (x0 - rim, y0 - rim, x1 + rim, y1)),
            fill=wall.trim,
            outline=shade(wall.trim, 0.7),
        )


def _cut(wall: Wall, width: int, height: int) -> Image.Image:
    """The panel's outline as a mask, 255 inside."""
    if wall.shape == "rect":
        return Image.new("L", (width, height), 255)
    if wall.shape == "arches":
        mask = Image.new("L", (width, height), 255)
        holes = ImageDraw.Draw(mask)
        for box in _arch_boxes(wall, width, height):
            holes.polygon(outline("gothic" if wall.door_shape == "gothic" else "arched", box), fill=0)
        return mask
    mask = Image.new("L", (width, height), 0)
    inset = width * (1 - wall.top) / 2
    ImageDraw.Draw(mask).polygon([(0, height), (inset, 0), (width - inset, 0), (width, height)], fill=255)
    return mask
