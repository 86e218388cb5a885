"""Which rows may be compared: what must agree between them, and what of it is kept apart in which way.

The key of a table holds what all its rows share. Bytes and groups of the data belong to one evaluation set each, of
which a table has several, and what learned nothing may stand beside every version of a training set.
"""

from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from vitret.compare.groups import groups_beside
from vitret.compare.results import Result
from vitret.core.recipes import Recipe
from vitret.core.store import digest

Entry = tuple[Path, Result]
"""A row's file and the row."""


class Learned(NamedTuple):
    """What a row learned from, each as a digest: the training set's bytes, the images left out, what the budget allows.

    All are empty for what learned nothing. The name of a track does not tell its budget, which another version of the
    track's file may have changed.
    """

    manifest: str
    left_out: str
    budget: str


NOTHING = Learned("", "", "")


def table_key(result: Result) -> tuple[str, ...]:
    """What must agree. Manifests and groups of the data are left to `same_data`: each evaluation set has its own."""
    transductive = "transductive" if result.protocol.expansion.kind == "dba" else ""
    return (
        result.training.set,
        result.recipe.track.name,
        result.training.budget,
        result.suite.name,
        result.fingerprint,
        result.protocol.rerank.shortlist,
        transductive,
    )


def by_training(entries: Sequence[Entry]) -> list[tuple[str, list[Entry]]]:
    """Rows of each version of what was learned from, with those that learned nothing in each.

    A version is named by those of its parts in which the versions differ; the images left out have words of their own.
    """
    learned = [(entry, learned_from(entry[1])) for entry in entries]
    versions = sorted({version for _, version in learned} - {NOTHING})
    if len(versions) < 2:
        return [("", list(entries))]
    differing = [
        (word, part)
        for word, part in (("data", "manifest"), ("budget", "budget"))
        if len({getattr(version, part) for version in versions}) > 1
    ]
    return [
        (
            ", ".join(f"{word} {getattr(version, part)[:8]}" for word, part in differing),
            [entry for entry, own in learned if own in (NOTHING, version)],
        )
        for version in versions
    ]


def learned_from(result: Result) -> Learned:
    """What a row learned from, and under which budget."""
    if not result.training.manifest:
        return NOTHING
    track, left_out = result.recipe.track, result.recipe.exclude
    return Learned(
        manifest=result.training.manifest,
        left_out="" if left_out is None else left_out.digest,
        budget=digest(
            [track.images_seen, track.batch, track.validation, track.image.model_dump(mode="json")]
        ),
    )


def may_stand_together(one: Result, other: Result) -> bool:
    """Whether two rows learned from the same under one budget, or one of them learned nothing."""
    learned = {learned_from(one), learned_from(other)} - {NOTHING}
    return len(learned) < 2


def same_data(entries: Sequence[Entry]) -> tuple[list[Entry], dict[str, int]]:
    """The rows on the data of each evaluation set that most rows have; and how many of each set are on other data."""
    data = [(entry, data_of(*entry)) for entry in entries]
    counts: dict[str, Counter[tuple[str, ...]]] = {}
    for (_, r), key in data:
        counts.setdefault(r.eval_name, Counter())[key] += 1
    chosen = {name: max(sorted(found), key=found.__getitem__) for name, found in counts.items()}
    others = {name: found.total() - found[chosen[name]] for name, found in counts.items()}
    kept = [entry for entry, key in data if chosen[entry[1].eval_name] == key]
    return kept, {name: count for name, count in others.items() if count}


def data_of(path: Path, result: Result) -> tuple[str, ...]:
    """The bytes that a row was measured on, the rule that groups its queries, and those groups."""
    data, groups = result.data, groups_beside(path, result)
    return (
        data.manifest,
        data.distractors_manifest,
        data.whitening_manifest,
        groups.rule,
        digest(groups.numbers.tolist()),
    )


def family(result: Result) -> str:
    """Identity of a row's recipe without its seed."""
    return recipe_family(result.recipe)


def recipe_family(recipe: Recipe) -> str:
    """Identity of a recipe without its seed."""
    return digest(recipe.model_copy(update={"seed": 0}).digest)
