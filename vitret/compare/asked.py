"""What a bench is asked for, by names, and what the names stand for: recipes, a suite, and the sets that these read."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from vitret.compare.arena import read_suite
from vitret.core import plugins
from vitret.core.ablations import make_variants
from vitret.core.approximate import parse_index
from vitret.core.config import location
from vitret.core.errors import DataError, EmptyError, UserError, VitretError, did_you_mean, listed
from vitret.core.exclusion import LeftOut, read_left_out
from vitret.core.networks import is_published_network
from vitret.core.protocol import Suite
from vitret.core.recipes import (
    NO_SET,
    Recipe,
    ResolvedRecipe,
    System,
    Track,
    concerns_training,
    make_recipe,
    read_published,
    read_track,
    require_training_set,
    split_assignments,
)
from vitret.data import layout
from vitret.data.prepare.shared_archives import fullest_first


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
class Request:
    """What a bench is asked for, by names; what is not said comes from the track.

    `seeds` is how many, `assignments` are `optimiser.lr=1e-4` and the like, `eval_sets` stand in place of the suite's;
    `without_distractors` leaves out those of the suite, and nothing else: its other rows are the same. `dim` reduces
    descriptors to so many dimensions, and leaves out what has no more. `search` is an approximate index, see
    `parse_index`. `exclude` is a file that names training images to leave out. `runs` are ids: only these of what the
    names stand for.
    """

    train_set: str
    systems: Sequence[str] = ()
    published: Sequence[str] = ()
    ablation: str | None = None
    seeds: int | None = None
    assignments: Sequence[str] = ()
    suite: str | None = None
    eval_sets: Sequence[str] = ()
    without_distractors: bool = False
    dim: int | None = None
    search: str = ""
    exclude: Path | None = None
    runs: Sequence[str] = ()


class Problems:
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

    @property
    def empty(self) -> bool:
        return not self._found

    def raise_all(self) -> None:
        """Raise every problem as one error, each once; a `DataError` where only data is missing."""
        if self._found:
            alike = (
                kind for kind in (DataError, EmptyError) if all(isinstance(p, kind) for p in self._found)
            )
            kind = next(alike, UserError)
            raise kind("\n".join(dict.fromkeys(str(p) for p in self._found)))


@dataclass(frozen=True, kw_only=True)
class Asked:
    """What names stand for: recipes, each once, and a suite. Nothing of the data was read.

    `left_out` names the training images that no recipe learns from.
    """

    suite: Suite
    recipes: tuple[ResolvedRecipe, ...]
    left_out: LeftOut | None = None

    @property
    def learned(self) -> tuple[str, ...]:
        """The sets that something learns from: a matcher of the protocol learns beside a frozen network too.

        A published recipe may name another set than the bench's track.
        """
        every = self.suite.protocol.rerank.learned
        learners = [recipe for recipe in self.recipes if every or not recipe.system.frozen]
        return tuple(dict.fromkeys(recipe.track.train_set for recipe in learners))

    @property
    def sets(self) -> tuple[str, ...]:
        """Every set that is read: for training, evaluation, distraction and whitening."""
        others = (self.suite.distractors, self.suite.protocol.whitening.data)
        return tuple(dict.fromkeys([*self.learned, *self.suite.sets, *filter(None, others)]))


def ask(places: Places, request: Request, problems: Problems) -> Asked:
    """Look names up; what is wrong with single recipes is left in `problems`.

    Raises:
        UserError: a track, a published recipe or a suite that is not there; a setting of training where nothing trains.
    """
    track = read_track(places.configs, request.train_set, split_assignments(request.assignments)[1])
    names = _systems(request, track)
    own = _own_recipes(places, request)
    suite = _suite(places, request, alone=own if not names and not request.ablation else [], track=track)
    seeds = _seeds(track.seeds, request.seeds)
    recipes: list[ResolvedRecipe] = [
        *_recipes(places, request, names=names, seeds=seeds, problems=problems),
        *own,
        *_variants(places, request, seeds=seeds, problems=problems),
    ]
    if problems.empty:
        _require_learner(recipes, request, matcher=suite.protocol.rerank.learned)
    left_out = None if request.exclude is None else read_left_out(request.exclude)
    recipes = [
        _leaving_out(recipe, left_out, matcher=suite.protocol.rerank.learned) for recipe in _once(recipes)
    ]
    recipes = _named(recipes, request.runs)
    if request.dim is not None:
        suite = _reduced(suite, request.dim, track.train_set)
        recipes = [recipe for recipe in recipes if descriptor_dim(recipe) > (request.dim or 0)]
    if request.search:
        suite = suite.searched(parse_index(request.search))
    return Asked(suite=suite, recipes=tuple(recipes), left_out=left_out)


def _require_learner(recipes: Sequence[Recipe], request: Request, *, matcher: bool) -> None:
    """Refuse what says how something is trained where nothing is: it would make a second row of the same network.

    A matcher learns from the training set too, without the share that is held out.
    """
    if not all(recipe.system.frozen for recipe in recipes):
        return
    useless = [f"--set {a}" for a in request.assignments if concerns_training(a)]
    if matcher:
        useless = [words for words in useless if not words.startswith("--set track.validation=")]
    elif request.exclude is not None:
        useless.append(f"--exclude {request.exclude}")
    if useless:
        names = listed(dict.fromkeys(recipe.system.name for recipe in recipes))
        raise UserError(
            f"{', '.join(useless)}: this is about training, and no system here trains: {names}. Leave it out, or "
            "name a system that trains."
        )


def _leaving_out(recipe: ResolvedRecipe, left_out: LeftOut | None, *, matcher: bool) -> ResolvedRecipe:
    """A recipe that learns without some images; one that learns nothing stays as it is."""
    if left_out is None or (recipe.system.frozen and not matcher):
        return recipe
    return ResolvedRecipe(left_out.of(recipe))


def _named(recipes: Sequence[ResolvedRecipe], runs: Sequence[str]) -> list[ResolvedRecipe]:
    """The recipes of some runs; all where none is named."""
    known = {recipe.run_id: recipe for recipe in recipes}
    for run in runs:
        if run not in known:
            raise UserError(f"--run {run}: no run of this bench. {did_you_mean(run, known)}")
    return [known[run] for run in runs] if runs else list(recipes)


def _reduced(suite: Suite, dim: int, train_set: str) -> Suite:
    if suite.protocol.whitening.kind == "none" and train_set == NO_SET:
        raise UserError(
            f"--dims {dim}: the axes of {dim} dimensions are fitted on a training set, and --train-set {NO_SET} has no "
            "images. Name a suite with a whitening: `vitret list suites`."
        )
    return suite.reduced(dim, train_set)


def descriptor_dim(recipe: Recipe) -> int:
    """Channels of a descriptor; the network is built, without weights, only where its head does not say them."""
    dim = recipe.system.model.head.options.get("dim")
    if isinstance(dim, int):
        return dim
    from vitret.models.flops import shape_only

    return shape_only(recipe.system.model).dim


def unprepared(places: Places, asked: Asked) -> list[str]:
    """The sets of which vitret has a card and that are not prepared, in the order in which to prepare them."""
    known = set(plugins.names("datasets"))
    return fullest_first([n for n in asked.sets if n in known and not layout.exists(places.data, n)])


def require_prepared(places: Places, asked: Asked) -> None:
    """Raise `DataError` with the one command that prepares what is missing."""
    missing = unprepared(places, asked)
    if missing:
        raise DataError(f"Not prepared in {places.data}: {', '.join(missing)}. {preparing(asked, missing)}")


def preparing(asked: Asked, missing: Sequence[str]) -> str:
    """The command that prepares missing sets; where distractors are among them, the option that needs none."""
    command = f"Prepare {'them' if len(missing) > 1 else 'it'}: vitret prepare {' '.join(missing)}"
    if asked.suite.distractors not in missing:
        return command
    others = [name for name in missing if name != asked.suite.distractors]
    first = f" Prepare the others: vitret prepare {' '.join(others)}" if others else ""
    return (
        f"{command}\nTo measure without the distractors ({asked.suite.distractors}), add --without-distractors "
        f"to the same command.{first}"
    )


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
    elif not suite.sets and _evaluates(places, track.train_set):
        suite = suite.model_copy(update={"sets": (track.train_set,)})
    if request.without_distractors:
        suite = suite.model_copy(update={"distractors": None})
    if not suite.sets:
        raise UserError(f"suite '{suite.name}' measures no set of its own. Name one: --eval-set NAME.")
    return suite


def _evaluates(places: Places, train_set: str) -> bool:
    """Whether a training set is prepared and has queries of its own."""
    known = layout.exists(places.data, train_set)
    return known and "evaluation" in layout.load_manifest(places.data, train_set)["digests"]


def _own_suite(alone: Sequence[Recipe], track: Track) -> str:
    """The suite of published recipes that run without others, else the track's."""
    suites = sorted({recipe.track.suite for recipe in alone})
    if len(suites) > 1:
        raise UserError(f"these recipes are measured by different suites. Say one: --suite {suites[0]}.")
    return suites[0] if suites else track.suite


def _own_recipes(places: Places, request: Request) -> list[ResolvedRecipe]:
    """Each recipe of a paper at its own seed, and at further ones where more are asked for."""
    found: list[ResolvedRecipe] = []
    for name in request.published:
        recipe = read_published(places.configs, name, request.assignments)
        found += [
            ResolvedRecipe(recipe.model_copy(update={"seed": seed}))
            for seed in _seeds([recipe.seed], request.seeds)
        ]
    return found


def _recipes(
    places: Places, request: Request, *, names: Sequence[str], seeds: Sequence[int], problems: Problems
) -> list[ResolvedRecipe]:
    """Each system at each seed."""
    found: list[ResolvedRecipe] = []
    for name in names:
        with problems.collected():
            system = _published_system(name, request) if is_published_network(name) else name
            made = [
                make_recipe(
                    places.configs, system, request.train_set, seed=seed, assignments=request.assignments
                )
                for seed in seeds
            ]
            require_training_set(made[0], f"vitret bench --systems {name}")
            found += made
    return found


def _published_system(name: str, request: Request) -> System:
    """A network that others publish; torch is needed for nothing else here."""
    from vitret.models.named import published_system

    return published_system(name, split_assignments(request.assignments)[0])


def _variants(
    places: Places, request: Request, *, seeds: Sequence[int], problems: Problems
) -> list[ResolvedRecipe]:
    """The system of an ablation study and its variants, by seed."""
    found: list[ResolvedRecipe] = []
    with problems.collected():
        for seed in seeds if request.ablation else ():
            made = make_variants(
                places.configs,
                request.ablation or "",
                request.train_set,
                seed=seed,
                assignments=request.assignments,
            )
            for recipe in made:
                require_training_set(recipe, f"vitret bench --ablate {request.ablation}")
            found += made
    return found


def _seeds(named: Sequence[int], count: int | None) -> list[int]:
    """The seeds of a track or a recipe, or the first `count` of them continued upwards."""
    further = range(max(named) + 1, max(named) + 1 + max(0, (count or 0) - len(named)))
    return [*named, *further][:count]


def _once(recipes: Sequence[ResolvedRecipe]) -> list[ResolvedRecipe]:
    """Each recipe once; a frozen pre-trained network has no seeds to repeat."""
    seen: dict[str, ResolvedRecipe] = {}
    for recipe in recipes:
        key = recipe.run_id if recipe.varies else recipe.system.name
        seen.setdefault(key, recipe)
    return list(seen.values())
