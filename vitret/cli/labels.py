"""`vitret labels`: token labels made by a classifier, and an LV-ViT that learns from them."""

from pathlib import Path
from typing import Annotated

import typer

from vitret.cli import completions, console

app = typer.Typer(
    help="Write token labels and train an LV-ViT on them.", no_args_is_help=True, rich_markup_mode=None
)


@app.callback()
def _labels() -> None:
    """Write token labels and train an LV-ViT on them."""


@app.command()
def write(
    train_set: Annotated[
        str,
        typer.Argument(
            help="A prepared training set; `vitret list datasets`.", autocompletion=completions.prepared
        ),
    ],
    classifier: Annotated[str, typer.Option(help="timm:ARCH, any timm classifier.")],
    weights: Annotated[
        Path | None, typer.Option(help="A .safetensors or .pth file with its weights, classifier included.")
    ] = None,
    size: Annotated[
        int, typer.Option(min=1, help="Images are resized to squares of this many pixels.")
    ] = 448,
    k: Annotated[int, typer.Option(min=1, help="Number of best classes kept per place.")] = 5,
    device: Annotated[str, typer.Option(help="Where to compute: auto, cpu, cuda or mps.")] = "auto",
) -> None:
    """Write label maps for the images of a training set.

    Continues an interrupted call. Prints the path of the maps.

    Examples:
      vitret labels write minitown-clean --classifier timm:dm_nfnet_f6
      vitret labels write sop --classifier timm:vit_tiny_patch16_224 --size 224
    """
    from vitret.core.config import location
    from vitret.core.errors import UserError
    from vitret.core.locks import locked
    from vitret.data import layout
    from vitret.describe.devices import pick_device
    from vitret.learn import holdout, label_maps

    if not classifier.startswith("timm:"):
        raise UserError(f"--classifier {classifier}: expected timm:ARCH, as timm:dm_nfnet_f6.")
    arch = classifier.removeprefix("timm:")
    trainset, _ = holdout.split(layout.load_train(location("data").path, train_set), 0.0)
    layout.require_unchanged(location("data").path, train_set, say=console.say)
    network = label_maps.timm_classifier(arch, weights)
    path = label_maps.maps_path(location("home").path / "labels", trainset, network, size=size, k=k)
    with locked(path.with_suffix(".lock"), console.say), console.steps(path.stem) as progress:
        maps = label_maps.write_label_maps(
            path, trainset.images, network, size=size, k=k, device=pick_device(device), progress=progress
        )
        card = label_maps.MapsCard(
            set=trainset.name, digest=trainset.digest, classifier=arch, classes=network.classes, size=size,
            shape=maps.shape[1:], values="scores",
        )  # fmt: skip
        label_maps.save_card(path, card)
    console.say(f"{len(maps)} images of {trainset.name}, {network.classes} classes of {arch}.")
    console.put(str(path))


@app.command()
def train(
    train_set: Annotated[
        str,
        typer.Argument(help="The training set that the maps belong to.", autocompletion=completions.prepared),
    ],
    maps: Annotated[Path, typer.Option(help="The path that `vitret labels write` printed.")],
    set_: Annotated[
        list[str] | None,
        typer.Option("--set", help="Change one value, e.g. lr=1e-3 or backbone.arch=lvvit_t; repeatable."),
    ] = None,
    out: Annotated[
        Path | None, typer.Option(help="The .safetensors file to write; default: next to the maps.")
    ] = None,
    device: Annotated[str, typer.Option(help="Where to compute: auto, cpu, cuda or mps.")] = "auto",
) -> None:
    """Train an LV-ViT on label maps.

    Continues an interrupted training. Prints the file with the weights: use it with `vitret extract FILE SET`, or
    start a system from it with model.backbone.weights.

    Examples:
      vitret labels train minitown-clean --maps maps.npy
      vitret labels train sop --maps maps.npy --set backbone.arch=lvvit_t
    """
    from vitret.core.config import location
    from vitret.core.locks import locked
    from vitret.core.store import digest
    from vitret.data import layout
    from vitret.describe.devices import pick_device
    from vitret.learn import holdout
    from vitret.learn.label_maps import read_maps
    from vitret.learn.token_labels import initial_model, read_specs, train_token_labels

    trainset, _ = holdout.split(layout.load_train(location("data").path, train_set), 0.0)
    layout.require_unchanged(location("data").path, train_set, say=console.say)
    card, labels = read_maps(maps, trainset)
    network, spec = read_specs(set_ or (), trainset, card)
    model = initial_model(network, seed=spec.seed)
    name = digest([spec.model_dump(mode="json"), model.spec.model_dump(mode="json")])[:8]
    path = out or maps.with_name(f"{maps.stem}-{network.backbone.options['arch']}-{name}.safetensors")
    with locked(path.with_suffix(".lock"), console.say), console.steps(path.stem) as progress:
        train_token_labels(
            model, trainset, labels, path, spec=spec, device=pick_device(device), progress=progress
        )
    console.put(str(path))
