"""What a bench will do, resolved before anything is touched: recipes, data, and the rows they owe."""

from __future__ import annotations

from collections.abc import Container, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from vitret.compare import results
from vitret.compare.arena import read_suite
from vitret.compare.asked import Asked, Places, Problems, Request, ask, require_prepared, unprepared
from vitret.compare.levels import owed_keys, require_measurable
from vitret.compare.whiten import load_source
from vitret.core.errors import UserError
from vitret.core.exclusion import LeftOut
from vitret.core.protocol import Suite
from vitret.core.recipes import Recipe, ResolvedRecipe, read_track
from vitret.core.runs import Run
from vitret.data import layout
from vitret.measure.approximate import require_faiss

if TYPE_CHECKING:
    from vitret.core.records import EvalSet, ImageSet, TrainSet


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
    """All that a bench will do, resolved before anything is touched; of `resolve_prepared`, what is known of it."""

    suite: Suite
    tasks: tuple[Task, ...]
    evaluations: dict[str, EvalSet]
    distractors: ImageSet | None
    whitening_source: TrainSet | None
    # Training set → its digest, and which part of it is prepared: of every set that something learns from.
    learned: dict[str, tuple[str, str]]
    # The training images that recipes with an exclusion do not learn from.
    left_out: LeftOut | None = None

    def learns(self, recipe: Recipe) -> bool:
        """Whether a row's numbers are learned: by the network, or by a matcher beside a frozen one."""
        return not recipe.system.frozen or self.suite.protocol.rerank.learned

    def training(self, recipe: Recipe) -> tuple[str, str]:
        """Digest and subset of what a row's numbers were learned from; empty for what learns nothing."""
        return self.learned[recipe.track.train_set] if self.learns(recipe) else ("", "")


def resolve(places: Places, request: Request) -> Work:
    """Turn names into recipes, data and rows; every problem that can be found now is found now, and all are listed.

    Raises:
        UserError: unknown names or options.
        DataError: a set that is not prepared.
        MachineError: the suite searches approximately, and there is no faiss.
    """
    problems = Problems()
    asked = ask(places, request, problems)
    if asked.suite.protocol.search != "exact":
        require_faiss()
    with problems.collected():
        require_prepared(places, asked)
    return _work(places, asked, problems=problems)


def resolve_prepared(places: Places, request: Request) -> Work:
    """As `resolve`, of the sets that are prepared: the others are not in it, and are no problem.

    Raises:
        UserError: unknown names or options.
        DataError: a set that vitret has no card of and that is not prepared.
    """
    problems = Problems()
    return _work(places, ask(places, request, problems), problems=problems)


def _work(places: Places, asked: Asked, *, problems: Problems) -> Work:
    """The work on the sets that are prepared; raises what is wrong with it, and the problems found before."""
    suite, absent = asked.suite, set(unprepared(places, asked))
    learned = _training_sets(places, asked, absent, problems=problems)
    if asked.left_out is not None:
        for name in learned:
            with problems.collected():
                asked.left_out.mark(layout.load_train(places.data, name))
    evaluations, distractors = _data(places, suite, absent, problems=problems)
    whitening_source = None
    with problems.collected():
        if suite.protocol.whitening.data not in absent:
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
        tasks=tuple(_task(places, recipe, suite=suite) for recipe in asked.recipes),
        evaluations=evaluations,
        distractors=distractors,
        whitening_source=whitening_source,
        learned=learned,
        left_out=asked.left_out,
    )


def _training_sets(
    places: Places, asked: Asked, absent: Container[str], *, problems: Problems
) -> dict[str, tuple[str, str]]:
    """Digest and subset of each set that is learned from; a run that learned from other bytes is a problem."""
    from vitret.models.origin import require_start

    found: dict[str, tuple[str, str]] = {}
    for name in asked.learned:
        with problems.collected():
            if name not in absent:
                found[name] = layout.train_facts(places.data, name)
    _require_batches(places, asked, found, problems=problems)
    for recipe in asked.recipes:
        name = recipe.track.train_set
        if name in found and not recipe.system.frozen:
            with problems.collected():
                run = Run.of(places.home, recipe.run_id)
                run.require_data(name, found[name][0])
                require_start(run, recipe, home=places.home)
    return found


def to_train(places: Places, recipe: ResolvedRecipe) -> bool:
    """Whether a recipe's training is still to be done."""
    return not recipe.system.frozen and not Run.of(places.home, recipe.run_id).finished


def _require_batches(places: Places, asked: Asked, prepared: Container[str], *, problems: Problems) -> None:
    """A system that cannot learn from its set is a problem, once for all its seeds."""
    looked: set[str] = set()
    trainset: TrainSet | None = None
    for recipe in asked.recipes:
        name, system = recipe.track.train_set, recipe.system
        if name not in prepared or not to_train(places, recipe) or system.name in looked:
            continue
        from vitret.learn.train import require_batches

        looked.add(system.name)
        with problems.collected():
            if trainset is None or trainset.name != name:
                trainset = layout.load_train(places.data, name)
            learned = asked.left_out.mark(trainset) if recipe.exclude and asked.left_out else trainset
            try:
                require_batches(recipe, learned)
            except UserError as error:
                raise UserError(f"{system.name} cannot learn from {name}: {error}") from error


def _data(
    places: Places, suite: Suite, absent: Container[str], *, problems: Problems
) -> tuple[dict[str, EvalSet], ImageSet | None]:
    evaluations: dict[str, EvalSet] = {}
    distractors = None
    for name in suite.sets:
        with problems.collected():
            if name not in absent:
                evaluations[name] = require_measurable(
                    places.suites, suite, layout.load_eval(places.data, name)
                )
    if suite.distractors and suite.distractors not in absent:
        with problems.collected():
            distractors = layout.load_images(places.data, suite.distractors)
    return evaluations, distractors


def _require_images(
    places: Places, names: Sequence[str], whitening_source: TrainSet | None, *, problems: Problems
) -> None:
    """Images that were replaced after their set was prepared are a problem, for every set that is read."""
    every = [*names, *([whitening_source.name] if whitening_source else [])]
    for name in dict.fromkeys(every):
        with problems.collected():
            layout.require_unchanged(places.data, name)


def row_paths(places: Places, recipe: ResolvedRecipe, *, suite: Suite) -> dict[str, Path]:
    """The rows that a recipe owes a suite: evaluation set (with or without distractors) → file."""
    names = [results.eval_name(name, None) for name in suite.sets]
    if suite.distractors:
        names += [results.eval_name(name, suite.distractors) for name in suite.sets]
    return {name: results.result_path(places.results, recipe, name, suite.protocol) for name in names}


def _task(places: Places, recipe: ResolvedRecipe, *, suite: Suite) -> Task:
    rows = row_paths(places, recipe, suite=suite)
    # Only a row can be of other weights than those here now.
    if not any(path.is_file() for path in rows.values()):
        return Task(recipe=recipe, rows=rows)
    weights = _weights_now(places, recipe)
    return Task(recipe=recipe, rows=rows, weights=weights, start=_start_now(places, recipe))


def _weights_now(places: Places, recipe: Recipe) -> str:
    """The digest of the network that would be measured now: of a frozen one's file, else of the run's checkpoint."""
    from vitret.models.origin import checkpoint_digest, digest_now

    run = Run.of(places.home, recipe.run_id)
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


def needed_sets(places: Places, train_sets: Sequence[str]) -> list[str]:
    """The sets that benches on these training sets read: for training, evaluation, distraction and whitening."""
    tracks = [read_track(places.configs, name) for name in train_sets]
    suites = [read_suite(places.suites, track.suite) for track in tracks]
    names = [t.train_set for t in tracks] + [s for suite in suites for s in suite.sets]
    names += [suite.distractors for suite in suites if suite.distractors]
    names += [suite.protocol.whitening.data for suite in suites if suite.protocol.whitening.data]
    return list(dict.fromkeys(names))
