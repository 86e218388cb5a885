"""Photographs: the street, the landmark's panels in perspective upon it, and what lens, sensor and file do to it."""

import io
from functools import lru_cache
from math import ceil, floor, hypot, log2

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageFilter

from vitret.minitown.architecture import Landmark
from vitret.minitown.camera import Shot, View, view
from vitret.minitown.dice import Dice
from vitret.minitown.paint import paint
from vitret.minitown.street import AIRS, Air, fall, ground, obstacle, relit, sky, skyline

OVERSAMPLE = 2


def photograph(landmark: Landmark | None, shot: Shot, *, town: int) -> bytes:
    """A JPEG file of the shot. Without a landmark: the street alone. `town` names the skyline behind it."""
    dice = Dice(shot.seed, 9)
    noise = np.random.Generator(np.random.PCG64(shot.seed))
    air = AIRS[shot.light]
    size = (shot.width * OVERSAMPLE, shot.height * OVERSAMPLE)
    camera = view(landmark, shot) if landmark else None
    horizon = _horizon(camera, dice, shot) * OVERSAMPLE
    picture = sky(air, size, dice, clouds=shot.weather != "fog")
    skyline(picture, shot, camera, horizon=horizon, town=town, air=air)
    ground(picture, shot, horizon=horizon, air=air, dice=dice)
    if landmark and camera:
        _landmark(picture, landmark, shot, camera=camera, air=air, dice=dice)
    for occluder in shot.occluders:
        obstacle(picture, occluder, air=air, dice=dice)
    picture = picture.reduce(OVERSAMPLE)
    if shot.weather in ("rain", "snow"):
        fall(picture, shot.weather, dice)
    return _develop(picture, shot, noise)


def _horizon(camera: View | None, dice: Dice, shot: Shot) -> float:
    """Row of the horizon in the middle of the picture, pixels."""
    if camera is None:
        return shot.height * dice.uniform(0.45, 0.75)
    forward = camera.turn[2] * (1.0, 1.0, 0.0)
    local = camera.lens @ (camera.turn @ forward)
    return float(np.clip(local[1] / local[2], -0.2 * shot.height, 1.2 * shot.height))


@lru_cache(maxsize=2)
def _painted(landmark: Landmark, lit: bool) -> list[list[Image.Image]]:
    """Every panel's picture with its halved versions."""
    pyramids = []
    for panel in landmark.panels:
        levels = [paint(panel, lit=lit)]
        while min(levels[-1].size) >= 8:
            levels.append(levels[-1].reduce(2))
        pyramids.append(levels)
    return pyramids


def _landmark(
    picture: Image.Image, landmark: Landmark, shot: Shot, *, camera: View, air: Air, dice: Dice
) -> None:
    """Draw the panels that face the camera, far ones first."""
    pyramids = _painted(landmark, shot.light in ("dusk", "night"))
    sun = np.array([dice.uniform(-1, 1), dice.uniform(-1, -0.2), 0.7])
    sun /= np.linalg.norm(sun)
    haze = {"fog": dice.uniform(0.3, 0.5), "rain": 0.18, "snow": 0.12}.get(shot.weather, 0.0)
    foot, along, up, normal = landmark.frames
    toward = camera.place - (foot + (along + up) / 2)
    distance = np.sqrt((toward**2).sum(axis=1))
    to_picture = np.diag([OVERSAMPLE, OVERSAMPLE, 1.0]) @ camera.homography(foot, along, up)
    ends = to_picture @ np.array([[0, 1, 1, 0], [0, 0, 1, 1], [1, 1, 1, 1]], dtype=np.float64)
    shown = ((toward * normal).sum(axis=1) > 0.02 * distance) & (ends[:, 2] > 0).all(axis=1)
    numbers = np.flatnonzero(shown)
    to_panel = np.linalg.inv(to_picture[numbers])
    spots = ends[numbers, :2] / ends[numbers, 2:]
    bright = 0.72 + air.sun * np.maximum(0.0, normal @ sun)
    for i in np.argsort(-distance[numbers], kind="stable").tolist():
        number = int(numbers[i])
        snow = 70.0 if shot.weather == "snow" and normal[number, 2] > 0.3 else 0.0
        red, green, blue = (level * haze + snow for level in air.low)
        factors = tuple(float(bright[number]) * a * (1 - haze) for a in air.light)
        _sheet(picture, pyramids[number], spots[i], to_panel[i], factors=factors, add=(red, green, blue))


def _sheet(
    picture: Image.Image,
    levels: list[Image.Image],
    spots: NDArray[np.float64],
    to_panel: NDArray[np.float64],
    *,
    factors: tuple[float, ...],
    add: tuple[float, float, float],
) -> None:
    """Warp one painted panel into the picture.

    `spots` (2, 4) are the pixels of its corners, from the foot to the right and round; `to_panel` (3, 3) leads from
    homogeneous pixels to the panel's (s, t, 1), t upwards.
    """
    x, y = spots.tolist()
    left, top = max(0, floor(min(x))), max(0, floor(min(y)))
    right, bottom = min(picture.width, ceil(max(x)) + 1), min(picture.height, ceil(max(y)) + 1)
    if right <= left or bottom <= top:
        return
    sides = [hypot(x[i] - x[i - 3], y[i] - y[i - 3]) for i in range(4)]
    ratio = 2 * min(levels[0].width / (sides[0] + sides[2]), levels[0].height / (sides[1] + sides[3]))
    level = levels[min(len(levels) - 1, int(log2(max(ratio, 1.0)) + 0.3))]
    # From patch to texture: move to the patch's place, back to the panel's plane, then into texture pixels.
    shift = np.array([[1.0, 0, left], [0, 1.0, top], [0, 0, 1]])
    texture = np.array([[level.width, 0, 0], [0, -level.height, level.height], [0, 0, 1.0]])
    back = texture @ to_panel @ shift
    back /= back[2, 2]
    patch = level.transform(
        (right - left, bottom - top),
        Image.Transform.PERSPECTIVE,
        tuple(back.ravel()[:8].tolist()),
        Image.Resampling.BILINEAR,
    )
    picture.paste(relit(patch.convert("RGB"), factors, add), (left, top), patch.getchannel("A"))


def _develop(picture: Image.Image, shot: Shot, noise: np.random.Generator) -> bytes:
    """Lens, sensor and file: blur, motion, exposure, white balance, noise, JPEG."""
    if shot.blur > 0.3:
        picture = picture.filter(ImageFilter.GaussianBlur(shot.blur))
    values = np.asarray(picture, dtype=np.float32)
    if shot.motion:
        values = np.mean([np.roll(values, i, axis=1) for i in range(shot.motion)], axis=0)
    values = values * (np.array(shot.tint, dtype=np.float32) * np.float32(shot.exposure))
    if shot.grey:
        values = np.repeat(values.mean(axis=2, keepdims=True), 3, axis=2)
    values += noise.standard_normal((shot.height, shot.width, 1), dtype=np.float32) * np.float32(shot.noise)
    done = Image.fromarray(np.clip(values, 0, 255).astype(np.uint8))
    file = io.BytesIO()
    done.save(file, "JPEG", quality=shot.quality)
    return file.getvalue()
