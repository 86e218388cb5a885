"""`vitret train`: train one system on one training set under its track's budget."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from vitret.cli import completions, console
from vitret.cli.options import Device, Precision, Trust, Workers

if TYPE_CHECKING:
    from vitret.core.recipes import Recipe, ResolvedRecipe
    from vitret.core.records import TrainSet


System = Annotated[
    str,
    typer.Option(
        "--system",
        help="A system, by name or file; `vitret list systems`.",
        autocompletion=completions.systems,
    ),
]
TrainSetOption = Annotated[
    str,
    typer.Option(
        "--train-set",
        help="Training set; its track fixes the budget.",
        autocompletion=completions.tracks,
    ),
]
Published = Annotated[
    str,
    typer.Option(
        help="The recipe of a paper, instead of --system and --train-set.",
        autocompletion=completions.published,
    ),
]
Seed = Annotated[int, typer.Option(min=0, help="Random seed of the training.")]
Assignments = Annotated[
    list[str] | None, typer.Option("--set", help="Change one value, e.g. optimiser.lr=1e-4; repeatable.")
]
Exclude = Annotated[
    Path | None, typer.Option(help="Training images to leave out: names, or verdicts on overlap.")
]
Profile = Annotated[bool, typer.Option("--profile", help="Print where a step's time went; a little slower.")]
Tensorboard = Annotated[
    Path | None, typer.Option(help="Write the scalars of the log into this folder too, for TensorBoard.")
]
Plan = Annotated[bool, typer.Option("--plan", help="Print what would be done; change nothing.")]


def train(
    system: System = "",
    train_set: TrainSetOption = "",
    published: Published = "",
    seed: Seed = 0,
    set_: Assignments = None,
    exclude: Exclude = None,
    device: Device = "auto",
    precision: Precision = "auto",
    workers: Workers = None,
    profile: Profile = False,
    tensorboard: Tensorboard = None,
    plan: Plan = False,
    trust: Trust = False,
) -> None:
    """Train one system on one training set.

    Continues an interrupted training. Prints the path of the checkpoint. On several GPUs, with the same options:
    torchrun --nproc-per-node 8 -m vitret train

    Examples:
      vitret train --system vit_tiny_contrastive --train-set coil20
      vitret train --system adapted_vit_tiny --train-set coil20
      vitret train --system dtop --train-set sfm120k --set optimiser.lr=1e-4
      vitret train --system dtop --train-set gldv2 --exclude verdicts.json
      vitret train --system dtop --train-set sop --tensorboard tb
    """
    from vitret.core.config import location
    from vitret.core.exclusion import read_left_out
    from vitret.core.recipes import ResolvedRecipe, require_trainable, require_training_set
    from vitret.data import layout

    configs, home, data = (location(name).path for name in ("configs", "home", "data"))
    recipe = _recipe(configs, system, train_set, published=published, seed=seed, assignments=set_ or [])
    require_trainable(recipe)
    require_training_set(recipe, f"vitret train --system {system}")
    trainset = layout.load_train(data, recipe.track.train_set)
    layout.require_unchanged(data, trainset.name, say=console.say)
    if exclude is not None:
        left_out = read_left_out(exclude)
        recipe, trainset = ResolvedRecipe(left_out.of(recipe)), left_out.mark(trainset)

    if plan:
        console.put(_planned(recipe, trainset, home))
        return

    from vitret.learn.launch import launch

    checkpoint = launch(
        recipe,
        trainset,
        home,
        device=device,
        precision=precision,
        workers=workers,
        say=console.say,
        steps=console.steps,
        profile=profile,
        tensorboard=tensorboard,
    )
    if checkpoint is not None:
        console.put(str(checkpoint))


def _recipe(
    configs: Path, system: str, train_set: str, *, published: str, seed: int, assignments: list[str]
) -> "ResolvedRecipe":
    """The recipe that the command line names, in one of its two ways."""
    from vitret.core.errors import UserError
    from vitret.core.recipes import make_recipe, read_published

    if published and not system and not train_set:
        return read_published(configs, published, assignments).model_copy(update={"seed": seed})
    if published or not system or not train_set:
        raise UserError("Give --system and --train-set, or --published alone. Try: vitret list systems")
    return make_recipe(configs, system, train_set, seed=seed, assignments=assignments)


def _planned(recipe: "Recipe", trainset: "TrainSet", home: Path) -> str:
    from vitret.core.runs import Run

    run = Run.of(home, recipe.run_id)
    doing = "nothing: it is trained" if run.finished else "continue" if run.state.exists() else "train"
    left_out = f" {recipe.exclude.words}" if recipe.exclude else ""
    return (
        f"{run.path}: {doing}; {recipe.track.images_seen:,} images seen in batches of {recipe.track.batch}, "
        f"of {len(trainset.images):,} in {trainset.name}{left_out}, budget: {recipe.budget}"
    )
