"""What is trained: a system (an idea) put on a track (a training set and its budget), every value written out."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Literal, NewType

from pydantic import Field, model_validator

from vitret.core.config import Model, Strict, assign, file_names, location, named_file, read_yaml, validate
from vitret.core.errors import UserError
from vitret.core.left_out import Exclusion
from vitret.core.networks import RANDOM_WEIGHTS, ModelSpec, Part
from vitret.core.store import digest

# The training set of a track under which networks are measured as they come; there is no such set.
NO_SET = "none"
# What says of a system how it is trained, and nothing else.
_TRAINING_OF_SYSTEMS = ("optimiser", "sampler", "memory", "train_on")
ALIASES = {"gldv2": "gldv2-clean", "cub": "cub200", "sfm": "sfm120k"}


class LossSpec(Part):
    """A loss and its weight in the sum."""

    weight: float = 1.0

    @model_validator(mode="before")
    @classmethod
    def _of_pytorch_metric_learning(cls, value: Any) -> Any:
        """`pml:NTXentLoss` with its arguments beside it is the loss `pml` with `loss: NTXentLoss` and `arguments`."""
        given = {"name": value} if isinstance(value, str) else value
        if not isinstance(given, Mapping) or not str(given.get("name", "")).startswith("pml:"):
            return value
        own = {key: given[key] for key in ("weight",) if key in given}
        arguments = {key: v for key, v in given.items() if key not in ("name", "weight")}
        return {
            "name": "pml",
            "loss": str(given["name"]).removeprefix("pml:"),
            "arguments": arguments,
            **own,
        }


class MemorySpec(Strict):
    """Cross-batch memory (Wang et al., CVPR 2020): how many past descriptors the contrastive loss also sees."""

    size: int | float = Field(
        default=1.0, gt=0, description="rows, or a fraction of the training images if a float"
    )
    start: int = Field(default=0, ge=0, description="first step at which the memory is used")
    momentum: float | None = Field(default=None, ge=0, lt=1, description="keys from a momentum encoder")
    weight: float = 1.0


class OptimiserSpec(Strict):
    """The optimiser and its schedule over the images of the track's budget."""

    name: Literal["adamw", "adam", "sgd"] = "adamw"
    lr: float = Field(default=1e-4, gt=0)
    weight_decay: float = Field(default=0.01, ge=0)
    momentum: float = Field(default=0.9, ge=0, lt=1, description="of sgd")
    nesterov: bool = False
    betas: tuple[float, float] = (0.9, 0.999)
    head_lr_factor: float = Field(default=1.0, gt=0, description="rate of head and loss weights, times lr")
    # Left out of dumps while unset: a field that came later must not change who an older recipe is.
    lr_factors: dict[str, float] | None = Field(
        default=None,
        exclude_if=lambda value: value is None,
        description="pattern of weight names → rate, times lr, in place of head_lr_factor: {backbone.soa*: 100}",
    )
    decay_vectors: bool | None = Field(
        default=None,
        exclude_if=lambda value: value is None,
        description="decay biases and the weights of norms too",
    )
    decay_all: bool | None = Field(
        default=None,
        exclude_if=lambda value: value is None,
        description="decay every weight, pooling's exponents and positions too, as plain SGD over all of them does",
    )
    learns: tuple[str, ...] | None = Field(
        default=None,
        exclude_if=lambda value: value is None,
        description="patterns of the names that learn; everything else is frozen: [head.*, losses.*]",
    )
    schedule: Literal["cosine", "constant", "exponential"] = "cosine"
    decay: float = Field(default=0.99, gt=0, le=1, description="per epoch, of the exponential schedule")
    final_lr: float = Field(default=0.0, ge=0)
    warmup: float = Field(default=0.05, ge=0, lt=1, description="fraction of all steps")
    clip: float | None = Field(default=1.0, gt=0, description="gradient norm")
    ema: float | None = Field(default=None, gt=0, lt=1)
    accumulate: int = Field(default=1, ge=1, description="parts a batch is computed in")
    freeze_batch_norm: bool = False


class System(Strict):
    """An idea: backbone, head, losses, sampler, optimiser and its rate. Without losses it is frozen: never trained."""

    name: str
    title: str
    about: str = ""
    source: str = ""
    open: tuple[str, ...] = Field(
        default=(), description="what the source leaves open, and what stands here instead"
    )
    published: tuple[str, ...] = Field(
        default=(), description="numbers read in the source, one sentence each"
    )
    model: ModelSpec
    losses: tuple[LossSpec, ...] = ()
    sampler: Part = Part(name="random")
    optimiser: OptimiserSpec = OptimiserSpec()
    memory: MemorySpec | None = None
    train_on: Literal["images", "descriptors"] = Field(
        default="images",
        exclude_if=lambda value: value == "images",
        description="descriptors: of the frozen network, made once without augmentation; a head linear learns on them",
    )

    @property
    def frozen(self) -> bool:
        return not self.losses

    def resolved(self) -> "System":
        """The same system with every option of every part written out; refuses unknown options."""
        return self.model_copy(
            update={
                "model": self.model.resolved(),
                "losses": tuple(loss.resolved("losses") for loss in self.losses),
                "sampler": self.sampler.resolved("samplers"),
            }
        )


class ImagePolicy(Strict):
    """How training images become tensors: one square, aspect-ratio groups, or the longer side with aspect kept."""

    policy: Literal["square", "groups", "longer"] = "square"
    size: int = Field(default=224, gt=0)
    resize: int | None = Field(default=None, gt=0, description="square side before a random crop of `size`")
    crop_area: tuple[float, float] = Field(
        default=(1.0, 1.0), description="random resized crop: share of the area"
    )
    crop_aspect: tuple[float, float] = (0.75, 1.3333)
    square_crop: bool | None = Field(
        default=None,
        exclude_if=lambda value: value is None,
        description="of policy square: a random square as large as the shorter side, then resized",
    )
    mining_size: int | None = Field(
        default=None,
        gt=0,
        exclude_if=lambda value: value is None,
        description="of policy square: its side where images are described without augmentation, to mine tuples",
    )
    flip: bool = True
    brightness: float = Field(default=0.0, ge=0)
    contrast: float = Field(default=0.0, ge=0)
    saturation: float = Field(default=0.0, ge=0)
    hue: float = Field(
        default=0.0,
        ge=0,
        le=0.5,
        exclude_if=lambda value: value == 0,
        description="share of the colour circle",
    )
    recolour: float = Field(
        default=1.0,
        ge=0,
        le=1,
        exclude_if=lambda value: value == 1,
        description="how often colours are changed at all",
    )
    erase: float = Field(default=0.0, ge=0, le=1)
    interpolation: Literal["bicubic", "bilinear"] = "bicubic"

    @model_validator(mode="after")
    def _crops_fit(self) -> "ImagePolicy":
        for name in ("square_crop", "mining_size"):
            if getattr(self, name) is not None and self.policy != "square":
                raise ValueError(f"{name} goes with policy square, this is {self.policy}")
        if self.square_crop and (self.resize is not None or self.crop_area != (1.0, 1.0)):
            raise ValueError("square_crop decides the crop: leave resize and crop_area out")
        return self


class Track(Strict):
    """A training set and the budget every system on it obeys."""

    name: str
    title: str = ""
    about: str = ""
    train_set: str
    images_seen: int = Field(ge=0)
    batch: int = Field(default=64, gt=0)
    image: ImagePolicy = ImagePolicy()
    validation: float = Field(
        default=0.1, ge=0, lt=1, description="share of classes held out, if the set has no own"
    )
    pretraining: str = Field(default="any", description="what the backbone may have seen before")
    dims: tuple[int, ...] = ()
    seeds: tuple[int, ...] = (0, 1, 2)
    systems: tuple[str, ...] = ()
    suite: str = "landmarks"


class Recipe(Strict):
    """System ⊕ track at one seed. `budget` is "track", or "own" for a paper's own recipe."""

    system: System
    track: Track
    seed: int = 0
    budget: Literal["track", "own"] = "track"
    exclude: Exclusion | None = Field(
        default=None,
        exclude_if=lambda value: value is None,
        description="training images left out, of `--exclude`",
    )

    @property
    def digest(self) -> str:
        """Identity of the training: everything that can change the weights, nothing that only describes."""
        value = self.model_dump(mode="json")
        for key in ("title", "about", "source", "open", "published"):
            value["system"].pop(key)
        for key in ("title", "about", "systems", "seeds", "suite", "pretraining", "dims"):
            value["track"].pop(key)
        return digest(value)

    @property
    def run_id(self) -> str:
        return f"{self.track.train_set}-{self.system.name}-s{self.seed}-{self.digest[:8]}"

    @property
    def varies(self) -> bool:
        """True where another seed gives another network: all but frozen networks with given weights."""
        return not self.system.frozen or self.system.model.starts_from == RANDOM_WEIGHTS

    def resolved(self) -> "ResolvedRecipe":
        """The same recipe with every option of every part written out; refuses unknown options."""
        return ResolvedRecipe(self.model_copy(update={"system": self.system.resolved()}))


ResolvedRecipe = NewType("ResolvedRecipe", Recipe)
"""A recipe that names the value of every option, so that whoever reads one need not know the defaults."""


def unalias(train_set: str) -> str:
    """The full name of a training set.

    >>> unalias("gldv2")
    'gldv2-clean'
    """
    return ALIASES.get(train_set, train_set)


def read_system(configs: Path, name: str, assignments: Sequence[str] = ()) -> System:
    """A system by name or by path; `assignments` are `optimiser.lr=1e-4` and the like."""
    path = named_file("system", configs / "systems", name)
    system = validate(System, read_yaml(path), str(path)).resolved()
    return changed_system(system, assignments, str(path))


def changed_system(system: System, assignments: Sequence[str], where: str) -> System:
    """A system with `--set` applied; where nothing trains, what only concerns training changes nothing."""
    kept = [assignment for assignment in assignments if not concerns_training(assignment)]
    found = _changed(system, kept, where)
    return (found if found.frozen else _changed(system, assignments, where)).resolved()


def concerns_training(assignment: str) -> bool:
    """Whether a `--set` value changes nothing but how something is trained, and not whether it is; all of a track does.

    >>> [concerns_training(a) for a in ("optimiser.lr=1", "track.batch=8", "losses=[]", "model.head=gem")]
    [True, True, False, False]
    """
    part = assignment.partition("=")[0].removeprefix("system.").partition(".")[0]
    return part in ("track", *_TRAINING_OF_SYSTEMS)


def _changed(record: Model, assignments: Sequence[str], where: str) -> Model:
    """A record with `--set` applied after its defaults are written out, so that every option can be named."""
    if not assignments:
        return record
    return validate(type(record), assign(record.model_dump(mode="json"), assignments), where)


def read_track(configs: Path, train_set: str, assignments: Sequence[str] = ()) -> Track:
    """The track of a training set, by the set's name (aliases too) or by path.

    A set of the user's own may have its track in $VITRET_HOME/tracks.
    """
    name = unalias(train_set)
    shipped, own = _track_folders(configs)
    folder = own if name in file_names(own) and name not in file_names(shipped) else shipped
    path = named_file("track", folder, name)
    return _changed(validate(Track, read_yaml(path), str(path)), assignments, str(path))


def shipped_track(name: str) -> Path | None:
    """The file of a training set's track among the configurations, which goes before one of the user's own."""
    folder, _ = _track_folders(location("configs").path)
    return folder / f"{name}.yaml" if name in file_names(folder) else None


def has_track(name: str) -> bool:
    """Whether a training set has a track, among the configurations or of the user's own."""
    return any(name in file_names(folder) for folder in _track_folders(location("configs").path))


def _track_folders(configs: Path) -> tuple[Path, Path]:
    return configs / "tracks", location("home").path / "tracks"


def read_published(configs: Path, name: str, assignments: Sequence[str] = ()) -> ResolvedRecipe:
    """A paper's own recipe, whole in one file; its rows carry "own budget" and stand apart."""
    path = named_file("published recipe", configs / "published", name)
    recipe = validate(Recipe, {**read_yaml(path), "budget": "own"}, str(path)).resolved()
    return _changed(recipe, assignments, str(path)).resolved()


def split_assignments(assignments: Sequence[str]) -> tuple[list[str], list[str]]:
    """`--set` values for the system and, those starting with `track.`, for the track."""
    track = [a.removeprefix("track.") for a in assignments if a.startswith("track.")]
    system = [a.removeprefix("system.") for a in assignments if not a.startswith("track.")]
    return system, track


def make_recipe(
    configs: Path, system: str | System, train_set: str, *, seed: int = 0, assignments: Sequence[str] = ()
) -> ResolvedRecipe:
    """Read, change, resolve and join; what comes back names every default. `system` is one, or the name of one.

    A change to the track's budget makes it the run's own budget: such rows stand in their own table. A frozen system
    has one row there, whatever the budget is: of a track, only the share that is held out from a matcher concerns it.
    """
    for_system, for_track = split_assignments(assignments)
    found = read_system(configs, system, for_system) if isinstance(system, str) else system
    held_out = [assignment for assignment in for_track if assignment.startswith("validation=")]
    recipe = Recipe(
        system=found,
        track=read_track(configs, train_set, held_out if found.frozen else for_track),
        seed=seed,
        budget="own" if for_track else "track",
    )
    return ResolvedRecipe(recipe)


def system_names(configs: Path) -> list[str]:
    return file_names(configs / "systems")


def require_trainable(recipe: Recipe) -> None:
    """Refuse to train what has no loss."""
    if recipe.system.frozen:
        raise UserError(
            f"system '{recipe.system.name}' has no loss: it is measured as it is. "
            "Use `vitret bench` or `vitret extract`."
        )


def require_training_set(recipe: Recipe, command: str) -> None:
    """Refuse to train under the track without training; `command`, with a training set behind it, trains the system."""
    if recipe.track.train_set == NO_SET and not recipe.system.frozen:
        raise UserError(
            f"Under --train-set {NO_SET} nothing is trained, so only frozen systems can be measured. "
            f"{recipe.system.name} is trained: {command} --train-set SET. `vitret list tracks` shows the sets."
        )
