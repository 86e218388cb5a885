"""What is on a wall: the style that neighbours share, and the windows, crowns and ornaments that tell them apart."""

from dataclasses import dataclass, replace

from vitret.minitown.dice import Dice
from vitret.minitown.forms import Colour, Wall

TURNS = ("palace", "tower", "church", "rotunda", "palace", "gate", "church", "tower", "bridge", "rotunda")
WINDOWS = ("rect", "tall", "arched", "gothic", "round", "paired", "square", "band", "lozenge", "loggia")
HOODS = ("none", "flat", "triangle", "bow")
EDGES = ("none", "quoins", "pilasters", "columns")
CROWNS = ("plain", "dentils", "zigzag", "discs", "balustrade", "battlements")
ORNAMENTS = ("clock", "rose", "shield", "sun", "star", "cross", "niche", "banner", "diamond", "rings")
PLACES = (0.2, 0.35, 0.5, 0.5, 0.65, 0.8)
MASONRY = ("plaster", "stone", "brick", "stripes", "timber")
# wall, trim, roof. Few palettes for many quarters: colour alone must not tell landmarks apart.
PALETTES: tuple[tuple[Colour, Colour, Colour], ...] = (
    ((205, 180, 135), (232, 216, 182), (120, 82, 62)),
    ((164, 92, 70), (222, 206, 184), (88, 92, 100)),
    ((228, 218, 196), (188, 170, 140), (150, 80, 60)),
    ((196, 166, 110), (236, 226, 204), (96, 100, 96)),
    ((160, 158, 154), (206, 204, 200), (78, 88, 98)),
    ((214, 176, 160), (240, 230, 218), (112, 74, 62)),
    ((178, 190, 168), (232, 232, 216), (92, 110, 98)),
    ((172, 184, 198), (230, 232, 234), (84, 88, 104)),
    ((214, 150, 84), (240, 220, 176), (110, 60, 48)),
    ((120, 96, 88), (198, 178, 152), (70, 78, 74)),
    ((232, 208, 140), (250, 244, 226), (70, 110, 120)),
    ((142, 160, 150), (214, 208, 184), (140, 70, 52)),
)


@dataclass(frozen=True, kw_only=True)
class Style:
    """What the neighbours of a quarter share."""

    kind: str
    wall: Colour
    trim: Colour
    roof: Colour
    masonry: str
    windows: tuple[str, ...]
    width: float
    height: float
    depth: float


def style(seed: int, district: int, quarter: int) -> Style:
    """What the four neighbours of a quarter have in common."""
    dice = Dice(seed, district, quarter)
    wall, trim, roof = dice.pick(PALETTES)
    return Style(
        # In turn, so that a small town has every kind.
        kind=TURNS[(quarter + district) % len(TURNS)],
        wall=near(wall, dice, 16),
        trim=near(trim, dice, 16),
        roof=near(roof, dice, 24),
        masonry=dice.pick(MASONRY),
        windows=tuple(dice.sample(WINDOWS, 3)),
        width=dice.uniform(0.8, 1.25),
        height=dice.uniform(0.8, 1.25),
        depth=dice.uniform(0.8, 1.25),
    )


def near(colour: Colour, dice: Dice, reach: int) -> Colour:
    """A colour whose channels are each up to `reach` away."""
    red, green, blue = (min(255, max(0, c + dice.integer(-reach, reach))) for c in colour)
    return red, green, blue


def facade(s: Style, dice: Dice, *, bays: tuple[int, int], storeys: tuple[int, int]) -> Wall:
    """A wall with a choice of windows, hoods, edges, crown and ornaments of its own."""
    count = dice.integer(*bays)
    rows = tuple(dice.pick(s.windows) for _ in range(dice.integer(*storeys)))
    return Wall(
        masonry=s.masonry,
        wall=s.wall,
        trim=s.trim,
        bays=count,
        rows=rows,
        hood=dice.pick(HOODS),
        edge=dice.pick(EDGES),
        crown=dice.pick(CROWNS),
        door=dice.integer(0, count - 1) if dice.chance(0.75) else -1,
        door_shape=dice.pick(("arched", "rect", "gothic")),
        balcony=dice.integer(1, len(rows) - 1) if len(rows) > 1 and dice.chance(0.4) else -1,
        ornaments=ornaments(dice, dice.integer(0, 2)),
        seed=dice.integer(0, 2**31 - 1),
    )


def ornaments(dice: Dice, count: int) -> tuple[tuple[str, float, float, float], ...]:
    return tuple(
        (dice.pick(ORNAMENTS), dice.pick(PLACES), dice.uniform(0.4, 0.8), dice.uniform(0.14, 0.24))
        for _ in range(count)
    )


def other_side(wall: Wall, dice: Dice, bays: int) -> Wall:
    """A side or back: the same storeys, its own number of bays and one more choice of windows."""
    rows = list(wall.rows)
    if rows and dice.chance(0.6):
        rows[dice.integer(0, len(rows) - 1)] = dice.pick(WINDOWS)
    return replace(
        wall,
        bays=max(1, bays),
        rows=tuple(rows),
        door=0 if dice.chance(0.2) else -1,
        balcony=-1,
        ornaments=ornaments(dice, dice.integer(0, 1)),
        seed=dice.integer(0, 2**31 - 1),
    )


def roofing(s: Style, dice: Dice, **cut: object) -> Wall:
    base = Wall(surface="roof", wall=s.roof, trim=s.trim, seed=dice.integer(0, 2**31 - 1))
    return replace(base, **cut)  # type: ignore[arg-type]
