"""What the overlap audit finds of an overlap that was planted: 30 landmarks of rising difficulty and 30 copies.

    VITRET_WEIGHTS=../shared/data/weights python -m tests.campaigns.overlap_planted --work /tmp/planted
    python -m tests.campaigns.overlap_report /tmp/planted/pairs.json

For each of two seeds, the evaluation set asks about 60 buildings of the synthetic town. The training set holds
photographs of other buildings, two photographs of each of the first 30 asked buildings, and a changed copy of one
evaluation photograph of each of the others.
"""

import argparse
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image, ImageEnhance, ImageOps

from vitret.compare.machine import silent
from vitret.compare.overlap.audit import SIZES, Audit, Settings, overlap
from vitret.core.protocol import Protocol
from vitret.core.recipes import read_system
from vitret.core.records import EvalSet, Images, Ragged, TrainSet, Truth
from vitret.core.store import write_bytes
from vitret.describe.request import Request
from vitret.minitown.architecture import landmark
from vitret.minitown.camera import Shot, shoot, sight
from vitret.minitown.dice import Dice
from vitret.minitown.draw import draw
from vitret.minitown.world import EvalPlan, Photo, plan_distractors, plan_revisited
from vitret.models.model import build_model

SYSTEMS = ("frozen_vit_tiny", "frozen_efficientnet_lite0")
# From here on, numbers of buildings and photographs are of no plan of the town itself.
_STREAM = 7000


def _same_side(shot: Shot, dice: Dice) -> Shot:
    return replace(
        shot,
        azimuth=shot.azimuth + dice.bell(6.0),
        fill=dice.uniform(0.75, 1.0),
        light="day",
        weather="clear",
    )


def _other_light(shot: Shot, dice: Dice) -> Shot:
    light, weather = dice.pick(
        (("golden", "clear"), ("dusk", "clear"), ("overcast", "rain"), ("day", "snow"))
    )
    return replace(_same_side(shot, dice), light=light, weather=weather)


def _other_scale(shot: Shot, dice: Dice) -> Shot:
    fill = dice.uniform(0.35, 0.5) if dice.chance(0.5) else dice.uniform(1.5, 1.8)
    return replace(_same_side(shot, dice), fill=fill)


def _oblique(shot: Shot, dice: Dice) -> Shot:
    return replace(
        _same_side(shot, dice), azimuth=shot.azimuth + dice.pick((-1, 1)) * dice.uniform(30.0, 45.0)
    )


def _night_or_fog(shot: Shot, dice: Dice) -> Shot:
    light, weather = dice.pick((("night", "clear"), ("overcast", "fog")))
    hidden = shoot(dice, hard=1.0).occluders
    turned = shot.azimuth + dice.pick((-1, 1)) * dice.uniform(15.0, 25.0)
    return replace(
        _same_side(shot, dice),
        azimuth=turned,
        light=light,
        weather=weather,
        occluders=hidden,
        blur=1.0,
        noise=6.0,
    )


def _other_side(shot: Shot, dice: Dice) -> Shot:
    return replace(_same_side(shot, dice), azimuth=shot.azimuth + dice.uniform(120.0, 240.0))


# How a planted photograph differs from the query of its landmark, the easiest first.
LEVELS: Mapping[str, Callable[[Shot, Dice], Shot]] = {
    "same side": _same_side,
    "other light": _other_light,
    "other scale": _other_scale,
    "oblique": _oblique,
    "night or fog": _night_or_fog,
    "other side": _other_side,
}


def _cropped(image: Image.Image, dice: Dice) -> Image.Image:
    """About 70 % of the area, off the middle."""
    width, height = round(image.width * 0.84), round(image.height * 0.84)
    x, y = dice.integer(0, image.width - width), dice.integer(0, image.height - height)
    return image.crop((x, y, x + width, y + height))


def _recoloured(image: Image.Image, dice: Dice) -> Image.Image:
    bright = ImageEnhance.Brightness(image).enhance(dice.uniform(0.7, 1.3))
    return ImageEnhance.Color(bright).enhance(dice.uniform(0.0, 1.6))


def _rescaled(image: Image.Image, dice: Dice) -> Image.Image:
    part = dice.uniform(0.4, 0.7)
    return image.resize((round(image.width * part), round(image.height * part)), Image.Resampling.LANCZOS)


COPIES: Mapping[str, Callable[[Image.Image, Dice], Image.Image]] = {
    "recompressed": lambda image, dice: image,
    "rescaled": _rescaled,
    "recoloured": _recoloured,
    "cropped": _cropped,
    "mirrored": lambda image, dice: ImageOps.mirror(image),
    "all of it": lambda image, dice: ImageOps.mirror(
        _recoloured(_rescaled(_cropped(image, dice), dice), dice)
    ),
}
QUALITY = {"recompressed": 30}


@dataclass(frozen=True, kw_only=True)
class Size:
    """For a seed, `each` buildings of a level and copies of a kind; `photos` of each asked building in the database.

    Of these, `positives` are judged, so that fewer pairs are compared. `others` is the number of other training
    photographs, `scale` the pixels of a side over the town's own.
    """

    each: int = 5
    photos: int = 3
    positives: int = 1
    others: int = 1910
    scale: int = 2


Source = tuple[int, int] | str
"""What a training photograph was planted for: a building (seed, number), or the evaluation image it is a copy of."""


@dataclass(frozen=True, kw_only=True, eq=False)
class Planted:
    """The two sets and the truth: evaluation image → its building, training image → its kind and source."""

    trainset: TrainSet
    evalset: EvalSet
    buildings: dict[str, tuple[int, int]]
    planted: dict[str, tuple[str, Source]]


def plant(root: Path, *, seeds: Sequence[int], size: Size) -> Planted:
    """Draw both sets below a folder, or read what is drawn already; every seed has its own asked buildings."""
    plans = {seed: _plan(seed, size) for seed in seeds}
    others = [
        replace(photo, path=f"others/{photo.path}")
        for photo in plan_distractors(seeds[0], images=size.others)
    ]
    planted: dict[str, tuple[str, Source]] = {}
    buildings: dict[str, tuple[int, int]] = {}
    for seed, plan in plans.items():
        asked = [photo.key for photo in plan.queries]
        buildings |= {p.path: (seed, asked.index(p.key)) for p in (*plan.queries, *plan.database)}
        shots = _planted_shots(plan, seed=seed, size=size)
        copies = _copies(plan, seed=seed, size=size)
        _draw([*plan.queries, *plan.database, *(photo for photo, *_ in shots)], root, scale=size.scale)
        _change(copies, root, seed=seed)
        planted |= {photo.path: (level, (seed, number)) for photo, level, number in shots} | copies
    _draw(others, root, scale=size.scale)
    names = [*(photo.path for photo in others), *planted]
    about = f"{seeds}, {size}"
    return Planted(
        trainset=TrainSet(
            name="planted",
            images=Images.of(root, names),
            labels=np.arange(len(names)),
            digest=f"train {about}",
        ),
        evalset=_evalset(root, list(plans.values()), size=size, about=about),
        buildings=buildings,
        planted=planted,
    )


def _plan(seed: int, size: Size) -> EvalPlan:
    """One evaluation set of the town, its files below a folder of the seed; each building in a quarter of its own."""
    plan = plan_revisited(
        seed,
        district="east",
        quarters=size.each * (len(LEVELS) + len(COPIES)),
        asked=1,
        photos=size.photos,
        queries=1,
        others=0,
    )
    judged = [
        {row: word for word in ("easy", "hard") for row in getattr(plan, word)[query]}
        for query in range(len(plan.queries))
    ]
    kept = [dict(list(rows.items())[: size.positives]) for rows in judged]
    return replace(
        plan,
        easy=tuple(tuple(row for row, word in rows.items() if word == "easy") for rows in kept),
        hard=tuple(tuple(row for row, word in rows.items() if word == "hard") for rows in kept),
        queries=tuple(replace(photo, path=f"{seed}/{photo.path}") for photo in plan.queries),
        database=tuple(replace(photo, path=f"{seed}/{photo.path}") for photo in plan.database),
    )


def _evalset(root: Path, plans: Sequence[EvalPlan], *, size: Size, about: str) -> EvalSet:
    """The plans as one set."""
    starts = np.cumsum([0, *(len(plan.database) for plan in plans)])
    judged = {
        word: [
            [start + row for row in rows]
            for start, p in zip(starts, plans, strict=False)
            for rows in getattr(p, word)
        ]
        for word in ("easy", "hard", "junk")
    }
    return EvalSet(
        name="asked",
        queries=Images.of(
            root,
            [photo.path for plan in plans for photo in plan.queries],
            size.scale * np.concatenate([plan.boxes for plan in plans]),
        ),
        database=Images.of(root, [photo.path for plan in plans for photo in plan.database]),
        truth=Truth(judgements={word: Ragged.of(rows) for word, rows in judged.items()}),
        digest=f"evaluation {about}",
    )


def _planted_shots(plan: EvalPlan, *, seed: int, size: Size) -> list[tuple[Photo, str, int]]:
    """Two photographs of each of the first half of the asked buildings, their level, and the building's number."""
    found = []
    for number, level in enumerate(level for level in LEVELS for _ in range(size.each)):
        query, dice, taken = plan.queries[number], Dice(seed, _STREAM, 1, number), 0
        assert query.key is not None
        while taken < 2:
            plain = replace(query.shot, occluders=(), seed=dice.integer(0, 2**31 - 1))
            shot = replace(LEVELS[level](plain, dice), distance=dice.uniform(2.2, 5.5))
            shown = sight(landmark(query.key), shot)
            if shown.fraction < 0.3 or shown.size < 0.04:
                continue
            found.append(
                (replace(query, path=f"{seed}/planted/{number:02d}-{taken}.jpg", shot=shot), level, number)
            )
            taken += 1
    return found


def _copies(plan: EvalPlan, *, seed: int, size: Size) -> dict[str, tuple[str, Source]]:
    """Training image → kind and evaluation image: one of each building of the second half, a query or a positive."""
    found: dict[str, tuple[str, Source]] = {}
    for number, kind in enumerate(kind for kind in COPIES for _ in range(size.each)):
        query = len(LEVELS) * size.each + number
        good = (*plan.easy[query], *plan.hard[query])
        row = Dice(seed, _STREAM, 3, number).pick((None, *good))
        source = plan.queries[query] if row is None else plan.database[row]
        found[f"{seed}/copies/{number:02d}.jpg"] = (kind, source.path)
    return found


def _draw(photos: Sequence[Photo], root: Path, *, scale: int) -> None:
    larger = [
        replace(p, shot=replace(p.shot, width=scale * p.shot.width, height=scale * p.shot.height))
        for p in photos
    ]
    for name, data in draw([p for p in larger if not (root / p.path).is_file()], workers=1):
        write_bytes(root / name, data)


def _change(copies: Mapping[str, tuple[str, Source]], root: Path, *, seed: int) -> None:
    for number, (name, (kind, source)) in enumerate(copies.items()):
        changed = COPIES[kind](Image.open(root / str(source)), Dice(seed, _STREAM, 2, number))
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        changed.save(root / name, "JPEG", quality=QUALITY.get(kind, 85))


def audit(
    planted: Planted, requests: Mapping[str, Sequence[Request]], *, home: Path, neighbours: int = 5
) -> dict[str, Any]:
    """Evidence with every pair that was compared."""
    asked = Audit(
        trainset=planted.trainset,
        evalset=planted.evalset,
        requests=requests,
        home=home,
        settings=Settings(neighbours=neighbours, keep=10**9),
    )
    return overlap(asked, say=print, steps=silent)


def networks(planted: Planted, *, sizes: Sequence[int]) -> dict[str, list[Request]]:
    """Two frozen ImageNet networks of different kinds, at each of the sizes."""
    configs = Path(__file__).resolve().parents[2] / "configs"
    models = {name: build_model(read_system(configs, name).model) for name in SYSTEMS}
    return {
        name: [
            Request(
                model=model,
                images=planted.evalset.queries,
                protocol=Protocol(size=size),
                device=torch.device("cpu"),
                precision="fp32",
            )
            for size in sizes
        ]
        for name, model in models.items()
    }


def truth_of(planted: Planted, pair: Mapping[str, Any]) -> tuple[str, str, int]:
    """Of a pair: "same photograph", "same place" or "different"; what was planted for its building; the seed."""
    building = planted.buildings[pair["image"]]
    _, source = planted.planted.get(pair["train"], ("", ""))
    kind = next(
        kind
        for kind, about in planted.planted.values()
        if building == (planted.buildings[about] if isinstance(about, str) else about)
    )
    if source == pair["image"]:
        return "same photograph", kind, building[0]
    if source == building or (source and planted.buildings.get(str(source)) == building):
        return "same place", kind, building[0]
    return "different", kind, building[0]


def run(work: Path, *, seeds: Sequence[int], size: Size, pixels: Sequence[int]) -> Path:
    """Plant and audit; the pairs with their truth, in `pairs.json` of the work folder."""
    planted = plant(work / "images", seeds=seeds, size=size)
    evidence = audit(planted, networks(planted, sizes=pixels), home=work / "home")
    pairs = []
    for pair in evidence["pairs"]:
        truth, kind, seed = truth_of(planted, pair)
        about = {"train": pair["train"], "image": pair["image"], "truth": truth, "kind": kind, "seed": seed}
        pairs.append({**about, **pair["parts"]})
    about = {
        "training_images": len(planted.trainset.images),
        "queries": len(planted.evalset.queries),
        "positives": evidence["evaluation"]["positives"],
        "descriptors": [f"{name} at {' and '.join(map(str, pixels))} pixels" for name in SYSTEMS],
        "planted": {name: [kind, source] for name, (kind, source) in planted.planted.items()},
        "pairs": pairs,
    }
    (work / "pairs.json").write_text(json.dumps(about))
    return work / "pairs.json"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--work", type=Path, required=True)
    parser.add_argument("--seeds", type=int, nargs=2, default=(1, 2))
    parser.add_argument(
        "--size", type=int, nargs="+", default=SIZES, help="longer sides in pixels for the descriptors"
    )
    parser.add_argument("--others", type=int, default=Size().others)
    asked = parser.parse_args()
    print(run(asked.work, seeds=asked.seeds, size=Size(others=asked.others), pixels=asked.size))


if __name__ == "__main__":
    main()
