"""The forms buildings are put together from: boxes, drums, domes, spires and roofs, all of flat painted panels.

Lengths are metres; x runs to the right along a building's front, y away from the square before it, z up.
"""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import cached_property
from math import cos, pi, sin

import numpy as np
from numpy.typing import NDArray

Colour = tuple[int, int, int]
Point = tuple[float, float, float]


@dataclass(frozen=True, kw_only=True)
class Wall:
    """What is painted on a panel.

    `rows` are the windows of each storey, lowest first; `ornaments` are (name, x, y, size), fractions of the wall
    with y from its foot; `shape` cuts the panel: rect, triangle, taper (to `top` of its width) or arches.
    """

    surface: str = "wall"
    masonry: str = "plaster"
    wall: Colour
    trim: Colour
    bays: int = 1
    rows: tuple[str, ...] = ()
    hood: str = "none"
    edge: str = "none"
    crown: str = "plain"
    door: int = -1
    door_shape: str = "arched"
    balcony: int = -1
    ornaments: tuple[tuple[str, float, float, float], ...] = ()
    shape: str = "rect"
    top: float = 1.0
    seed: int = 0


@dataclass(frozen=True, kw_only=True)
class Panel:
    """A painted parallelogram: its points are foot + s·along + t·up for s, t in 0…1, seen from one side only."""

    foot: Point
    along: Point
    up: Point
    wall: Wall

    @cached_property
    def size(self) -> tuple[float, float]:
        return float(np.linalg.norm(self.along)), float(np.linalg.norm(self.up))

    @cached_property
    def normal(self) -> NDArray[np.float64]:
        """Unit vector to the side from which the panel is seen."""
        across = np.cross(self.along, self.up)
        return np.asarray(across / np.linalg.norm(across), dtype=np.float64)


def box(
    corner: Point, width: float, depth: float, *, height: float, walls: tuple[Wall, Wall, Wall, Wall]
) -> Iterator[Panel]:
    """Four upright walls: front, right, back, left; `corner` is the front left foot."""
    x, y, z = corner
    up = (0.0, 0.0, height)
    front, right, back, left = walls
    yield Panel(foot=(x, y, z), along=(width, 0, 0), up=up, wall=front)
    yield Panel(foot=(x + width, y, z), along=(0, depth, 0), up=up, wall=right)
    yield Panel(foot=(x + width, y + depth, z), along=(-width, 0, 0), up=up, wall=back)
    yield Panel(foot=(x, y + depth, z), along=(0, -depth, 0), up=up, wall=left)


def lid(corner: Point, width: float, depth: float, wall: Wall) -> Panel:
    return Panel(
        foot=corner, along=(width, 0, 0), up=(0, depth, 0), wall=replace(wall, shape="rect", top=1.0)
    )


def ring(
    centre: Point, sides: int, radius: float, *, height: float, top: float, walls: tuple[Wall, ...]
) -> Iterator[Panel]:
    """A drum, a cone or a slice of a dome: `sides` panels that taper to `top` of their width."""
    cx, cy, cz = centre
    shape = "rect" if top == 1 else "triangle" if top == 0 else "taper"
    for i in range(sides):
        a, b = (2 * pi * (i + k - 0.5) / sides - pi / 2 for k in (0, 1))
        x0, y0, x1, y1 = (
            cx + radius * cos(a),
            cy + radius * sin(a),
            cx + radius * cos(b),
            cy + radius * sin(b),
        )
        inward_x, inward_y = cx - (x0 + x1) / 2, cy - (y0 + y1) / 2
        yield Panel(
            foot=(x0, y0, cz),
            along=(x1 - x0, y1 - y0, 0),
            up=(inward_x * (1 - top), inward_y * (1 - top), height),
            wall=replace(walls[i % len(walls)], shape=shape, top=top),
        )


def spire(centre: Point, radius: float, height: float, *, sides: int, roof: Wall) -> Iterator[Panel]:
    yield from ring(centre, sides, radius, height=height, top=0.0, walls=(roof,))


def cupola(centre: Point, radius: float, rise: float, *, sides: int, roof: Wall) -> Iterator[Panel]:
    """A dome of three tapering slices: a quarter ellipse of `rise` over `radius`."""
    x, y, z = centre
    for low, high in ((0.0, 0.45), (0.45, 0.8), (0.8, 1.0)):
        inner, outer = (1 - high**2) ** 0.5, (1 - low**2) ** 0.5
        yield from ring(
            (x, y, z + rise * low),
            sides,
            radius * outer,
            height=rise * (high - low),
            top=inner / outer,
            walls=(roof,),
        )


def gable(
    corner: Point, width: float, depth: float, *, rise: float, ends: Wall, roof: Wall
) -> Iterator[Panel]:
    """A saddle roof whose ridge runs along x; `ends` are the triangles left and right."""
    x, y, z = corner
    half = depth / 2
    yield Panel(foot=(x, y, z), along=(width, 0, 0), up=(0, half, rise), wall=roof)
    yield Panel(foot=(x + width, y + depth, z), along=(-width, 0, 0), up=(0, -half, rise), wall=roof)
    triangle = replace(ends, shape="triangle", top=0.0)
    yield Panel(foot=(x + width, y, z), along=(0, depth, 0), up=(0, 0, rise), wall=triangle)
    yield Panel(foot=(x, y + depth, z), along=(0, -depth, 0), up=(0, 0, rise), wall=triangle)


def gable_front(
    corner: Point, width: float, depth: float, *, rise: float, ends: Wall, roof: Wall
) -> Iterator[Panel]:
    """A saddle roof whose ridge runs along y, with its gable to the front."""
    x, y, z = corner
    half = width / 2
    yield Panel(foot=(x + width, y, z), along=(0, depth, 0), up=(-half, 0, rise), wall=roof)
    yield Panel(foot=(x, y + depth, z), along=(0, -depth, 0), up=(half, 0, rise), wall=roof)
    triangle = replace(ends, shape="triangle", top=0.0)
    yield Panel(foot=(x, y, z), along=(width, 0, 0), up=(0, 0, rise), wall=triangle)
    yield Panel(foot=(x + width, y + depth, z), along=(-width, 0, 0), up=(0, 0, rise), wall=triangle)


def hip(corner: Point, width: float, depth: float, *, rise: float, top: float, roof: Wall) -> Iterator[Panel]:
    """Four sloping planes over a rectangle, up to `top` of its sides; 0 is a pyramid."""
    x, y, z = corner
    shape = "triangle" if top == 0 else "taper"
    cut = replace(roof, shape=shape, top=top)
    dx, dy = width / 2 * (1 - top), depth / 2 * (1 - top)
    yield Panel(foot=(x, y, z), along=(width, 0, 0), up=(0, dy, rise), wall=cut)
    yield Panel(foot=(x + width, y, z), along=(0, depth, 0), up=(-dx, 0, rise), wall=cut)
    yield Panel(foot=(x + width, y + depth, z), along=(-width, 0, 0), up=(0, -dy, rise), wall=cut)
    yield Panel(foot=(x, y + depth, z), along=(0, -depth, 0), up=(dx, 0, rise), wall=cut)
