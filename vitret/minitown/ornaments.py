"""What a visitor remembers of a wall: clocks, roses, shields, stars and the like."""

from math import cos, pi, sin

from PIL import ImageDraw

from vitret.minitown.forms import Colour, Wall
from vitret.minitown.openings import outline, shade


def ornament(draw: ImageDraw.ImageDraw, wall: Wall, name: str, x: float, y: float, *, radius: float) -> None:
    """Draw one ornament around (x, y), pixels."""
    r, dark, bright = radius, shade(wall.wall, 0.42), wall.trim
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
        draw.polygon(outline("arched", (x - 0.55 * r, y - r, x + 0.55 * r, y + r)), fill=dark, outline=bright)
        draw.ellipse((x - 0.2 * r, y - 0.6 * r, x + 0.2 * r, y - 0.2 * r), fill=bright)
        draw.polygon([(x, y - 0.4 * r), (x + 0.35 * r, y + r), (x - 0.35 * r, y + r)], fill=bright)
    elif name == "banner":
        draw.rectangle((x - 0.4 * r, y - r, x + 0.4 * r, y + r), fill=dark, outline=bright, width=thick)
        draw.rectangle((x - 0.4 * r, y - 0.3 * r, x + 0.4 * r, y + 0.3 * r), fill=bright)
    else:
        draw.polygon([(x, y - r), (x + r, y), (x, y + r), (x - r, y)], fill=bright, outline=dark, width=thick)
        draw.polygon([(x, y - r / 2), (x + r / 2, y), (x, y + r / 2), (x - r / 2, y)], fill=dark)
