"""Which landmarks exist, who photographs them, and the sets that come from it.

Five districts share one grammar and no building: the harbour (SfM-like clusters), the centre (classes, clean and
noisy), east and west (evaluation), the suburbs (distractors). Everything in a `Plan` is decided before a picture is
drawn, from the seed and from geometry alone.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from vitret.minitown.architecture import Landmark, landmark
from vitret.minitown.camera import Shot, Sight, shoot, sight
from vitret.minitown.dice import Dice

DISTRICTS = {"harbour": 1, "centre": 2, "east": 3, "west": 4, "suburbs": 5}
NEIGHBOURS = 4
# Co-visible surface that makes a pair or a judgement; declared here, in the spirit of SfM-120k's co-observed points
# and of the revisited sets' "clearly" and "under difficult conditions".
PAIR_OVERLAP = 0.35
EASY_OVERLAP, EASY_ANGLE, EASY_SCALE, EASY_FRACTION = 0.6, 35.0, 2.0, 0.7
JUNK_OVERLAP, JUNK_SIZE, JUNK_FRACTION = 0.25, 0.04, 0.3


@dataclass(frozen=True, kw_only=True)
class Photo:
    """A picture to draw: a landmark's key, or None for a street without one."""

    path: str
    key: tuple[int, int, int, int] | None
    shot: Shot
    town: int


@dataclass(frozen=True, kw_only=True, eq=False)
class TrainPlan:
    """Photographs with a label each, (n,); `pairs` (P, 2) rows; `validation` (n,); `names` of the C labels."""

    photos: tuple[Photo, ...]
    labels: NDArray[np.int64]
    validation: NDArray[np.bool_]
    pairs: NDArray[np.int64] | None
    names: tuple[str, ...]


@dataclass(frozen=True, kw_only=True, eq=False)
class EvalPlan:
    """Queries with their boxes (Q, 4) in pixels, a database, and per query its easy, hard and junk database rows."""

    queries: tuple[Photo, ...]
    boxes: NDArray[np.float64]
    database: tuple[Photo, ...]
    easy: tuple[tuple[int, ...], ...]
    hard: tuple[tuple[int, ...], ...]
    junk: tuple[tuple[int, ...], ...]


def name_of(key: tuple[int, int, int, int]) -> str:
    """A landmark's name: district, quarter, member.

    >>> name_of((0, 2, 13, 1))
    'centre-13-b'
    """
    district = next(word for word, number in DISTRICTS.items() if number == key[1])
    return f"{district}-{key[2]:02d}-{'abcd'[key[3]]}"


def _keys(seed: int, district: str, quarters: int) -> list[tuple[int, int, int, int]]:
    return [(seed, DISTRICTS[district], q, m) for q in range(quarters) for m in range(NEIGHBOURS)]


def _town(key: tuple[int, int, int, int]) -> int:
    # Neighbours stand before the same skyline, so that the background tells a quarter but not a building.
    return key[1] * 1000 + key[2]


def _photograph(
    key: tuple[int, int, int, int], dice: Dice, count: int, *, hard: float, folder: str
) -> tuple[list[Photo], list[Sight]]:
    """`count` photographs of one landmark that show at least something of it, and what they show."""
    building = landmark(key)
    photos: list[Photo] = []
    sights: list[Sight] = []
    while len(photos) < count:
        shot = shoot(dice, hard=hard)
        shown = sight(building, shot)
        if shown.fraction < 0.15 or shown.size < 0.02:
            continue
        path = f"{folder}/{name_of(key)}/{len(photos):03d}.jpg"
        photos.append(Photo(path=path, key=key, shot=shot, town=_town(key)))
        sights.append(shown)
    return photos, sights


def overlap(one: Sight, other: Sight) -> float:
    """How much of the surface that `one` shows is also shown by `other`, 0…1."""
    return float((one.seen & other.seen).sum() / max(1, one.seen.sum()))


# ---- training ------------------------------------------------------------------------------------------------------


def plan_clusters(seed: int, *, quarters: int, photos: int) -> TrainPlan:
    """Clusters with pairs of overlapping photographs; the last sixth of the quarters is for validation."""
    taken: list[Photo] = []
    labels, pairs = [], []
    for label, key in enumerate(_keys(seed, "harbour", quarters)):
        dice = Dice(*key, 100)
        mine, sights = _photograph(
            key, dice, photos + dice.integer(-photos // 3, photos // 3), hard=0.4, folder="sfm"
        )
        first = len(taken)
        for q, one in enumerate(sights):
            near = [p for p, other in enumerate(sights) if p != q and _pair(one, other)]
            if near and dice.chance(0.6):
                pairs.append((first + q, first + dice.pick(near)))
        taken += mine
        labels += [label] * len(mine)
    held = quarters - max(1, quarters // 6)
    names = tuple(name_of(key) for key in _keys(seed, "harbour", quarters))
    number = np.array(labels, dtype=np.int64)
    return TrainPlan(
        photos=tuple(taken),
        labels=number,
        validation=number >= held * NEIGHBOURS,
        pairs=np.array(pairs, dtype=np.int64).reshape(-1, 2),
        names=names,
    )


def _pair(one: Sight, other: Sight) -> bool:
    return min(overlap(one, other), overlap(other, one)) >= PAIR_OVERLAP


def plan_classes(seed: int, *, quarters: int, photos: int) -> TrainPlan:
    """Clean classes of unequal size; every ninth quarter's classes are for validation."""
    taken: list[Photo] = []
    labels = []
    keys = _keys(seed, "centre", quarters)
    for label, key in enumerate(keys):
        dice = Dice(*key, 100)
        mine, _ = _photograph(
            key, dice, photos + dice.integer(-photos // 2, photos // 2), hard=0.4, folder="clean"
        )
        taken += mine
        labels += [label] * len(mine)
    number = np.array(labels, dtype=np.int64)
    held = (number // NEIGHBOURS) % 9 == 8 if quarters >= 9 else number // NEIGHBOURS == quarters - 1
    return TrainPlan(
        photos=tuple(taken),
        labels=number,
        validation=held,
        pairs=None,
        names=tuple(name_of(key) for key in keys),
    )


def plan_noisy(seed: int, *, quarters: int, photos: int, wrong: float, stray: float) -> TrainPlan:
    """The clean photographs with some labels wrong and with stray pictures put into classes at random.

    A wrong label is more often a neighbour's than anybody's. `stray` is their part of the finished set. Labels of
    validation classes stay among validation classes, so that no class lies on both sides.
    """
    clean = plan_classes(seed, quarters=quarters, photos=photos)
    dice = Dice(seed, DISTRICTS["centre"], 999)
    sides = {side: sorted(set(clean.labels[clean.validation == side].tolist())) for side in (False, True)}
    labels = []
    for label, held in zip(clean.labels.tolist(), clean.validation.tolist(), strict=True):
        if not dice.chance(wrong):
            labels.append(label)
            continue
        quarter = [other for other in sides[held] if other // NEIGHBOURS == label // NEIGHBOURS]
        others = [other for other in (quarter if dice.chance(0.4) else sides[held]) if other != label]
        labels.append(dice.pick(others))
    photos_taken = list(clean.photos)
    validation = clean.validation.tolist()
    for number in range(round(len(clean.photos) * stray / (1 - stray))):
        held = dice.chance(sum(clean.validation.tolist()) / len(clean.validation))
        labels.append(dice.pick(sides[held]))
        validation.append(held)
        photos_taken.append(_stray(seed, number, dice))
    return TrainPlan(
        photos=tuple(replace(photo, path=photo.path.replace("clean/", "noisy/")) for photo in photos_taken),
        labels=np.array(labels, dtype=np.int64),
        validation=np.array(validation, dtype=np.bool_),
        pairs=None,
        names=clean.names,
    )


def _stray(seed: int, number: int, dice: Dice) -> Photo:
    """A street, or a building that is nobody's class (the suburbs, beyond the distractors' quarters)."""
    shot = shoot(dice, hard=0.5)
    path = f"noisy/stray/{number:04d}.jpg"
    if dice.chance(0.5):
        return Photo(path=path, key=None, shot=shot, town=number)
    key = (seed, DISTRICTS["suburbs"], 5000 + number // 2, number % 2)
    return Photo(path=path, key=key, shot=shot, town=_town(key))


# ---- evaluation ----------------------------------------------------------------------------------------------------


def plan_revisited(
    seed: int, *, district: str, quarters: int, asked: int, photos: int, queries: int, others: int
) -> EvalPlan:
    """A revisited set: the first `asked` members of each quarter are asked about, all of them are photographed.

    `photos` of a landmark that is asked about, `others` of each neighbour, `queries` a landmark. Queries are well
    framed, with surroundings, and boxed; they are not in the database.
    """
    asked_photos: list[Photo] = []
    database: list[Photo] = []
    boxes: list[tuple[float, float, float, float]] = []
    judged: list[dict[str, tuple[int, ...]]] = []
    for key in _keys(seed, district, quarters):
        dice = Dice(*key, 200)
        wanted = key[3] < asked
        mine, sights = _photograph(
            key, dice, photos if wanted else others, hard=0.45 if wanted else 0.4, folder=f"{district}/db"
        )
        first = len(database)
        database += mine
        if not wanted:
            continue
        for number in range(queries):
            shot, shown = _query_shot(landmark(key), dice)
            path = f"{district}/q/{name_of(key)}-{number}.jpg"
            asked_photos.append(Photo(path=path, key=key, shot=shot, town=_town(key)))
            boxes.append(tuple(float(round(side)) for side in shown.box))  # type: ignore[arg-type]
            verdicts = [judgement(shot, shown, p.shot, s) for p, s in zip(mine, sights, strict=True)]
            judged.append(
                {
                    v: tuple(first + i for i, own in enumerate(verdicts) if own == v)
                    for v in ("easy", "hard", "junk")
                }
            )
    return _shuffled(asked_photos, boxes, database, judged, Dice(seed, DISTRICTS[district], 998))


def _query_shot(building: Landmark, dice: Dice) -> tuple[Shot, Sight]:
    """A photograph to query with: most of the landmark, daylight or so, and room around it."""
    while True:
        shot = replace(shoot(dice, hard=0.15), fill=dice.uniform(0.55, 0.9), grey=False)
        shown = sight(building, shot)
        if abs((shot.azimuth + 180) % 360 - 180) < 60 and shown.fraction > 0.75 and 0.1 < shown.size < 0.8:
            return shot, shown


def judgement(query: Shot, asked: Sight, found: Shot, shown: Sight) -> str:
    """easy, hard or junk, from what both photographs show of one landmark, from which side, and how large.

    Junk: hardly visible, tiny, or another side. Easy: much the same surface from a like direction and distance, in
    light and air that hide nothing. Hard: the rest.
    """
    common = overlap(asked, shown)
    if common < JUNK_OVERLAP or shown.size < JUNK_SIZE or shown.fraction < JUNK_FRACTION:
        return "junk"
    angle = abs((query.azimuth - found.azimuth + 180) % 360 - 180)
    scale = (shown.size / asked.size) ** 0.5
    clear = found.weather not in ("fog",) and found.light != "night" and found.blur < 1.0
    like = angle <= EASY_ANGLE and 1 / EASY_SCALE <= scale <= EASY_SCALE
    return "easy" if clear and like and common >= EASY_OVERLAP and shown.fraction >= EASY_FRACTION else "hard"


def _shuffled(
    queries: list[Photo],
    boxes: list[tuple[float, float, float, float]],
    database: list[Photo],
    judged: Sequence[dict[str, tuple[int, ...]]],
    dice: Dice,
) -> EvalPlan:
    """Shuffle the database and number its files: neither order nor name may give a landmark away."""
    order = dice.sample(range(len(database)), len(database))
    place = {old: new for new, old in enumerate(order)}
    moved = [{word: tuple(sorted(place[i] for i in rows)) for word, rows in one.items()} for one in judged]
    folder = database[0].path.split("/")[0]
    return EvalPlan(
        queries=tuple(queries),
        boxes=np.array(boxes, dtype=np.float64).reshape(-1, 4),
        database=tuple(
            replace(database[old], path=f"{folder}/{new:04d}.jpg") for new, old in enumerate(order)
        ),
        easy=tuple(one["easy"] for one in moved),
        hard=tuple(one["hard"] for one in moved),
        junk=tuple(one["junk"] for one in moved),
    )


def plan_distractors(seed: int, *, images: int) -> tuple[Photo, ...]:
    """Pictures nobody asks for: four in five of suburban buildings, one of plain streets."""
    photos: list[Photo] = []
    dice = Dice(seed, DISTRICTS["suburbs"], 997)
    for number in range(images):
        shot, path = shoot(dice, hard=0.5), f"suburbs/{number:05d}.jpg"
        if dice.chance(0.2):
            photos.append(Photo(path=path, key=None, shot=shot, town=number // 40))
            continue
        building = number // 8
        key = (seed, DISTRICTS["suburbs"], building // NEIGHBOURS, building % NEIGHBOURS)
        photos.append(Photo(path=path, key=key, shot=shot, town=_town(key)))
    return tuple(photos)
