"""How long a bench takes, by what earlier runs of the same systems took on the same device."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import median_high
from typing import Any

from vitret.core.errors import VitretError
from vitret.core.protocol import Protocol
from vitret.core.recipes import Recipe
from vitret.core.store import read_json_object


@dataclass(frozen=True, kw_only=True)
class Rates:
    """Images a second of one system: trained, described; None where no row of this device tells."""

    train: float | None = None
    describe: float | None = None


def rates_of(results: Path, recipe: Recipe, protocol: Protocol, *, device: str) -> Rates:
    """What the rows of a system say: of training those of the same images, of describing those of the protocol."""
    rows = [row for row in _rows(results, recipe.system.name) if _at(row, "environment", "device") == device]
    image = recipe.track.image.model_dump(mode="json")
    trained = [row for row in rows if _at(row, "recipe", "track", "image") == image]
    described = [row for row in rows if row.get("fingerprint") == protocol.fingerprint]
    return Rates(
        train=_median(_train_rate(row) for row in trained),
        describe=_median(_at(row, "cost", "network", "images_per_second") for row in described),
    )


def _rows(results: Path, system: str) -> list[Mapping[str, Any]]:
    """Every readable row of a system, whatever it was trained on."""
    found: list[Mapping[str, Any]] = []
    for path in sorted(results.glob(f"*/{system}/*/*.json")):
        try:
            found.append(read_json_object(path))
        except VitretError:
            continue  # a damaged row is no witness; `vitret results validate` names it
    return found


def _train_rate(row: Mapping[str, Any]) -> float | None:
    seconds, seen = _at(row, "cost", "train_seconds"), _at(row, "training", "images_seen")
    return seen / seconds if seconds and seen else None


def _at(row: Mapping[str, Any], *keys: str) -> Any:
    """A value inside nested mappings; None where a key is not there."""
    value: Any = row
    for key in keys:
        value = value.get(key) if isinstance(value, Mapping) else None
    return value


def _median(values: Iterable[float | None]) -> float | None:
    known = [value for value in values if value]
    return median_high(known) if known else None


def duration(seconds: float) -> str:
    """A time as one plans with it.

    >>> duration(40), duration(1800), duration(9000), duration(1e6)
    ('1 min', '30 min', '2.5 h', '11.6 days')
    """
    if seconds < 5400:
        return f"{max(1, round(seconds / 60))} min"
    return f"{seconds / 3600:.1f} h" if seconds < 72 * 3600 else f"{seconds / 86400:.1f} days"


def forecast(works: Sequence[tuple[str, Rates, int, int]], *, device: str) -> list[str]:
    """Sentences on the time of runs: (system, its rates, images to train on, images to describe) of each."""
    train = sum(seen / rates.train for _, rates, seen, _ in works if seen and rates.train)
    describe = sum(count / rates.describe for _, rates, _, count in works if count and rates.describe)
    unknown = {
        system
        for system, rates, seen, count in works
        if (seen and not rates.train) or (count and not rates.describe)
    }
    times = [f"{duration(train)} to train"] if train else []
    times += [f"{duration(describe)} to describe (reading of images not counted)"] if describe else []
    lines = []
    if times:
        lines.append(
            f"Time on {device}, by rows measured on it: about {', '.join(times)}, one run after another."
        )
    if unknown:
        lines.append(f"No row on {device} tells the speed of: {', '.join(sorted(unknown))}.")
    return lines
