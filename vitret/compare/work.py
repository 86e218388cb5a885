"""What a bench will do, resolved from names before anything is touched: recipes, data, and the rows they owe."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from vitret.compare import results
from vitret.compare.arena import read_suite
from vitret.compare.levels import owed_keys, require_measurable
from vitret.compare.whiten import load_source
from vitret.core.ablations import make_variants
from vitret.core.config import location
from vitret.core.errors import DataError, EmptyError, UserError, VitretError
from vitret.core.exclusion import LeftOut, read_left_out
from vitret.core.protocol import Suite
from vitret.core.recipes import (
    Recipe,
    ResolvedRecipe,
    Track,
    make_recipe,
    read_published,
    read_track,
    split_assignments,
)
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
    """One recipe, and the rows it owes: evaluation set (with or without distractors) → file.

    `weights` is the digest of the network that would be measured now, `start` that of the file that its training starts
    from; each is empty where it is not known.
    """

    recipe: ResolvedRecipe
    rows: dict[str, Path]
    weights: str = ""
    start: str = ""


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
    # The training images that recipes with an exclusion do not learn from.
    left_out: LeftOut | None = None

    def training(self, recipe: Recipe) -> tuple[str, str]:
        """Digest and subset of what a row's numbers were learned from; empty for what learns nothing."""
        if recipe.system.frozen and not self.suite.protocol.rerank.learned:
            return "", ""
        return self.learned[recipe.track.train_set]


@dataclass(frozen=True, kw_only=True)
class Request:
    """What a bench is asked for, by names; what is not said comes from the track.

    `seeds` is how many, `assignments` are `optimiser.lr=1e-4` and the like, `eval_sets` stand in place of the suite's.
    `exclude` is a file that names training images to leave out.
    """

    train_set: str
    systems: Sequence[str] = ()
    published: Sequence[str] = ()
    ablation: str | None = None
    seeds: int | None = None
    assignments: Sequence[str] = ()
    suite: str | None = None
    eval_sets: Sequence[str] = ()
    exclude: Path | None = None


class _Problems:
    """What is wrong with a request, collected so that all of it is said at once."""

    def __init__(self) -> None:
        self._found: list[VitretError] = []

    @contextmanager
    def collected(self) -> Iterator[None]:
        """Keep an error raised within, and continue behind it."""
        try:
            yield
        except VitretError as error:
            self._found.append(error)

    def raise_all(self) -> None:
        """Raise every problem as one error, each once; a `DataError` where only data is missing."""
        if self._found:
            alike = (
                kind for kind in (DataError, EmptyError) if all(isinstance(p, kind) for p in self._found)
            )
            kind = next(alike, UserError)
            raise kind("\n".join(dict.fromkeys(str(p) for p in self._found)))


def resolve(places: Places, request: Request) -> Work:
    """Turn names into recipes, data and rows; every problem that can be found now is found now, and all are listed.

    Raises:
        UserError: unknown names or options.
        DataError: a set that is not prepared.
    """
    track = read_track(places.configs, request.train_set, split_assignments(request.assignments)[1])
    names = _systems(request, track)
    own = [read_published(places.configs, name, request.assignments) for name in request.published]
    suite = _suite(places, request, alone=own if not names and not request.ablation else [], track=track)
    problems = _Problems()
    seeds = _seeds(track.seeds, request.seeds)
    recipes = [
        *_recipes(places, request, names=names, seeds=seeds, problems=problems),
        *own,
        *_variants(places, request, seeds=seeds, problems=problems),
    ]
    left_out = None if request.exclude is None else read_left_out(request.exclude)
    recipes = [_leaving_out(recipe, left_out, matcher=suite.protocol.rerank.learned) for recipe in recipes]
    learned = _training_sets(places, recipes, problems=problems, matcher=suite.protocol.rerank.learned)
    if left_out is not None:
        for name in learned:
            with problems.collected():
                left_out.mark(layout.load_train(places.data, name))
    evaluations, distractors = _data(places, suite, problems=problems)
    whitening_source = None
    with problems.collected():
        whitening_source = load_source(places.data, suite.protocol.whitening)
    _require_images(
        places,
        [*evaluations, *learned, *([distractors.name] if distractors else [])],
        whitening_source,
        problems=problems,
    )
    problems.raise_all()
    return Work(
        suite=suite,
        tasks=tuple(_task(places, recipe, suite=suite) for recipe in _once(recipes)),
        evaluations=evaluations,
        distractors=distractors,
        whitening_source=whitening_source,
        learned=learned,
        left_out=left_out,
    )


def _leaving_out(recipe: ResolvedRecipe, left_out: LeftOut | None, *, matcher: bool) -> ResolvedRecipe:
    """A recipe that learns without some images; one that learns nothing stays as it is."""
    if left_out is None or (recipe.system.frozen and not matcher):
        return recipe
    return ResolvedRecipe(left_out.of(recipe))


def _systems(request: Request, track: Track) -> tuple[str, ...]:
    """The systems asked for: the track's, where nothing else is asked for."""
    others = bool(request.published or request.ablation)
    names = tuple(request.systems) or (() if others else track.systems)
    if not names and not others:
        raise UserError(
            f"the track of {request.train_set} names no systems. Say which: --systems a,b (`vitret list systems`)."
        )
    return names


def _suite(places: Places, request: Request, *, alone: Sequence[Recipe], track: Track) -> Suite:
    """The suite asked for, else that of published recipes which run alone, else the track's."""
    suite = read_suite(places.suites, request.suite or _own_suite(alone, track))
    if request.eval_sets:
        suite = suite.model_copy(update={"sets": tuple(request.eval_sets)})
    if not suite.sets:
        raise UserError(f"suite '{suite.name}' measures no set of its own. Name one: --eval-set NAME.")
    return suite


def _own_suite(alone: Sequence[Recipe], track: Track) -> str:
    """The suite of published recipes that run without others, else the track's."""
    suites = sorted({recipe.track.suite for recipe in alone})
    if len(suites) > 1:
        raise UserError(f"these recipes are measured by different suites. Say one: --suite {suites[0]}.")
    return suites[0] if suites else track.suite


def _recipes(
    places: Places, request: Request, *, names: Sequence[str], seeds: Sequence[int], problems: _Problems
) -> list[ResolvedRecipe]:
    """Each system at each seed."""
    found: list[ResolvedRecipe] = []
    for name in names:
        with problems.collected():
            found += [
                make_recipe(
                    places.configs, name, request.train_set, seed=seed, assignments=request.assignments
                )
                for seed in seeds
            ]
    return found


def _variants(
    places: Places, request: Request, *, seeds: Sequence[int], problems: _Problems
) -> list[ResolvedRecipe]:
    """The system of an ablation study and its variants, by seed."""
    found: list[ResolvedRecipe] = []
    with problems.collected():
        for seed in seeds if request.ablation else ():
            found += make_variants(
                places.configs,
                request.ablation or "",
                request.train_set,
                seed=seed,
                assignments=request.assignments,
            )
    return found


def _seeds(named: Sequence[int], count: int | None) -> list[int]:
    """The track's seeds, or the first `count` of them continued upwards."""
    further = range(max(named) + 1, max(named) + 1 + max(0, (count or 0) - len(named)))
    return [*named, *further][:count]


def _once(recipes: Sequence[ResolvedRecipe]) -> list[ResolvedRecipe]:
    """Each recipe once; a frozen pre-trained network has no seeds to repeat."""
    seen: dict[str, ResolvedRecipe] = {}
    for recipe in recipes:
        key = recipe.run_id if recipe.varies else recipe.system.name
        seen.setdefault(key, recipe)
    return list(seen.values())


def _training_sets(
    places: Places, recipes: Sequence[Recipe], *, problems: _Problems, matcher: bool
) -> dict[str, tuple[str, str]]:
    """Digest and subset of each set that is learned from; a run that learned from other bytes is a problem.

    A published recipe may name another set than the bench's track; a matcher learns beside a frozen network too.
    """
    from vitret.models.origin import require_start

    learners = [recipe for recipe in recipes if matcher or not recipe.system.frozen]
    found: dict[str, tuple[str, str]] = {}
    for name in dict.fromkeys(recipe.track.train_set for recipe in learners):
        with problems.collected():
            found[name] = layout.train_facts(places.data, name)
    for recipe in learners:
        name = recipe.track.train_set
        if name in found and not recipe.system.frozen:
            with problems.collected():
                run = Run(path=places.home / "runs" / recipe.run_id)
                run.require_data(name, found[name][0])
                require_start(run, recipe, home=places.home)
    return found


def _data(places: Places, suite: Suite, *, problems: _Problems) -> tuple[dict[str, EvalSet], ImageSet | None]:
    evaluations: dict[str, EvalSet] = {}
    distractors = None
    for name in suite.sets:
        with problems.collected():
            evaluations[name] = require_measurable(places.suites, suite, layout.load_eval(places.data, name))
    if suite.distractors:
        with problems.collected():
            distractors = layout.load_images(places.data, suite.distractors)
    return evaluations, distractors


def _require_images(
    places: Places, names: Sequence[str], whitening_source: TrainSet | None, *, problems: _Problems
) -> None:
    """Images that were replaced after their set was prepared are a problem, for every set that is read."""
    every = [*names, *([whitening_source.name] if whitening_source else [])]
    for name in dict.fromkeys(every):
        with problems.collected():
            layout.require_unchanged(places.data, name)


def _task(places: Places, recipe: ResolvedRecipe, *, suite: Suite) -> Task:
    names = [results.eval_name(name, None) for name in suite.sets]
    if suite.distractors:
        names += [results.eval_name(name, suite.distractors) for name in suite.sets]
    rows = {name: results.result_path(places.results, recipe, name, suite.protocol) for name in names}
    # Only a row can be of other weights than those here now.
    if not any(path.is_file() for path in rows.values()):
        return Task(recipe=recipe, rows=rows)
    weights = _weights_now(places, recipe)
    return Task(recipe=recipe, rows=rows, weights=weights, start=_start_now(places, recipe))


def _weights_now(places: Places, recipe: Recipe) -> str:
    """The digest of the network that would be measured now: of a frozen one's file, else of the run's checkpoint."""
    from vitret.models.origin import checkpoint_digest, digest_now

    run = Run(path=places.home / "runs" / recipe.run_id)
    found = None
    if recipe.system.frozen:
        found = digest_now(recipe.system.model, seed=recipe.seed, home=places.home)
    return found or checkpoint_digest(run, home=places.home) or ""


def _start_now(places: Places, recipe: Recipe) -> str:
    """The sha256 of the file that a training would start from now."""
    from vitret.models.origin import start_now

    return "" if recipe.system.frozen else start_now(recipe.system.model, home=places.home)


def missing_rows(work: Work, task: Task) -> list[str]:
    """Rows of a task that are not there, or were measured on other bytes of the data or with other weights."""
    return [name for name, path in task.rows.items() if not _stands(work, task, name=name, path=path)]


def other_weights(task: Task) -> bool:
    """Whether a row of a task is of other weights than those that are there now."""
    rows = [results.read_result(path) for path in task.rows.values() if path.is_file()]
    return not all(_of_these_weights(task, row) for row in rows)


def _of_these_weights(task: Task, row: results.Result) -> bool:
    """Of weights that are not on this machine, or were not noted, nothing is said against a row."""
    start = row.training.start_sha256
    return task.weights in ("", row.model.weights_sha256) and (not start or task.start in ("", start))


def _stands(work: Work, task: Task, *, name: str, path: Path) -> bool:
    """Whether a row is of what is there now."""
    if not path.is_file():
        return False
    row = results.read_result(path)
    plain, _, distractors = name.partition("+")
    same = row.data.manifest == work.evaluations[plain].digest
    same = same and row.training.manifest == work.training(task.recipe)[0]
    same = same and _of_these_weights(task, row)
    # What could not be read then may be readable now; where it is not, the descriptors are in the cache.
    same = same and row.data.failed_images == 0
    if distractors:
        assert work.distractors is not None
        same = same and row.data.distractors_manifest == work.distractors.digest
    if work.whitening_source is not None:
        same = same and row.data.whitening_manifest == work.whitening_source.digest
    return same and owed_keys(work.suite, work.evaluations[plain]) <= set(row.metrics)


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
            what = "frozen" + (", its weights were replaced" if other_weights(task) else "")
        elif run.finished:
            what = "trained already"
        else:
            what = f"train on {task.recipe.track.images_seen:,} images"
            what += f" {task.recipe.exclude.words}" if task.recipe.exclude else ""
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
