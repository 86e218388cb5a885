"""Windows, doors and the hoods above them, painted into the cells of a wall."""

from math import cos, pi, sin

from PIL import ImageDraw

from vitret.minitown.forms import Colour, Wall


def shade(colour: Colour, factor: float) -> Colour:
    """A colour made darker (below 1) or brighter."""
    red, green, blue = (max(0, min(255, round(c * factor))) for c in colour)
    return red, green, blue


def window(
    draw: ImageDraw.ImageDraw,
    wall: Wall,
    shape: str,
    cell: tuple[float, float, float, float],
    *,
    glass: Colour,
) -> None:
    """One window of a named shape in its cell, x0 y0 x1 y1."""
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
    draw.polygon(outline(style, grown), fill=wall.trim)
    draw.polygon(outline(style, box), fill=glass)


def outline(style: str, box: tuple[float, float, float, float]) -> list[tuple[float, float]]:
    """The polygon of an opening: rect, arched or gothic."""
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
    dark = shade(wall.trim, 0.8)
    if wall.hood == "flat":
        draw.rectangle((x0, y0 - rise * 0.5, x1, y0 - 1), fill=wall.trim, outline=dark)
    elif wall.hood == "triangle":
        draw.polygon([(x0, y0), (x1, y0), ((x0 + x1) / 2, y0 - rise)], fill=wall.trim, outline=dark)
    elif wall.hood == "bow":
        draw.pieslice((x0, y0 - rise, x1, y0 + rise), 180, 360, fill=wall.trim, outline=dark)


def door(draw: ImageDraw.ImageDraw, wall: Wall, cell: tuple[float, float, float, float]) -> None:
    """A door that fills its cell."""
    x0, y0, x1, y1 = cell
    inset = 0.14 * (x1 - x0)
    box = (x0 + inset, y0 + 0.1 * (y1 - y0), x1 - inset, y1)
    _opening(draw, wall, wall.door_shape, box, glass=(88, 58, 40) if wall.seed % 2 else (50, 66, 58))
    middle = (x0 + x1) / 2
    draw.line((middle, (y0 + y1) / 2, middle, y1), fill=(30, 26, 24))
