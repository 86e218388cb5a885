"""One side of a comparison: the rows of one recipe on one evaluation set, all its seeds; and what must agree."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from vitret.compare.comparable import (
    NOTHING,
    Entry,
    data_of,
    family,
    learned_from,
    may_stand_together,
)
from vitret.compare.results import Result, per_query, read_result
from vitret.compare.standing import seeds_words
from vitret.core.errors import UserError
from vitret.core.protocol import differences
from vitret.core.recipes import Recipe
from vitret.core.records import Float64


@dataclass(frozen=True, kw_only=True)
class Side:
    """Rows that differ in their seed alone, in its order."""

    entries: tuple[Entry, ...]

    @property
    def path(self) -> Path:
        return self.entries[0][0]

    @property
    def row(self) -> Result:
        """The first of them: all say the same but for the seed and what follows from it."""
        return self.entries[0][1]

    @property
    def one_run(self) -> bool:
        """True where other seeds would give other networks, and only one was run."""
        return self.row.recipe.varies and len(self.entries) == 1

    @property
    def words(self) -> str:
        """Title, training set, and the seeds where other seeds would give other networks."""
        recipe = self.row.recipe
        trained = "nothing trained"
        if learned_from(self.row) != NOTHING:
            # Beside a frozen network only the matcher that re-ranks has learned.
            what = "re-ranker trained" if recipe.system.frozen else "trained"
            without = f" {recipe.exclude.words}" if recipe.exclude else ""
            trained = f"{what} on {self.row.training.set}{without}"
        numbers = [str(row.training.seed) for _, row in self.entries]
        seeds = f", {'seeds' if len(numbers) > 1 else 'seed'} {', '.join(numbers)}" if recipe.varies else ""
        return f"{self.row.model.title}, {trained}{seeds}"

    def values(self, key: str) -> Float64:
        """Per-query values (S, Q) of one metric, NaN for queries without positives."""
        return np.stack([per_query(path, key) for path, _ in self.entries])


def seeds_sentence(sides: Sequence[Side]) -> str:
    """What sides of one run tell; empty where every side has several runs or no seeds to repeat."""
    once = [side.row.model.title for side in sides if side.one_run]
    return seeds_words(once, others=any(not side.one_run for side in sides))


def side_of(paths: Iterable[Path]) -> Side:
    """The side that these rows of one recipe make."""
    entries = [(path, read_result(path)) for path in paths]
    return Side(entries=tuple(sorted(entries, key=lambda entry: entry[1].training.seed)))


def with_seeds(path: Path) -> Side:
    """A row and those beside it that differ from it in their seed alone; where two have one seed, the row itself."""
    row = read_result(path)
    kept = {row.training.seed: (path, row)}
    wanted = _recipe_and_data(path, row)
    for other in sorted(path.parent.glob(f"{row.fingerprint}-*.json")):
        beside = read_result(other)
        if beside.training.seed not in kept and _recipe_and_data(other, beside) == wanted:
            kept[beside.training.seed] = (other, beside)
    return Side(entries=tuple(kept[seed] for seed in sorted(kept)))


def _recipe_and_data(path: Path, row: Result) -> tuple[Any, ...]:
    return row.fingerprint, family(row), learned_from(row), row.eval_name, data_of(path, row)


def require_same_measurement(left: Result, right: Result) -> None:
    """Raise `UserError` where two rows were measured on other data or by another protocol, naming every switch."""
    apart = {
        f"{part}.{key}": values
        for part in ("protocol", "data")
        for key, values in differences(
            getattr(left, part).model_dump(mode="json"), getattr(right, part).model_dump(mode="json")
        ).items()
    }
    apart.pop("data.failed_images", None)
    _refuse(apart)


def require_same_training(left: Result, right: Result) -> None:
    """Raise `UserError` where two rows may not stand in one table for what they learned from, or under which budget."""
    apart = _other_track(left.recipe, right.recipe)
    if not may_stand_together(left, right):
        one, other = learned_from(left), learned_from(right)
        names = ("training data", "images left out", "what the budget allows")
        apart |= {
            name: (was[:8] or "none", now[:8] or "none")
            for name, was, now in zip(names, one, other, strict=True)
            if was != now
        }
    _refuse(apart)


def require_same_track(left: Recipe, right: Recipe) -> None:
    """Raise `UserError` where two recipes are of other training sets, tracks or budgets: known before any training."""
    _refuse(_other_track(left, right))


def _other_track(left: Recipe, right: Recipe) -> dict[str, tuple[Any, Any]]:
    sides = (
        ("training.set", left.track.train_set, right.track.train_set),
        ("track", left.track.name, right.track.name),
        ("training.budget", left.budget, right.budget),
    )
    return {key: (was, now) for key, was, now in sides if was != now}


def _refuse(apart: dict[str, tuple[Any, Any]]) -> None:
    if apart:
        listed = "; ".join(f"{key}: {was} / {now}" for key, (was, now) in apart.items())
        raise UserError(f"These rows may not be compared: {listed}.")
