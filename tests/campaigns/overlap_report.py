"""From the pairs of `overlap_planted audit` to thresholds, and what the thresholds find on the other seed.

    python -m tests.campaigns.overlap_report /tmp/planted/pairs.json

Thresholds are chosen on the first seed: the lowest number of inliers, the lowest correlation of pixels and the highest
number of bits for which at least 99 in 100 of the pairs beyond are what they are proposed as.
"""

import argparse
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from tests.campaigns.overlap_planted import COPIES, LEVELS
from vitret.compare.overlap import evidence
from vitret.compare.overlap.audit import RADIUS

PRECISION = 0.99
Pair = Mapping[str, Any]


@dataclass(frozen=True, kw_only=True)
class Thresholds:
    """Inliers of one place; inliers and correlation of one photograph, or bits."""

    place_inliers: int
    photograph_inliers: int
    photograph_pixels: float
    photograph_bits: int

    def proposal(self, pair: Pair) -> str:
        """As `vitret.compare.overlap.evidence.Parts.proposal`, with these thresholds."""
        same = pair["pixels"] >= self.photograph_pixels and pair["inliers"] >= self.photograph_inliers
        if same or (pair["hash_bits"] is not None and pair["hash_bits"] <= self.photograph_bits):
            return evidence.PHOTOGRAPH
        return evidence.PLACE if pair["inliers"] >= self.place_inliers else evidence.UNCLEAR


USED = Thresholds(
    place_inliers=evidence.PLACE_INLIERS,
    photograph_inliers=evidence.PHOTOGRAPH_INLIERS,
    photograph_pixels=evidence.PHOTOGRAPH_PIXELS,
    photograph_bits=evidence.PHOTOGRAPH_BITS,
)


def choose(pairs: Sequence[Pair]) -> Thresholds:
    """Thresholds of `PRECISION` on these pairs."""
    place = _first(range(4, 60), lambda n: [p["truth"] != "different" for p in pairs if p["inliers"] >= n])
    agreed = [p for p in pairs if p["inliers"] >= place]
    pixels = _first(
        [n / 100 for n in range(50, 100)],
        lambda least: [p["truth"] == evidence.PHOTOGRAPH for p in agreed if p["pixels"] >= least],
    )
    hashed = [p for p in pairs if p["hash_bits"] is not None]
    bits = _first(
        range(RADIUS, -1, -1),
        lambda most: [p["truth"] == evidence.PHOTOGRAPH for p in hashed if p["hash_bits"] <= most],
    )
    return Thresholds(
        place_inliers=place, photograph_inliers=place, photograph_pixels=pixels, photograph_bits=bits
    )


def _first(values: Sequence[Any], right: Callable[[Any], list[bool]]) -> Any:
    """The first value from which on, in this order, every value is precise enough."""
    chosen = values[-1]
    for value in reversed(values):
        found = right(value)
        if found and sum(found) < PRECISION * len(found):
            break
        chosen = value
    return chosen


def report(
    pairs: Sequence[Pair], planted: Mapping[str, Sequence[Any]], thresholds: Thresholds
) -> dict[str, Any]:
    """What thresholds find of one seed, by what was planted."""
    proposed = [(pair, thresholds.proposal(pair)) for pair in pairs]
    wrong = [pair for pair, said in proposed if said != evidence.UNCLEAR and pair["truth"] == "different"]
    different = sum(pair["truth"] == "different" for pair in pairs)
    return {
        "thresholds": asdict(thresholds),
        "pairs compared": len(pairs),
        "different pairs": different,
        "different pairs proposed": len(wrong),
        "most inliers of a different pair": max(p["inliers"] for p in pairs if p["truth"] == "different"),
        "copies": {kind: _copies(proposed, planted, kind) for kind in COPIES},
        "landmarks": {level: _landmarks(proposed, planted, level) for level in LEVELS},
    }


def _copies(
    proposed: Sequence[tuple[Pair, str]], planted: Mapping[str, Sequence[Any]], kind: str
) -> dict[str, int]:
    """Copies planted, copies compared with their own photograph, and copies proposed as that photograph."""
    own = [(p, said) for p, said in proposed if p["kind"] == kind and p["truth"] == evidence.PHOTOGRAPH]
    return {
        "planted": sum(about[0] == kind for about in planted.values()),
        "compared": len({p["train"] for p, _ in own}),
        "found": len({p["train"] for p, said in own if said == evidence.PHOTOGRAPH}),
        "found as a place": len({p["train"] for p, said in own if said == evidence.PLACE}),
    }


def _landmarks(
    proposed: Sequence[tuple[Pair, str]], planted: Mapping[str, Sequence[Any]], level: str
) -> dict[str, Any]:
    """Buildings and photographs planted at a level, compared, and proposed; and how many proposals are right."""
    of_level = [(p, said) for p, said in proposed if p["kind"] == level]
    right = [(p, said) for p, said in of_level if p["truth"] != "different"]
    names = {name for name, (kind, _) in planted.items() if kind == level}
    found = {p["train"] for p, said in right if said != evidence.UNCLEAR}
    said_of_level = [p for p, said in of_level if said != evidence.UNCLEAR]

    def buildings(images: set[str]) -> int:
        return len({str(planted[name][1]) for name in images})

    return {
        "landmarks": buildings(names),
        "landmarks compared": buildings({p["train"] for p, _ in right}),
        "landmarks found": buildings(found),
        "photographs": len(names),
        "photographs found": len(found),
        "proposals": len(said_of_level),
        "right proposals": sum(p["truth"] != "different" for p in said_of_level),
    }


def both(value: Mapping[str, Any]) -> dict[str, Any]:
    """Thresholds chosen on the first seed, and what they and those in use find of each seed."""
    seeds = sorted({pair["seed"] for pair in value["pairs"]})
    of = {seed: [pair for pair in value["pairs"] if pair["seed"] == seed] for seed in seeds}
    planted = {
        seed: {name: about for name, about in value["planted"].items() if name.startswith(f"{seed}/")}
        for seed in seeds
    }
    chosen = choose(of[seeds[0]])
    about = {key: value[key] for key in ("training_images", "queries", "positives", "descriptors")}
    return {
        **about,
        "chosen": asdict(chosen),
        "seeds": {
            str(seed): {
                "chosen": report(of[seed], planted[seed], chosen),
                "in use": report(of[seed], planted[seed], USED),
            }
            for seed in seeds
        },
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("pairs", type=Path)
    print(json.dumps(both(json.loads(parser.parse_args().pairs.read_text(encoding="utf-8"))), indent=1))


if __name__ == "__main__":
    main()
