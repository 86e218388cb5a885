"""The kinds of building: palaces, towers, churches, rotundas, bridges and gates, as panels in space."""

from collections.abc import Iterator
from dataclasses import replace

from vitret.minitown.dice import Dice
from vitret.minitown.facades import ORNAMENTS, Style, facade, ornaments, other_side, roofing
from vitret.minitown.forms import (
    Panel,
    Point,
    Wall,
    box,
    cupola,
    gable,
    gable_front,
    hip,
    lid,
    ring,
    spire,
)


def _sides(front: Wall, dice: Dice, width: float, depth: float) -> tuple[Wall, Wall, Wall, Wall]:
    per_bay = width / front.bays
    side = other_side(front, dice, round(depth / per_bay))
    return front, side, other_side(front, dice, front.bays), other_side(side, dice, side.bays)


def _covering(s: Style, dice: Dice, corner: Point, width: float, depth: float) -> Iterator[Panel]:
    """One of the roofs a house can have."""
    roof = roofing(s, dice)
    plain = Wall(masonry=s.masonry, wall=s.wall, trim=s.trim, ornaments=ornaments(dice, dice.integer(0, 1)))
    kind = dice.pick(("gable", "hip", "mansard", "flat", "pyramid"))
    if kind == "gable":
        yield from gable(corner, width, depth, rise=depth * dice.uniform(0.3, 0.55), ends=plain, roof=roof)
    elif kind == "hip":
        yield from hip(corner, width, depth, rise=depth * dice.uniform(0.25, 0.45), top=0.4, roof=roof)
    elif kind == "mansard":
        dormers = replace(roof, bays=dice.integer(2, 7), rows=(dice.pick(("arched", "round", "square")),))
        yield from hip(corner, width, depth, rise=dice.uniform(3.5, 6), top=0.82, roof=dormers)
    elif kind == "pyramid":
        yield from hip(corner, width, depth, rise=depth * dice.uniform(0.5, 0.8), top=0.0, roof=roof)
    else:
        yield lid(corner, width, depth, roof)


def _body(
    s: Style, dice: Dice, corner: Point, width: float, depth: float, *, height: float, front: Wall
) -> list[Panel]:
    walls = _sides(front, dice, width, depth)
    return list(box(corner, width, depth, height=height, walls=walls))


def _turret(
    s: Style, dice: Dice, foot: Point, width: float, *, height: float, wall: Wall, cap: str
) -> list[Panel]:
    """A slender square tower; `foot` is the centre of its base, `cap` its roof: spire, dome, flat or pyramid."""
    x, y, z = foot
    panels = _body(s, dice, (x - width / 2, y - width / 2, z), width, width, height=height, front=wall)
    roof = roofing(s, dice)
    top = (x, y, z + height)
    if cap == "spire":
        panels += spire(top, width * 0.66, width * 2.2, sides=4, roof=roof)
    elif cap == "dome":
        panels += cupola(top, width * 0.56, width * 0.7, sides=8, roof=roof)
    elif cap == "pyramid":
        panels += spire(top, width * 0.8, width * 0.8, sides=4, roof=roof)
    else:
        panels.append(lid((x - width / 2, y - width / 2, z + height), width, width, roof))
    return panels


def _palace(s: Style, dice: Dice) -> Iterator[Panel]:
    width, depth, height = 32 * s.width, 15 * s.depth, 14 * s.height
    front = facade(s, dice, bays=(4, 9), storeys=(2, 4))
    corner = (-width / 2, 0.0, 0.0)
    yield from _body(s, dice, corner, width, depth, height=height, front=front)
    yield from _covering(s, dice, (corner[0], 0.0, height), width, depth)
    if dice.chance(0.5):
        # A pavilion before the middle, or off it: nothing says that architects love symmetry.
        own, x = width * dice.uniform(0.22, 0.4), width * dice.pick((0.0, 0.0, -0.25, 0.25))
        tall = height * dice.uniform(0.85, 1.3)
        middle = facade(s, dice, bays=(1, 3), storeys=(len(front.rows), len(front.rows)))
        yield from _body(s, dice, (x - own / 2, -2.5, 0.0), own, depth / 2, height=tall, front=middle)
        crown = Wall(
            masonry=s.masonry, wall=s.wall, trim=s.trim, ornaments=((dice.pick(ORNAMENTS), 0.5, 0.38, 0.24),)
        )
        roof = roofing(s, dice)
        yield from gable_front(
            (x - own / 2, -2.5, tall), own, depth / 2, rise=own * 0.32, ends=crown, roof=roof
        )
    towers = dice.weighted((("none", 3), ("left", 1), ("right", 1), ("both", 2)))
    if towers != "none":
        cap, tall = dice.pick(("spire", "dome", "flat", "pyramid")), height * dice.uniform(1.2, 1.8)
        slim = facade(s, dice, bays=(1, 2), storeys=(3, 5))
        for side, x in (("left", -width / 2), ("right", width / 2)):
            if towers in (side, "both"):
                yield from _turret(
                    s, dice, (x, 1.5, 0.0), 5.5, height=tall, wall=replace(slim, door=-1), cap=cap
                )


def _tower(s: Style, dice: Dice) -> Iterator[Panel]:
    width, z = 10.5 * s.width, 0.0
    tiers = dice.integer(2, 4)
    for tier in range(tiers):
        height = 34 * s.height / tiers * dice.uniform(0.75, 1.25)
        front = facade(s, dice, bays=(1, 3), storeys=(1, 3))
        if tier:
            front = replace(front, door=-1)
        yield from _body(s, dice, (-width / 2, -width / 2, z), width, width, height=height, front=front)
        z += height
        yield lid((-width / 2, -width / 2, z), width, width, roofing(s, dice))
        last = width
        width *= dice.uniform(0.68, 0.98)
    yield from _turret_cap(s, dice, (0.0, 0.0, z), last)


def _turret_cap(s: Style, dice: Dice, top: Point, width: float) -> Iterator[Panel]:
    roof = roofing(s, dice)
    kind = dice.pick(("spire", "pyramid", "dome", "onion", "flat"))
    if kind == "spire":
        yield from spire(top, width * 0.7, width * dice.uniform(1.2, 2.2), sides=dice.pick((4, 8)), roof=roof)
    elif kind == "pyramid":
        yield from spire(top, width * 0.75, width * 0.6, sides=4, roof=roof)
    elif kind == "dome":
        yield from cupola(top, width * 0.52, width * 0.5, sides=8, roof=roof)
    elif kind == "onion":
        x, y, z = top
        drum = (Wall(wall=s.wall, trim=s.trim, masonry=s.masonry, bays=1, rows=("arched",), seed=7),)
        yield from ring(top, 8, width * 0.38, height=width * 0.4, top=1.0, walls=drum)
        yield from cupola((x, y, z + width * 0.4), width * 0.46, width * 0.6, sides=8, roof=roof)
        yield from spire((x, y, z + width * 0.95), width * 0.1, width * 0.6, sides=4, roof=roof)


def _church(s: Style, dice: Dice) -> Iterator[Panel]:
    width, depth, height = 14 * s.width, 28 * s.depth, 12 * s.height
    front = facade(s, dice, bays=(1, 3), storeys=(1, 3))
    big = (dice.pick(("rose", "rings", "star", "cross", "sun", "clock")), 0.5, dice.uniform(0.6, 0.75), 0.2)
    front = replace(front, door=front.bays // 2, ornaments=(big,))
    yield from _body(s, dice, (-width / 2, 0.0, 0.0), width, depth, height=height, front=front)
    ends = replace(front, bays=1, rows=(), door=-1, ornaments=((dice.pick(ORNAMENTS), 0.5, 0.35, 0.2),))
    rise = width * dice.uniform(0.4, 0.8)
    yield from gable_front(
        (-width / 2, 0.0, height), width, depth, rise=rise, ends=ends, roof=roofing(s, dice)
    )
    wide = 5.5 * s.width
    tall, cap = height * dice.uniform(1.3, 2.1), dice.pick(("spire", "dome", "flat", "pyramid"))
    bell = replace(facade(s, dice, bays=(1, 2), storeys=(3, 5)), door=-1)
    for x in dice.pick(((-1,), (1,), (-1, 1), (-1, 1), ())):
        grown = tall * dice.pick((1.0, 1.0, 0.75))
        yield from _turret(
            s, dice, (x * (width + wide) / 2, 2.0, 0.0), wide, height=grown, wall=bell, cap=cap
        )
    if dice.chance(0.3):
        yield from spire(
            (0.0, depth * 0.6, height + rise * 0.8), 2.2, height * 0.8, sides=8, roof=roofing(s, dice)
        )


def _rotunda(s: Style, dice: Dice) -> Iterator[Panel]:
    width, height = 26 * s.width, 9 * s.height
    front = facade(s, dice, bays=(3, 7), storeys=(1, 2))
    yield from _body(s, dice, (-width / 2, -width / 2, 0.0), width, width, height=height, front=front)
    yield lid((-width / 2, -width / 2, height), width, width, roofing(s, dice))
    if dice.chance(0.6):
        own = width * dice.uniform(0.35, 0.6)
        porch = replace(facade(s, dice, bays=(2, 5), storeys=(1, 1)), edge="columns", rows=("loggia",))
        crown = Wall(masonry=s.masonry, wall=s.wall, trim=s.trim, ornaments=ornaments(dice, 1))
        yield from _body(s, dice, (-own / 2, -width / 2 - 4, 0.0), own, 4.5, height=height * 0.8, front=porch)
        foot = (-own / 2, -width / 2 - 4, height * 0.8)
        yield from gable_front(foot, own, 5, rise=own * 0.25, ends=crown, roof=roofing(s, dice))
    radius, drum = width * dice.uniform(0.3, 0.42), height * dice.uniform(0.4, 1.0)
    belt = tuple(
        replace(facade(s, dice, bays=(1, 2), storeys=(1, 1)), door=-1, ornaments=())
        for _ in range(dice.pick((1, 2)))
    )
    yield from ring((0.0, 0.0, height), 8, radius, height=drum, top=1.0, walls=belt)
    rise, ribs = radius * dice.uniform(0.7, 1.3), roofing(s, dice)
    yield from cupola((0.0, 0.0, height + drum), radius * 1.04, rise, sides=8, roof=ribs)
    top = height + drum + rise
    if dice.chance(0.7):
        lamp = (Wall(wall=s.trim, trim=s.wall, bays=1, rows=("arched",), seed=3),)
        yield from ring((0.0, 0.0, top - 0.4), 6, radius * 0.16, height=radius * 0.4, top=1.0, walls=lamp)
        yield from spire((0.0, 0.0, top - 0.4 + radius * 0.4), radius * 0.2, radius * 0.4, sides=6, roof=ribs)
    cap, tall = dice.pick(("spire", "dome", "pyramid")), height * dice.uniform(1.5, 2.6)
    slim = replace(facade(s, dice, bays=(1, 1), storeys=(2, 5)), door=-1)
    for x in dice.pick(((), (-1, 1), (-1, 1), (1,))):
        yield from _turret(
            s, dice, (x * (width / 2 + 2), -width / 2 + 3, 0.0), 3.2, height=tall, wall=slim, cap=cap
        )


def _bridge(s: Style, dice: Dice) -> Iterator[Panel]:
    length, depth, height = 46 * s.width, 7 * s.depth, 10 * s.height
    sheet = replace(
        facade(s, dice, bays=(2, 5), storeys=(1, 1)), rows=(), door=-1, shape="arches",
        top=dice.uniform(0.55, 0.8), ornaments=ornaments(dice, dice.integer(0, 2)),
    )  # fmt: skip
    end = Wall(masonry=s.masonry, wall=s.wall, trim=s.trim, seed=5)
    walls = (sheet, end, replace(sheet, ornaments=()), end)
    yield from box((-length / 2, 0.0, 0.0), length, depth, height=height, walls=walls)
    yield lid((-length / 2, 0.0, height), length, depth, roofing(s, dice))
    cap, tall = dice.pick(("spire", "dome", "flat", "pyramid")), height * dice.uniform(1.6, 2.4)
    gatehouse = facade(s, dice, bays=(1, 2), storeys=(2, 4))
    for x in dice.pick(((-0.5, 0.5), (-0.5,), (0.5,), (-0.2, 0.2), (0.0,), (-0.5, 0.5))):
        foot = (x * length, depth / 2 - 0.6, 0.0)
        yield from _turret(
            s, dice, foot, depth * 1.15, height=tall, wall=replace(gatehouse, door=-1), cap=cap
        )


def _gate(s: Style, dice: Dice) -> Iterator[Panel]:
    width, depth, height = 22 * s.width, 8 * s.depth, 17 * s.height
    passages = dice.pick((1, 1, 2, 3))
    front = replace(
        facade(s, dice, bays=(passages, passages), storeys=(1, 1)), rows=(), door=-1, shape="arches",
        top=dice.uniform(0.5, 0.72), ornaments=ornaments(dice, dice.integer(1, 3)),
    )  # fmt: skip
    side = replace(
        other_side(front, dice, 1), shape="rect", rows=(dice.pick(s.windows), dice.pick(s.windows))
    )
    back = replace(front, ornaments=ornaments(dice, 1))
    yield from box((-width / 2, 0.0, 0.0), width, depth, height=height, walls=(front, side, back, side))
    attic = replace(facade(s, dice, bays=(2, 6), storeys=(1, 1)), door=-1)
    own, tall = width * dice.uniform(0.5, 1.0), height * dice.uniform(0.2, 0.45)
    yield from _body(s, dice, (-own / 2, 0.4, height), own, depth - 1, height=tall, front=attic)
    yield from _covering(s, dice, (-own / 2, 0.4, height + tall), own, depth - 1)
    cap = dice.pick(("spire", "dome", "flat", "pyramid"))
    slim = replace(facade(s, dice, bays=(1, 1), storeys=(3, 5)), door=-1)
    if dice.chance(0.5):
        for x in (-1, 1):
            foot = (x * (width / 2 + 1.5), depth / 2, 0.0)
            yield from _turret(s, dice, foot, 4.5, height=height * dice.uniform(0.9, 1.3), wall=slim, cap=cap)


BUILDERS = {
    "palace": _palace,
    "tower": _tower,
    "church": _church,
    "rotunda": _rotunda,
    "bridge": _bridge,
    "gate": _gate,
}
