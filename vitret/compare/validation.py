"""What is wrong with stored rows: a row must stand where its content says, agree with itself, and be as it was written.

Three checks, each for what the one before cannot see: facts that a row holds twice agree; every metric follows from the
stored ranks, and its interval from those and the groups beside the rows; the digest written with the row covers the
rest. A digest is no signature: whoever edits a row can write another one. It finds edits by hand, faults of programs
and damaged copies.
"""

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from itertools import chain
from pathlib import Path
from typing import Any

import numpy as np

from vitret.compare.groups import Groups, groups_for, groups_path, groups_problems, missing
from vitret.compare.intervals import interval
from vitret.compare.overlap.known import record_problems
from vitret.compare.results import (
    ADVICE,
    Metric,
    Result,
    named_as_row,
    path_of,
    ranks_digest,
    read_ranks,
    read_result,
    result_files,
)
from vitret.core.errors import UserError, VitretError
from vitret.core.protocol import metric_key, split_key
from vitret.core.records import Ranks
from vitret.core.store import own_digest, read_json_object
from vitret.measure.evaluate import parse_metric

# A row lies at TRAINSET/SYSTEM/EVALSET/NAME below a results folder.
_DEPTH = 4


@dataclass(frozen=True, kw_only=True, eq=False)
class Stored:
    """A row as it lies in its file, with the ranks beside it."""

    path: Path
    result: Result
    ranks: Mapping[str, Ranks]

    @classmethod
    def read(cls, path: Path) -> "Stored":
        """Raises `VitretError` where one of the two cannot be read."""
        return cls(path=path, result=read_result(path), ranks=read_ranks(path))

    def problems(self, root: Path) -> Iterator[str]:
        """What is wrong with it, its intervals left alone: they are sound as of the version that wrote them."""
        yield from _place(root, self.path, self.result)
        yield from (f"{self.path}: {words}" for words in _digests(self.path, self.result, self.ranks))
        yield from (f"{self.path}: {words}" for words in contradictions(self.result))
        yield from (f"{self.path}: {words}" for words in _numbers(self.result, self.ranks))

    def groups(self, root: Path) -> Groups | None:
        """The groups of its queries, None where no file tells them; raises `VitretError` for a damaged file."""
        there = groups_path(root, self.result.data.set, self.result.data.manifest).is_file()
        return groups_for(root, self.result) if there else None

    def other_intervals(self, groups: Groups) -> dict[str, tuple[float, float]]:
        """Today's interval of each number that has another one, by ranks and groups."""
        found = {}
        for key, metric in self.result.metrics.items():
            name, level = split_key(key)
            today = interval(parse_metric(name)(self.ranks[level]), groups.numbers)
            if not np.allclose(today, (metric.low, metric.high), rtol=0, atol=1e-6):
                found[key] = today
        return found


def problems(root: Path) -> Iterator[str]:
    """Everything that is wrong with the rows below `root` and with what stands beside them, each sentence once."""
    yield from dict.fromkeys(
        chain(
            groups_problems(root),
            *(_row_problems(root, path) for path in result_files(root)),
            _strays(root),
            record_problems(root),
        )
    )


def _row_problems(root: Path, path: Path) -> Iterator[str]:
    try:
        row = Stored.read(path)
    except VitretError as error:
        yield str(error)
        return
    found = list(row.problems(root))
    yield from found
    try:
        groups = row.groups(root)
    except VitretError as error:
        yield str(error)
        return
    if groups is None:
        data = row.result.data
        yield missing(groups_path(root, data.set, data.manifest))
    elif not found:  # from ranks that are not the row's no interval follows
        yield from (f"{path}: {words}" for words in _intervals(row, groups))


def _strays(root: Path) -> Iterator[str]:
    """Rows that no table finds, and ranks that lost their row."""
    rows = set(result_files(root))
    for path in sorted(root.rglob("*")):
        row = path.with_suffix(".json")
        if not named_as_row(row) or path in rows:
            continue
        if path.suffix == ".npz" and row not in rows and len(path.relative_to(root).parts) == _DEPTH:
            yield f"{path}: the row that belongs to these ranks is not beside them. {ADVICE}"
        elif path.suffix.lower() == ".json":
            yield f"{path}: no table finds a row here. A row lies at TRAINSET/SYSTEM/EVALSET/NAME.json."


def _place(root: Path, path: Path, result: Result) -> Iterator[str]:
    if path != path_of(root, result):
        yield f"{path}: by its content it belongs at {path_of(root, result)}. Move it there, its .npz with it."


def _digests(path: Path, result: Result, ranks: Mapping[str, Ranks]) -> Iterator[str]:
    """Whether row and ranks are as they were written. A row of version 1 has no digest: nothing protects it."""
    if not result.digest or not result.ranks_sha256:
        yield f"it has no digest, so nobody can tell whether it was edited. {ADVICE}"
        return
    if result.digest != own_digest(read_json_object(path)):
        yield f"it was edited after it was written: its digest is of other content. {ADVICE}"
    if result.ranks_sha256 != ranks_digest(ranks):
        yield f"the ranks beside it are not those it was written with. {ADVICE}"


def contradictions(result: Result) -> Iterator[str]:
    """What a row says twice, and not alike: one sentence each."""
    for name, said, again in _said_twice(result):
        if said != again:
            yield f"{name} is {said!r}, but elsewhere the row says {again!r}."


def _said_twice(result: Result) -> Iterator[tuple[str, Any, Any]]:
    """(dotted key, its value, the value that follows from another part of the row)."""
    recipe, model, training, data = result.recipe, result.model, result.training, result.data
    system, track = recipe.system, recipe.track
    yield "fingerprint", result.fingerprint, result.protocol.fingerprint
    yield "model.system", model.system, system.name
    yield "model.title", model.title, system.title
    yield "model.backbone", model.backbone, system.model.architecture
    yield "model.head", model.head, system.model.head.name
    options = system.model.backbone.options
    came_from = (None, None) if model.foreign is None else (model.foreign.source, model.foreign.commit)
    yield "model.foreign", came_from, (options.get("source"), options.get("commit"))
    yield "model.dim", model.dim, _dim(result)
    yield "training.set", training.set, track.train_set
    yield "training.seed", training.seed, recipe.seed
    yield "training.budget", training.budget, recipe.budget
    yield "training.pretraining", training.pretraining, track.pretraining
    yield "training.images_seen", training.images_seen, 0 if system.frozen else track.images_seen
    learned = not system.frozen or result.protocol.rerank.learned
    yield "whether training.manifest is given", bool(training.manifest), learned
    yield "whether recipe.exclude is of something that learned", recipe.exclude is None or learned, True
    whitened = result.protocol.whitening.kind != "none"
    yield "whether data.whitening_manifest is given", bool(data.whitening_manifest), whitened
    yield "whether search is given", result.search is not None, result.protocol.search != "exact"
    with_distractors = data.distractors is not None
    yield "whether data.distractors_manifest is given", bool(data.distractors_manifest), with_distractors
    yield "whether data.distractor_images are counted", data.distractor_images > 0, with_distractors
    yield "whether suite.primary is measured", result.suite.primary in result.metrics, True
    keys = {metric_key(name, level) for name in result.suite.metrics for level in result.suite.levels}
    yield "metrics beyond those of the suite", sorted(result.metrics.keys() - keys), []
    for key, metric in result.metrics.items():
        yield f"n of {key}", metric.n, data.queries
    if result.cost.network is not None:
        yield "cost.network.scales", result.cost.network.scales, result.protocol.scales
        yield "cost.network.precision", result.cost.network.precision, result.environment.precision
    yield "cost.descriptor_bytes for each dimension", result.cost.descriptor_bytes / model.dim, _width(result)


def _dim(result: Result) -> int:
    """The dimension that the recipe's head gives, or fewer where whitening may leave some out."""
    given = result.recipe.system.model.head.options.get("dim")
    if not isinstance(given, int):
        return result.model.dim
    return given if result.protocol.whitening.kind == "none" else min(given, result.model.dim)


def _width(result: Result) -> float:
    """Bytes of a number: float32, or float16 where that is what the row implies."""
    return 2.0 if result.cost.descriptor_bytes == 2 * result.model.dim else 4.0


def _numbers(result: Result, ranks: Mapping[str, Ranks]) -> Iterator[str]:
    """Whether every metric of the suite is there and follows from the ranks."""
    suite, answered = result.suite, [level for level, one in ranks.items() if one.n_positive.any()]
    keys = [metric_key(name, level) for name in suite.metrics for level in suite.levels if level in answered]
    yield from (
        f"has no {key}, which its suite measures. {ADVICE}" for key in keys if key not in result.metrics
    )
    for key, metric in result.metrics.items():
        name, level = split_key(key)
        if level not in ranks:
            yield f"no ranks stored for '{key}'. {ADVICE}"
            continue
        try:
            measure = parse_metric(name)
        except UserError as error:
            yield f"'{key}' is no number of this version. {error} {ADVICE}"
            continue
        yield from _number(key, metric, values=measure(ranks[level]))


def _number(key: str, metric: Metric, *, values: np.ndarray) -> Iterator[str]:
    if not metric.low - 1e-9 <= metric.value <= metric.high + 1e-9:
        yield f"{key} {metric.value} lies outside its own interval [{metric.low}, {metric.high}]."
    counted = ~np.isnan(values)
    if (metric.n, metric.n_effective) != (len(values), int(counted.sum())):
        yield (
            f"{key} counts {metric.n_effective} of {metric.n} queries, its ranks {counted.sum()} of {len(values)}."
        )
    again = float(values[counted].mean()) if counted.any() else math.nan
    if not math.isclose(again, metric.value, rel_tol=0, abs_tol=1e-12):
        yield f"{key} is given as {metric.value}, its ranks give {again}."


def _intervals(row: Stored, groups: Groups) -> Iterator[str]:
    """Whether every interval is what ranks and groups give today."""
    for key, (low, high) in row.other_intervals(groups).items():
        metric = row.result.metrics[key]
        yield (
            f"{key} has the interval [{metric.low:.4f}, {metric.high:.4f}], its ranks and groups give "
            f"[{low:.4f}, {high:.4f}]. Write it again: vitret results renew"
        )
