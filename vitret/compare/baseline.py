"""One verdict against a row that is given, for programs: `vitret bench --baseline ROW --require better`.

The paired test of `vitret.compare.paired` on the suite's primary number, over the groups of all plain evaluation sets
and over all seeds of both sides.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from vitret.compare.comparable import recipe_family
from vitret.compare.groups import groups_beside
from vitret.compare.intervals import Units, answered
from vitret.compare.paired import PairedTest, paired_over
from vitret.compare.results import Result, read_result
from vitret.compare.sides import (
    Side,
    require_same_measurement,
    require_same_track,
    require_same_training,
    seeds_sentence,
    side_of,
    with_seeds,
)
from vitret.compare.work import Task, Work
from vitret.core.errors import CheckError, DataError, UserError, listed

REQUIREMENTS = ("better", "not-worse")


@dataclass(frozen=True, kw_only=True)
class Baseline:
    """The rows that are compared against: plain evaluation set → one recipe's rows, all seeds."""

    sides: dict[str, Side]


@dataclass(frozen=True, kw_only=True)
class Verdict:
    """The test of ours − baseline, and the lines that say it."""

    test: PairedTest
    lines: tuple[str, ...]

    @property
    def word(self) -> str:
        """What the test says at 5 %."""
        return word_of(self.test)

    def require(self, wanted: str) -> None:
        """Raise `CheckError` unless the verdict is what is wanted: "better", or "not-worse" (better or a tie)."""
        fine = {"better": ("better",), "not-worse": ("better", "tie")}[wanted]
        if self.word not in fine:
            raise CheckError(f"Required: {wanted}. Found: {self.word}.")


def word_of(test: PairedTest) -> str:
    """better, worse or tie."""
    if not test.separated:
        return "tie"
    return "better" if test.difference > 0 else "worse"


def read_baseline(path: Path, work: Work) -> Baseline:
    """The rows of a baseline on every evaluation set of a bench, which rows of the bench may be compared with.

    Nothing needs to be trained or measured by now. Of a set that the work does not know, the bytes are not compared.

    Raises:
        UserError: the bench has not one recipe to compare, or its rows may not stand in one table with the baseline's.
        DataError: the row, or its row on another set of the suite, is not there.
    """
    if not path.is_file():
        what = "is a folder" if path.is_dir() else "is not there"
        raise DataError(f"{path}: {what}. --baseline takes a row: a JSON file below results/.")
    row = read_result(path)
    if row.fingerprint != work.suite.protocol.fingerprint:
        raise UserError(
            f"{path}: was measured under protocol {row.fingerprint}, this bench measures under "
            f"{work.suite.protocol.fingerprint}. Choose its suite: --suite {row.suite.name}"
        )
    sides = {name: _side(path, row, name) for name in work.suite.sets}
    ours = _ours(work)
    for name, side in sides.items():
        if not set(side.row.metrics) >= {work.suite.primary}:
            raise UserError(f"{side.path}: has no {work.suite.primary}, which {name} is compared by.")
    require_same_track(row.recipe, ours[0].recipe)
    if recipe_family(row.recipe) == recipe_family(ours[0].recipe):
        raise UserError(f"{path}: is a row of the very recipe that this bench measures.")
    for side in sides.values():
        _require_comparable(side.row, _foreseen(work, ours[0], beside=side.row))
    return Baseline(sides=sides)


def _require_comparable(theirs: Result, ours: Result) -> None:
    """Raise `UserError` where two rows may not stand in one table."""
    require_same_measurement(theirs, ours)
    require_same_training(theirs, ours)


def _foreseen(work: Work, task: Task, *, beside: Result) -> Result:
    """A baseline's row, changed to what is known by now of ours on the same set: its recipe, and the bytes it is of."""
    data, training = {}, {}
    if beside.data.set in work.evaluations:
        data["manifest"] = work.evaluations[beside.data.set].digest
    if work.whitening_source is not None:
        data["whitening_manifest"] = work.whitening_source.digest
    if task.recipe.track.train_set in work.learned or not work.learns(task.recipe):
        training["manifest"], _ = work.training(task.recipe)
    return beside.model_copy(
        update={
            "recipe": task.recipe,
            "data": beside.data.model_copy(update=data),
            "training": beside.training.model_copy(update=training),
        }
    )


def _side(path: Path, row: Result, name: str) -> Side:
    """The baseline's rows on one evaluation set, found beside the row that was named."""
    if row.eval_name == name:
        return with_seeds(path)
    for other in sorted((path.resolve().parents[1] / name).glob(f"{row.fingerprint}-*.json")):
        if recipe_family(read_result(other).recipe) == recipe_family(row.recipe):
            return with_seeds(other)
    raise DataError(
        f"{path}: has no row beside it on {name}, which the suite measures. Bench the baseline first."
    )


def _ours(work: Work) -> Sequence[Task]:
    """The tasks of the one recipe that is compared, one a seed."""
    found: dict[str, list[Task]] = {}
    for task in work.tasks:
        found.setdefault(recipe_family(task.recipe), []).append(task)
    if len(found) != 1:
        names = listed(tasks[0].recipe.system.name for tasks in found.values())
        raise UserError(f"--baseline compares one system, this bench has {names}. Name one: --systems NAME")
    return next(iter(found.values()))


def verdict(baseline: Baseline, work: Work) -> Verdict:
    """Test the bench's rows, which are there by now, against the baseline's.

    Raises `UserError` where the two may not stand in one table.
    """
    tasks, primary = _ours(work), work.suite.primary
    ours = {name: side_of([task.rows[name] for task in tasks]) for name in baseline.sides}
    values, groups = [], []
    for name, theirs in baseline.sides.items():
        # A set may have been prepared again since the baseline was read.
        _require_comparable(theirs.row, ours[name].row)
        pair, kept = answered(ours[name].values(primary), theirs.values(primary))
        values.append(pair)
        groups.append(groups_beside(ours[name].path, ours[name].row).numbers[kept])
    mine, other = (np.concatenate([pair[side] for pair in values], axis=1) for side in (0, 1))
    test = paired_over(mine, other, Units.of(groups))
    return Verdict(test=test, lines=tuple(_lines(test, ours, baseline.sides, primary=primary)))


def _lines(
    test: PairedTest, ours: dict[str, Side], theirs: dict[str, Side], *, primary: str
) -> Iterator[str]:
    mine, other = (next(iter(sides.values())) for sides in (ours, theirs))
    yield f"{mine.words} against {other.words}"
    yield (
        f"{primary} on {', '.join(ours)}: {test.difference * 100:+.1f} points, 95 % interval "
        f"[{100 * test.low:+.1f}, {100 * test.high:+.1f}], p = {test.p_value:.4f}: {word_of(test)}"
    )
    if not test.separated:
        yield (
            f"Such a test finds a true difference of {100 * test.detectable:.1f} points in four of five cases: "
            "a tie is no proof that the two are equal."
        )
    one_run = seeds_sentence([mine, other])
    if one_run:
        yield one_run
