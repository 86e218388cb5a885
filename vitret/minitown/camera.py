"""The virtual camera: where a photographer stands, what the picture frames, and what of the landmark it shows.

A pinhole with a shifted principal point (a crop of a larger picture). Everything here is geometry: judgements and
pairs come from it and never look at a pixel. Pictures are measured in pixels, x to the right, y down.
"""

from dataclasses import dataclass
from functools import lru_cache
from math import cos, radians, sin

import numpy as np
from numpy.typing import NDArray

from vitret.minitown.architecture import Landmark
from vitret.minitown.dice import Dice

Float = NDArray[np.float64]

FORMATS = ((160, 120), (160, 120), (120, 160), (120, 160), (160, 108), (108, 160), (160, 160), (160, 90))
LIGHTS = ("day", "day", "overcast", "golden", "day", "dusk", "night")
WEATHERS = ("clear", "clear", "clear", "fog", "rain", "snow")
OCCLUDERS = ("tree", "tree", "van", "lamp", "people", "wall", "branch")
# A wall seen more obliquely than this shows nothing: cosine of 80 degrees.
GRAZING = 0.17


@dataclass(frozen=True, kw_only=True)
class Occluder:
    """Something before the landmark: its box as fractions of the picture, x0 y0 x1 y1."""

    kind: str
    box: tuple[float, float, float, float]


@dataclass(frozen=True, kw_only=True)
class Shot:
    """One photograph, before it is drawn.

    `azimuth` in degrees, 0 before the front, positive to its right; `distance` in radii of the landmark; `eye` metres
    above ground; `fill` the part of the picture the landmark would take (above 1: a close-up); `shift` the landmark's
    middle off the picture's, as fractions; `tilt` degrees. The degradations: `exposure` and `tint` are factors,
    `blur` pixels, `motion` pixels, `noise` grey values, `quality` that of the JPEG.
    """

    azimuth: float
    distance: float
    eye: float
    fill: float
    shift: tuple[float, float]
    tilt: float
    width: int
    height: int
    light: str
    weather: str
    occluders: tuple[Occluder, ...]
    exposure: float
    tint: tuple[float, float, float]
    grey: bool
    blur: float
    motion: int
    noise: float
    quality: int
    seed: int


@dataclass(frozen=True, kw_only=True, eq=False)
class View:
    """A camera in place: pixels of a point P are those of `lens @ (turn @ (P − place))`, divided by the third."""

    place: Float
    turn: Float
    lens: Float

    def project(self, points: Float) -> tuple[Float, Float]:
        """Pixels (n, 2) and depths (n,) of points (n, 3)."""
        local = (points - self.place) @ self.turn.T @ self.lens.T
        return local[:, :2] / local[:, 2:], local[:, 2]

    def homography(self, foot: Float, along: Float, up: Float) -> Float:
        """(…, 3, 3) from panels' (s, t, 1) to homogeneous pixels; `foot`, `along`, `up` are (…, 3)."""
        planes = np.stack([along, up, foot - self.place], axis=-1)
        return np.asarray(self.lens @ self.turn @ planes, dtype=np.float64)


def view(landmark: Landmark, shot: Shot) -> View:
    """The camera of a shot: it looks at the landmark's middle, then zooms and shifts until the framing fits."""
    corners = landmark.corners
    low, high = corners.min(axis=0), corners.max(axis=0)
    middle = (low + high) / 2
    radius = float(np.linalg.norm(high - low)) / 2
    angle = radians(shot.azimuth)
    away = shot.distance * radius
    place = np.array([middle[0] + away * sin(angle), middle[1] - away * cos(angle), shot.eye])
    # Half-way between level and straight at the middle: verticals converge a little, as in holiday pictures.
    forward = np.array([middle[0], middle[1], shot.eye + (middle[2] - shot.eye) / 2]) - place
    forward /= np.linalg.norm(forward)
    right = np.cross(forward, (0.0, 0.0, 1.0))
    right /= np.linalg.norm(right)
    down = np.cross(forward, right)
    c, s = cos(radians(shot.tilt)), sin(radians(shot.tilt))
    turn = np.stack([c * right + s * down, c * down - s * right, forward])
    local = (corners - place) @ turn.T
    flat = local[:, :2] / local[:, 2:]
    first, last = flat.min(axis=0), flat.max(axis=0)
    frame = np.array([shot.width, shot.height], dtype=np.float64)
    focal = shot.fill * float((frame / (last - first)).min())
    centre = frame * (0.5 + np.array(shot.shift)) - focal * (first + last) / 2
    lens = np.array([[focal, 0, centre[0]], [0, focal, centre[1]], [0, 0, 1]])
    return View(place=place, turn=turn, lens=lens)


@dataclass(frozen=True, kw_only=True, eq=False)
class Sight:
    """What a shot shows of its landmark.

    `seen` (P,) marks the landmark's surface points in the picture and not covered; `facing` (P,) those turned towards
    the camera; `box` x0 y0 x1 y1 of the landmark within the picture, pixels; `size` its part of the picture's area.
    """

    seen: NDArray[np.bool_]
    facing: NDArray[np.bool_]
    box: tuple[float, float, float, float]
    size: float

    @property
    def fraction(self) -> float:
        """How much of what faces the camera can be seen, 0…1."""
        return float(self.seen.sum() / max(1, self.facing.sum()))


@lru_cache(maxsize=64)
def surface(landmark: Landmark) -> tuple[Float, Float]:
    """Points spread over the landmark's panels, about one every 1.5 m, and their normals: (P, 3), (P, 3)."""
    points, normals = [], []
    for panel in landmark.panels:
        width, height = panel.size
        columns, rows = max(1, round(width / 1.5)), max(1, round(height / 1.5))
        s, t = np.meshgrid((np.arange(columns) + 0.5) / columns, (np.arange(rows) + 0.5) / rows)
        half = 0.5 * (1 - (1 - panel.wall.top) * t) if panel.wall.shape in ("triangle", "taper") else 0.5
        inside = np.abs(s - 0.5) <= half
        grid = np.stack([s[inside], t[inside]], axis=1) @ np.array([panel.along, panel.up], dtype=np.float64)
        points.append(grid + np.array(panel.foot))
        normals.append(np.broadcast_to(panel.normal, grid.shape))
    return np.concatenate(points), np.concatenate(normals)


def sight(landmark: Landmark, shot: Shot) -> Sight:
    """Decide what a shot shows. One part of a building hiding another is left out of account."""
    points, normals = surface(landmark)
    camera = view(landmark, shot)
    pixels, _ = camera.project(points)
    toward = camera.place - points
    facing = (toward * normals).sum(axis=1) > GRAZING * np.linalg.norm(toward, axis=1)
    frame = np.array([shot.width, shot.height], dtype=np.float64)
    seen = facing & (pixels >= 0).all(axis=1) & (pixels < frame).all(axis=1)
    for occluder in shot.occluders:
        seen &= ~_covered(occluder, pixels / frame)
    corners, _ = camera.project(landmark.corners)
    first, last = np.clip(corners.min(axis=0), 0, frame), np.clip(corners.max(axis=0), 0, frame)
    box = (float(first[0]), float(first[1]), float(last[0]), float(last[1]))
    return Sight(seen=seen, facing=facing, box=box, size=float((last - first).prod() / frame.prod()))


def _covered(occluder: Occluder, where: Float) -> NDArray[np.bool_]:
    x0, y0, x1, y1 = occluder.box
    if occluder.kind in ("tree", "branch"):
        across = (where - ((x0 + x1) / 2, (y0 + y1) / 2)) / ((x1 - x0) / 2, (y1 - y0) / 2)
        return np.asarray((across**2).sum(axis=1) < 1)
    return np.asarray(((where >= (x0, y0)) & (where <= (x1, y1))).all(axis=1))


def shoot(dice: Dice, *, hard: float) -> Shot:
    """A random photograph; `hard` in 0…1 is how often something is difficult about it."""
    width, height = dice.pick(FORMATS)
    rough = dice.chance(hard)
    side = dice.weighted((("front", 6.0), ("oblique", 2.0), ("behind", 0.6)))
    azimuth = {
        "front": dice.bell(15.0),
        "oblique": dice.pick((-1, 1)) * dice.uniform(25.0, 60.0),
        "behind": dice.uniform(100.0, 260.0),
    }[side]
    fill = dice.uniform(0.75, 1.1)
    if rough:
        fill = dice.weighted(((dice.uniform(0.4, 0.65), 3.0), (dice.uniform(1.2, 1.8), 3.0), (fill, 4.0)))
    reach = 0.08 if fill < 1 else 0.2
    return Shot(
        azimuth=azimuth,
        distance=dice.uniform(2.2, 5.5),
        eye=dice.weighted(((dice.uniform(1.5, 3.0), 5.0), (dice.uniform(4.0, 14.0), 1.5))),
        fill=fill,
        shift=(dice.bell(reach), dice.bell(reach * 0.7) + 0.03),
        tilt=dice.bell(4.0 if rough else 2.0),
        width=width,
        height=height,
        light=dice.pick(LIGHTS) if rough else dice.pick(LIGHTS[:4]),
        weather=dice.pick(WEATHERS)
        if rough
        else dice.weighted((("clear", 6.0), ("rain", 1.0), ("snow", 1.0))),
        occluders=tuple(
            _occluder(dice) for _ in range(dice.weighted(_HOW_MANY_ROUGH if rough else _HOW_MANY))
        ),
        exposure=dice.uniform(0.8, 1.2),
        tint=(dice.uniform(0.9, 1.1), dice.uniform(0.95, 1.05), dice.uniform(0.9, 1.1)),
        grey=dice.chance(0.05),
        blur=dice.uniform(0.0, 1.1) if rough else dice.uniform(0.0, 0.5),
        motion=dice.integer(2, 4) if rough and dice.chance(0.15) else 0,
        noise=dice.uniform(1.0, 7.0) if rough else dice.uniform(0.5, 4.0),
        quality=dice.integer(35, 75) if rough else dice.integer(65, 92),
        seed=dice.integer(0, 2**31 - 1),
    )


_HOW_MANY = ((0, 6.0), (1, 3.0), (2, 1.0))
_HOW_MANY_ROUGH = ((0, 2.0), (1, 4.0), (2, 3.0), (3, 1.0))


def _occluder(dice: Dice) -> Occluder:
    kind = dice.pick(OCCLUDERS)
    x = dice.uniform(0.0, 1.0)
    foot = dice.uniform(0.9, 1.05)
    if kind == "tree":
        wide, tall = dice.uniform(0.14, 0.28), dice.uniform(0.25, 0.5)
        foot = dice.uniform(0.72, 0.9)
    elif kind == "van":
        wide, tall = dice.uniform(0.25, 0.4), dice.uniform(0.14, 0.24)
    elif kind == "lamp":
        wide, tall = 0.025, dice.uniform(0.5, 0.9)
    elif kind == "people":
        wide, tall = dice.uniform(0.1, 0.3), dice.uniform(0.16, 0.34)
    elif kind == "wall":
        wide, tall = dice.uniform(0.2, 0.4), 1.2
        x, foot = dice.pick((0.0, 1.0)), 1.1
    else:
        wide, tall = dice.uniform(0.4, 0.7), dice.uniform(0.2, 0.36)
        foot = dice.uniform(0.1, 0.25)
    return Occluder(kind=kind, box=(x - wide / 2, foot - tall, x + wide / 2, foot))
