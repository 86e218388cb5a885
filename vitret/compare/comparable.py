"""Which rows may be compared: what must agree between them, and what of it is kept apart in which way.

The key of a table holds what all its rows share. Bytes and groups of the data belong to one evaluation set each, of
which a table has several, and what learned nothing may stand beside every version of a training set.
"""

from collections.abc import Sequence
from pathlib import Path

from vitret.compare.groups import groups_beside
from vitret.compare.results import Result
from vitret.core.recipes import Recipe
from vitret.core.store import digest

Entry = tuple[Path, Result]
"""A row's file and the row."""


def table_key(result: Result) -> tuple[str, ...]:
    """What must agree. Manifests and groups of the data are left to `newest_data`: each evaluation set has its own."""
    transductive = "transductive" if result.protocol.expansion.kind == "dba" else ""
    return (
        result.training.set,
        result.recipe.track.name,
        result.training.budget,
        result.suite.name,
        result.fingerprint,
        result.protocol.rerank.shortlist,
        transductive,
        own_budget(result),
    )


def own_budget(result: Result) -> str:
    """What a budget of its own allows, as a digest: the track's name does not tell it. Empty for a track's."""
    if result.training.budget == "track":
        return ""
    track = result.recipe.track
    return digest([track.images_seen, track.batch, track.validation, track.image.model_dump(mode="json")])


def by_training(entries: Sequence[Entry]) -> list[tuple[str, list[Entry]]]:
    """Rows of each version of what was learned from, with those that learned nothing in each.

    A version is the training set's bytes and the images left out; its bytes are named where they differ.
    """
    versions = sorted({learned_from(r) for _, r in entries} - {("", "")})
    if len(versions) < 2:
        return [("", list(entries))]
    several = len({manifest for manifest, _ in versions}) > 1
    return [
        (
            version[0][:8] if several else "",
            [e for e in entries if learned_from(e[1]) in (("", ""), version)],
        )
        for version in versions
    ]


def learned_from(result: Result) -> tuple[str, str]:
    """The bytes of the training set and the list of images left out; both empty for what learned nothing."""
    left_out = result.recipe.exclude
    return result.training.manifest, "" if left_out is None else left_out.digest


def newest_data(entries: Sequence[Entry]) -> list[Entry]:
    """Of each evaluation set only the rows on the data that most rows have; others cannot be compared."""
    data = [(entry, data_of(*entry)) for entry in entries]
    counts: dict[str, dict[tuple[str, ...], int]] = {}
    for (_, r), key in data:
        found = counts.setdefault(r.eval_name, {})
        found[key] = found.get(key, 0) + 1
    chosen = {name: max(sorted(found), key=lambda k, f=found: f[k]) for name, found in counts.items()}  # type: ignore[misc]
    return [entry for entry, key in data if chosen[entry[1].eval_name] == key]


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
