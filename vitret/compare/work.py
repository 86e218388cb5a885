"""What a bench will do, resolved from names before anything is touched: recipes, data, and the rows they owe."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from vitret.compare import results
from vitret.compare.arena import read_suite
from vitret.compare.whiten import load_source
from vitret.core.ablations import make_variants
from vitret.core.config import location
from vitret.core.errors import DataError, UserError, VitretError
from vitret.core.protocol import Suite
from vitret.core.recipes import Recipe, Track, make_recipe, read_published, read_track, split_assignments
from vitret.core.runs import Run
from vitret.data import layout

if TYPE_CHECKING:
    from vitret.core.records import EvalSet, ImageSet, TrainSet


@dataclass(frozen=True, kw_only=True)
class Places:
    """The folders a bench reads and writes."""

    home: Path
    data: Path
    results: Path
    configs: Path
    suites: Path

    @classmethod
    def default(cls) -> Places:
        return cls(
            home=location("home").path,
            data=location("data").path,
            results=location("results").path,
            configs=location("configs").path,
            suites=location("suites").path,
        )


@dataclass(frozen=True, kw_only=True)
class Task:
    """One recipe, and the rows it owes: evaluation set (with or without distractors) → file."""

    recipe: Recipe
    rows: dict[str, Path]


@dataclass(frozen=True, kw_only=True)
class Work:
    """All that a bench will do, resolved before anything is touched."""

    suite: Suite
    tasks: tuple[Task, ...]
    evaluations: dict[str, EvalSet]
    distractors: ImageSet | None
    whitening_source: TrainSet | None
    # Training set → its digest, and which part of it is prepared: of every set that something learns from.
    learned: dict[str, tuple[str, str]]

    def training(self, recipe: Recipe) -> tuple[str, str]:
        """Digest and subset of what a row's numbers were learned from; empty for what learns nothing."""
        if recipe.system.frozen and not self.suite.protocol.rerank.learned:
            return "", ""
        return self.learned[recipe.track.train_set]


def resolve(
    places: Places,
    train_set: str,
    *,
    systems: Sequence[str] = (),
    seeds: int | None = None,
    suite: str | None = None,
    eval_sets: Sequence[str] = (),
    assignments: Sequence[str] = (),
    published: Sequence[str] = (),
    ablation: str | None = None,
) -> Work:
    """Turn names into recipes, data and rows; every problem that can be found now is found now, and all are listed.

    Raises:
        UserError: unknown names or options.
        DataError: a set that is not prepared.
    """
    track = read_track(places.configs, train_set, split_assignments(assignments)[1])
    names = tuple(systems) or (() if published or ablation else track.systems)
    if not names and not published and not ablation:
        raise UserError(
            f"the track of {train_set} names no systems. Say which: --systems a,b (`vitret list systems`)."
        )
    own = [read_published(places.configs, name, assignments) for name in published]
    chosen = read_suite(places.suites, suite or _own_suite(own if not names and not ablation else [], track))
    if eval_sets:
        chosen = chosen.model_copy(update={"sets": tuple(eval_sets)})
    if not chosen.sets:
        raise UserError(f"suite '{chosen.name}' measures no set of its own. Name one: --eval-set NAME.")
    problems: list[VitretError] = []
    repeats = _seeds(track.seeds, seeds)
    recipes = _recipes(places, train_set, names, repeats, assignments, problems)
    recipes += own
    if ablation:
        recipes += _variants(places, ablation, train_set, repeats, assignments, problems)
    learned = _training_sets(places, recipes, problems, matcher=chosen.protocol.rerank.learned)
    evaluations, distractors = _data(places, chosen, problems)
    whitening_source = None
    try:
        whitening_source = load_source(places.data, chosen.protocol.whitening)
    except VitretError as error:
        problems.append(error)
    if problems:
        kind = DataError if all(isinstance(p, DataError) for p in problems) else UserError
        raise kind("\n".join(dict.fromkeys(str(p) for p in problems)))
    tasks = tuple(_task(places, recipe, chosen) for recipe in _once(recipes))
    return Work(
        suite=chosen,
        tasks=tasks,
        evaluations=evaluations,
        distractors=distractors,
        whitening_source=whitening_source,
        learned=learned,
    )


def _own_suite(alone: Sequence[Recipe], track: Track) -> str:
    """The suite of published recipes that run without others, else the track's."""
    suites = sorted({recipe.track.suite for recipe in alone})
    if len(suites) > 1:
        raise UserError(f"these recipes are measured by different suites. Say one: --suite {suites[0]}.")
    return suites[0] if suites else track.suite


def _recipes(
    places: Places,
    train_set: str,
    names: Sequence[str],
    seeds: Sequence[int],
    assignments: Sequence[str],
    problems: list[VitretError],
) -> list[Recipe]:
    found = []
    for name in names:
        try:
            found += [
                make_recipe(places.configs, name, train_set, seed=s, assignments=assignments) for s in seeds
            ]
        except VitretError as error:
            problems.append(error)
    return found


def _variants(
    places: Places,
    ablation: str,
    train_set: str,
    seeds: Sequence[int],
    assignments: Sequence[str],
    problems: list[VitretError],
) -> list[Recipe]:
    """A system and each of its changes, by seed."""
    try:
        return [
            recipe
            for seed in seeds
            for recipe in make_variants(
                places.configs, ablation, train_set, seed=seed, assignments=assignments
            )
        ]
    except VitretError as error:
        problems.append(error)
        return []


def _seeds(named: Sequence[int], count: int | None) -> list[int]:
    """The track's seeds, or the first `count` of them continued upwards."""
    further = range(max(named) + 1, max(named) + 1 + max(0, (count or 0) - len(named)))
    return [*named, *further][:count]


def _once(recipes: Sequence[Recipe]) -> list[Recipe]:
    """Each recipe once; a frozen pre-trained network has no seeds to repeat."""
    seen: dict[str, Recipe] = {}
    for recipe in recipes:
        model = recipe.system.model
        pretrained = model.checkpoint is not None or model.backbone.options.get("pretrained", True)
        key = recipe.system.name if recipe.system.frozen and pretrained else recipe.run_id
        seen.setdefault(key, recipe)
    return list(seen.values())


def _training_sets(
    places: Places, recipes: Sequence[Recipe], problems: list[VitretError], *, matcher: bool
) -> dict[str, tuple[str, str]]:
    """Digest and subset of each set that is learned from; a run that learned from other bytes is a problem.

    A published recipe may name another set than the bench's track; a matcher learns beside a frozen network too.
    """
    found: dict[str, tuple[str, str]] = {}
    absent: set[str] = set()
    for recipe in recipes:
        name = recipe.track.train_set
        if recipe.system.frozen and not matcher:
            continue
        try:
            if name not in found and name not in absent:
                found[name] = layout.train_facts(places.data, name)
            if name in found and not recipe.system.frozen:
                Run(path=places.home / "runs" / recipe.run_id).require_data(name, found[name][0])
        except VitretError as error:
            absent.add(name)
            problems.append(error)
    return found


def _data(
    places: Places, suite: Suite, problems: list[VitretError]
) -> tuple[dict[str, EvalSet], ImageSet | None]:
    evaluations: dict[str, EvalSet] = {}
    distractors = None
    for name in suite.sets:
        try:
            evaluations[name] = layout.load_eval(places.data, name)
        except VitretError as error:
            problems.append(error)
    if suite.distractors:
        try:
            distractors = layout.load_images(places.data, suite.distractors)
        except VitretError as error:
            problems.append(error)
    return evaluations, distractors


def _task(places: Places, recipe: Recipe, suite: Suite) -> Task:
    names = [results.eval_name(name, None) for name in suite.sets]
    if suite.distractors:
        names += [results.eval_name(name, suite.distractors) for name in suite.sets]
    rows = {name: results.result_path(places.results, recipe, name, suite.protocol) for name in names}
    return Task(recipe=recipe, rows=rows)


def missing_rows(work: Work, task: Task) -> list[str]:
    """Rows of a task that are not there, or were measured on other bytes of the data."""
    return [name for name, path in task.rows.items() if not _stands(work, task.recipe, name, path)]


def _stands(work: Work, recipe: Recipe, name: str, path: Path) -> bool:
    if not path.is_file():
        return False
    row = results.read_result(path)
    plain, _, distractors = name.partition("+")
    same = row.data.manifest == work.evaluations[plain].digest
    same = same and row.training.manifest == work.training(recipe)[0]
    if distractors:
        assert work.distractors is not None
        same = same and row.data.distractors_manifest == work.distractors.digest
    if work.whitening_source is not None:
        same = same and row.data.whitening_manifest == work.whitening_source.digest
    return same and set(work.suite.keys) <= set(row.metrics)


def plan(places: Places, work: Work) -> list[str]:
    """What `bench` would do, one line each; touches nothing."""
    lines = []
    for task in work.tasks:
        run = Run(path=places.home / "runs" / task.recipe.run_id)
        missing = missing_rows(work, task)
        if not missing:
            lines.append(f"{run.id}: nothing to do, {len(task.rows)} rows stand")
            continue
        if task.recipe.system.frozen:
            what = "frozen"
        elif run.finished:
            what = "trained already"
        else:
            what = f"train on {task.recipe.track.images_seen:,} images"
        if work.suite.protocol.rerank.learned:
            what += ", train a matcher of pairs unless it is there"
        lines.append(f"{run.id}: {what}, then measure {', '.join(missing)}")
    return lines


def needed_sets(places: Places, train_sets: Sequence[str]) -> list[str]:
    """The sets that benches on these training sets read: for training, evaluation, distraction and whitening."""
    tracks = [read_track(places.configs, name) for name in train_sets]
    suites = [read_suite(places.suites, track.suite) for track in tracks]
    names = [t.train_set for t in tracks] + [s for suite in suites for s in suite.sets]
    names += [suite.distractors for suite in suites if suite.distractors]
    names += [suite.protocol.whitening.data for suite in suites if suite.protocol.whitening.data]
    return list(dict.fromkeys(names))
