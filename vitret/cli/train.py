"""`vitret train`: train one system on one training set under its track's budget."""

import contextlib
from typing import Annotated

import typer

from vitret.cli import console


def train(
    system: Annotated[
        str, typer.Option("--system", help="Name or file of a system; `vitret list systems`.")
    ] = "",
    train_set: Annotated[
        str, typer.Option("--train-set", help="Training set, whose track fixes the budget.")
    ] = "",
    published: Annotated[str, typer.Option(help="A paper's own recipe instead of system and track.")] = "",
    seed: Annotated[int, typer.Option(min=0)] = 0,
    set_: Annotated[
        list[str] | None, typer.Option("--set", help="Change one value: optimiser.lr=1e-4, track.batch=32.")
    ] = None,
    device: Annotated[str, typer.Option(help="auto, cpu, cuda or mps.")] = "auto",
    precision: Annotated[
        str, typer.Option(help="auto (bf16 on GPUs that multiply it, else fp32), fp32, bf16 or fp16.")
    ] = "auto",
    workers: Annotated[
        int | None, typer.Option(min=0, help="Image-loading processes; default: by the machine.")
    ] = None,
    plan: Annotated[bool, typer.Option("--plan", help="Say what would be done; touch nothing.")] = False,
) -> None:
    """Train a system, or go on with a training that was interrupted; prints the checkpoint's path.

    On several GPUs: torchrun --nproc-per-node 8 -m vitret train …

    Examples:
      vitret train --system vit_tiny_contrastive --train-set coil20
      vitret train --system dtop --train-set sfm120k --seed 1 --set optimiser.lr=1e-4 --device cuda
    """
    from vitret.core.config import location
    from vitret.core.errors import UserError
    from vitret.core.locks import locked
    from vitret.core.recipes import make_recipe, read_published, require_trainable
    from vitret.core.runs import Run, open_run
    from vitret.data import layout

    if bool(published) == bool(system and train_set) or (published and (system or train_set)):
        raise UserError("Give --system and --train-set, or --published alone. Try: vitret list systems")
    configs, home, data = (location(name).path for name in ("configs", "home", "data"))
    if published:
        recipe = read_published(configs, published, set_ or ()).model_copy(update={"seed": seed})
    else:
        recipe = make_recipe(configs, system, train_set, seed=seed, assignments=set_ or ())
    require_trainable(recipe)
    trainset = layout.load_train(data, recipe.track.train_set)
    if plan:
        run = Run(path=home / "runs" / recipe.run_id)
        doing = "nothing: it is trained" if run.finished else "go on" if run.state.exists() else "train"
        console.put(
            f"{run.path}: {doing}; {recipe.track.images_seen:,} images seen in batches of {recipe.track.batch}, "
            f"of {len(trainset.images):,} in {trainset.name}, budget: {recipe.budget}"
        )
        return

    from vitret.describe.devices import pick_device
    from vitret.learn import distributed
    from vitret.learn import train as training

    place = distributed.start(pick_device(device))
    first = distributed.rank() == 0
    try:
        run = open_run(home, recipe)
        with locked(run.path / "run.lock", console.say) if first else contextlib.nullcontext():
            distributed.from_first(None)  # nobody reads the run before it is ours
            with console.steps(run.id) if first else contextlib.nullcontext() as progress:
                checkpoint = training.train(
                    recipe,
                    trainset,
                    run,
                    device=place,
                    precision=precision,
                    workers=workers,
                    say=console.say if first else None,
                    progress=progress,
                )
    finally:
        distributed.stop()
    if first:
        console.put(str(checkpoint))
