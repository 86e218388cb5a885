"""What a bench would do, in words: runs, images, disk, and what is missing. Works before anything is prepared."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

from vitret.compare.asked import (
    Asked,
    Places,
    Problems,
    Request,
    ask,
    descriptor_dim,
    preparing,
    unprepared,
)
from vitret.compare.rates import forecast, rates_of
from vitret.compare.work import Task, Work, missing_rows, other_weights, resolve, row_paths, to_train
from vitret.core import plugins
from vitret.core.recipes import ResolvedRecipe
from vitret.core.runs import Run
from vitret.core.store import free_space
from vitret.data import layout
from vitret.data.prepare.disk_budget import readable
from vitret.data.prepare.plan import make_plan


def plan(places: Places, request: Request, *, device: str = "cpu") -> list[str]:
    """What `bench` would do, one line each; touches nothing. `device` is as rows name it.

    Raises:
        UserError: unknown names or options.
        DataError: a set that vitret has no card of and that is not prepared.
    """
    problems = Problems()
    asked = ask(places, request, problems)
    problems.raise_all()
    missing = unprepared(places, asked)
    if missing:
        owed = {recipe.run_id: _not_there(places, asked, recipe) for recipe in asked.recipes}
        lines = [_line(places, asked, recipe, owed[recipe.run_id]) for recipe in asked.recipes]
    else:
        work = resolve(places, request)
        owed = {task.recipe.run_id: missing_rows(work, task) for task in work.tasks}
        lines = [_line_of_task(places, asked, work, task) for task in work.tasks]
    lines += _totals(places, asked, owed, device=device)
    return lines + list(_preparations(places, asked, missing))


def _not_there(places: Places, asked: Asked, recipe: ResolvedRecipe) -> list[str]:
    """Rows that have no file; whether those that have one stand is known when the sets are prepared."""
    rows = row_paths(places, recipe, suite=asked.suite)
    return [name for name, path in rows.items() if not path.is_file()]


def _line_of_task(places: Places, asked: Asked, work: Work, task: Task) -> str:
    missing = missing_rows(work, task)
    replaced = bool(missing) and task.recipe.system.frozen and other_weights(task)
    return _line(places, asked, task.recipe, missing, replaced=replaced)


def _line(
    places: Places, asked: Asked, recipe: ResolvedRecipe, missing: Sequence[str], *, replaced: bool = False
) -> str:
    """One run: what is done for it."""
    run = Run.of(places.home, recipe.run_id)
    if not missing:
        return f"{run.id}: nothing to do, {len(row_paths(places, recipe, suite=asked.suite))} rows stand"
    if recipe.system.frozen:
        what = "frozen" + (", its weights were replaced" if replaced else "")
    elif run.finished:
        what = "trained already"
    else:
        what = f"train on {recipe.track.images_seen:,} {recipe.system.train_on}"
        what += f" {recipe.exclude.words}" if recipe.exclude else ""
    if asked.suite.protocol.rerank.learned:
        what += ", train a matcher of pairs unless it is there"
    return f"{run.id}: {what}, then measure {', '.join(missing)}"


def _totals(places: Places, asked: Asked, owed: dict[str, list[str]], *, device: str) -> list[str]:
    """Runs, images, disk and time of everything that is to be done."""
    busy = [recipe for recipe in asked.recipes if owed[recipe.run_id]]
    if not busy:
        return []
    learners = [recipe for recipe in busy if to_train(places, recipe)]
    seen = sum(recipe.track.images_seen for recipe in learners)
    suite = asked.suite.name
    training = f", of which {len(learners)} train, on {seen:,} images in all" if learners else "; none trains"
    lines = [f"Runs under suite {suite}: {len(busy)}{training}."]
    counts = {
        recipe.run_id: _described(places, asked, owed[recipe.run_id]) + _learned_on(places, recipe)
        for recipe in busy
    }
    images = sum(counts.values())
    lines.append(
        f"Images to describe: at most {images:,}; descriptors that are there already are not made again."
    )
    size = sum(4 * descriptor_dim(recipe) * counts[recipe.run_id] for recipe in busy)
    lines.append(
        f"Descriptors: at most {readable(size)} in {places.home}, {readable(free_space(places.home))} free."
    )
    works = [
        (
            recipe.system.name,
            rates_of(places.results, recipe, asked.suite.protocol, device=device),
            recipe.track.images_seen if to_train(places, recipe) else 0,
            counts[recipe.run_id],
        )
        for recipe in busy
    ]
    return lines + forecast(works, device=device)


def _described(places: Places, asked: Asked, owed: Sequence[str]) -> int:
    """How many images one network describes for its missing rows, those of a whitening included."""
    plain = dict.fromkeys(name.partition("+")[0] for name in owed)
    total = sum(
        _count(places.data, name, "queries") + _count(places.data, name, "database") for name in plain
    )
    if asked.suite.distractors and any("+" in name for name in owed):
        total += _count(places.data, asked.suite.distractors, "database")
    if asked.suite.protocol.whitening.data:
        total += _count(places.data, asked.suite.protocol.whitening.data, "train")
    return total


def _learned_on(places: Places, recipe: ResolvedRecipe) -> int:
    """How many training images are described for a head that is still to learn on descriptors."""
    if recipe.system.train_on != "descriptors" or not to_train(places, recipe):
        return 0
    return sum(_count(places.data, recipe.track.train_set, part) for part in ("train", "validation"))


def _count(data: Path, name: str, part: str) -> int:
    """Images of a part of a set: as prepared, else as its card expects; 0 where neither knows."""
    if layout.exists(data, name):
        return int(layout.load_manifest(data, name)["counts"].get(part) or 0)
    expected = plugins.load("datasets", name).CARD.expected
    return expected[part].value if part in expected else 0


def _preparations(places: Places, asked: Asked, missing: Sequence[str]) -> Iterator[str]:
    """What is to be prepared first, its cost, and the command."""
    for i, name in enumerate(missing):
        cost = make_plan(plugins.load("datasets", name).CARD, places.data, before=missing[:i])
        yield (
            f"Not prepared: {name}, {cost.to_fetch} to fetch"
            + (f", {cost.disk_words} of disk" if cost.disk_words else "")
            + (", by hand" if cost.by_hand else "")
        )
    if missing:
        yield f"Free in {places.data}: {readable(free_space(places.data))}."
        yield from preparing(asked, missing).splitlines()
