"""Ablation studies: what one part of a system is worth. The system and variants of it, under one track."""

import re
from collections.abc import Sequence
from pathlib import Path

from pydantic import Field, field_validator

from vitret.core.config import Strict, named_file, read_yaml, validate
from vitret.core.errors import UserError
from vitret.core.recipes import Recipe, ResolvedRecipe, make_recipe
from vitret.core.store import digest


class Change(Strict):
    """One variant: its row's title, and values of the system as `--set` takes them."""

    title: str
    set: tuple[str, ...] = Field(min_length=1)

    @field_validator("set")
    @classmethod
    def _leaves_the_track(cls, assignments: tuple[str, ...]) -> tuple[str, ...]:
        if any(a.startswith("track.") for a in assignments):
            raise ValueError("a change is of the system; the track is the same for all rows of the table")
        return assignments

    @property
    def slug(self) -> str:
        """The title as it stands in names of runs and files.

        >>> Change(title="global only", set=("model.head.branches=global",)).slug
        'global_only'
        """
        return re.sub(r"[^a-z0-9]+", "_", self.title.lower()).strip("_")


class Ablation(Strict):
    """An ablation study: a system and the changes it is compared with."""

    system: str
    title: str
    about: str = ""
    changes: tuple[Change, ...] = Field(min_length=1)

    @field_validator("changes")
    @classmethod
    def _have_names_of_their_own(cls, changes: tuple[Change, ...]) -> tuple[Change, ...]:
        slugs = [change.slug for change in changes]
        twice = [change.title for change in changes if slugs.count(change.slug) > 1]
        if twice:
            raise ValueError(f"two changes are called alike: {', '.join(twice)}")
        return changes


def read_ablation(configs: Path, name: str) -> Ablation:
    """An ablation study by name or by path."""
    path = named_file("ablation", configs / "ablations", name)
    return validate(Ablation, read_yaml(path), str(path))


def base_of(system: str) -> str:
    """The system that a variant is a change of; empty for a system of its own.

    >>> base_of("dtop+global_only"), base_of("dtop")
    ('dtop', '')
    """
    base, plus, _ = system.partition("+")
    return base if plus else ""


def make_variants(
    configs: Path, name: str, train_set: str, *, seed: int = 0, assignments: Sequence[str] = ()
) -> list[ResolvedRecipe]:
    """The system itself, then one recipe a change, called `system+change`; `assignments` hold for all of them.

    Raises:
        UserError: a change that changes nothing, or the same as another.
    """
    ablation = read_ablation(configs, name)
    base = make_recipe(configs, ablation.system, train_set, seed=seed, assignments=assignments)
    found = [base]
    seen = {_values(base): ablation.system}
    for change in ablation.changes:
        recipe = make_recipe(
            configs, ablation.system, train_set, seed=seed, assignments=[*assignments, *change.set]
        )
        same = seen.setdefault(_values(recipe), change.title)
        if same != change.title:
            raise UserError(f"ablation '{name}': '{change.title}' is the same system as '{same}'.")
        named = {"name": f"{base.system.name}+{change.slug}", "title": f"{base.system.title}, {change.title}"}
        found.append(recipe.model_copy(update={"system": recipe.system.model_copy(update=named)}))
    return found


def _values(recipe: Recipe) -> str:
    """Identity of all that a change can change; the names are still the base's."""
    return digest(recipe.model_dump(mode="json"))
