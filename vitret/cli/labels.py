"""`vitret labels`: a classifier's labels for every place of an image, and an LV-ViT that learns them."""

from pathlib import Path
from typing import Annotated

import typer

from vitret.cli import console

app = typer.Typer(
    help="Token labelling: label maps, and an LV-ViT.", no_args_is_help=True, rich_markup_mode=None
)


@app.callback()
def _labels() -> None:
    """Token labelling: label maps made by a classifier, and an LV-ViT trained on them."""


@app.command()
def write(
    train_set: Annotated[str, typer.Argument(help="A prepared training set; `vitret list datasets`.")],
    classifier: Annotated[str, typer.Option(help="timm:ARCH, any classifier of timm.")],
    weights: Annotated[
        Path | None, typer.Option(help="A .safetensors or .pth file of its weights, classifier included.")
    ] = None,
    size: Annotated[int, typer.Option(min=1, help="Pixels of the square that an image becomes.")] = 448,
    k: Annotated[int, typer.Option(min=1, help="Best classes kept a place.")] = 5,
    device: Annotated[str, typer.Option(help="auto, cpu, cuda or mps.")] = "auto",
) -> None:
    """Write the label maps of a training set's images, or go on writing them; prints their path.

    Examples:
      vitret labels write minitown-clean --classifier timm:dm_nfnet_f6 --device cuda
      vitret labels write sop --classifier timm:vit_tiny_patch16_224 --weights vit_tiny.safetensors --size 224
    """
    from vitret.core.config import location
    from vitret.core.errors import UserError
    from vitret.core.locks import locked
    from vitret.data import layout
    from vitret.describe.devices import pick_device
    from vitret.learn import holdout, token_labels

    if not classifier.startswith("timm:"):
        raise UserError(f"--classifier {classifier}: expected timm:ARCH, as timm:dm_nfnet_f6.")
    arch = classifier.removeprefix("timm:")
    trainset, _ = holdout.split(layout.load_train(location("data").path, train_set), 0.0)
    network = token_labels.timm_classifier(arch, weights)
    path = token_labels.maps_path(location("home").path / "labels", trainset, network, size=size, k=k)
    with locked(path.with_suffix(".lock"), console.say), console.steps(path.stem) as progress:
        maps = token_labels.write_label_maps(
            path, trainset.images, network, size=size, k=k, device=pick_device(device), progress=progress
        )
        card = token_labels.MapsCard(
            set=trainset.name, digest=trainset.digest, classifier=arch, classes=network.classes, size=size,
            shape=maps.shape[1:], values="scores",
        )  # fmt: skip
        token_labels.save_card(path, card)
    console.say(f"{len(maps)} images of {trainset.name}, {network.classes} classes of {arch}.")
    console.put(str(path))


@app.command()
def train(
    train_set: Annotated[str, typer.Argument(help="The training set of the maps.")],
    maps: Annotated[Path, typer.Option(help="What `vitret labels write` printed.")],
    set_: Annotated[
        list[str] | None,
        typer.Option("--set", help="Change one value: lr=1e-3, images_seen=1000000, backbone.arch=lvvit_t."),
    ] = None,
    out: Annotated[
        Path | None, typer.Option(help="The .safetensors file to write; default: beside the maps.")
    ] = None,
    device: Annotated[str, typer.Option(help="auto, cpu, cuda or mps.")] = "auto",
) -> None:
    """Train an LV-ViT on a set's label maps, or continue; prints the file with its weights.

    The file is a network like any other (`vitret extract FILE SET`), and a start for systems: model.backbone.weights.

    Examples:
      vitret labels train minitown-clean --maps ~/.local/share/vitret/labels/minitown-clean-448-3f2a9c77b01e.npy
      vitret labels train minitown-clean --maps maps.npy --set backbone.arch=lvvit_t --set ema=0.9999
    """
    from vitret.core import plugins
    from vitret.core.config import assign, location, validate
    from vitret.core.locks import locked
    from vitret.core.recipes import ModelSpec, Part
    from vitret.core.store import digest
    from vitret.data import layout
    from vitret.describe.devices import pick_device
    from vitret.learn import holdout, token_labels

    trainset, _ = holdout.split(layout.load_train(location("data").path, train_set), 0.0)
    card, labels = token_labels.read_maps(maps, trainset)
    backbone = plugins.options("backbones", "lvvit")
    backbone |= {"classes": None, "patch_classes": card.classes, "img_size": None}
    chosen = assign(
        {**token_labels.TokenLabelSpec().model_dump(mode="json"), "backbone": backbone}, set_ or ()
    )
    backbone = chosen.pop("backbone")
    spec = validate(token_labels.TokenLabelSpec, chosen, "--set")
    backbone["img_size"] = backbone["img_size"] or spec.size
    own = trainset.classes if spec.class_target == "true" else card.classes
    backbone["classes"] = backbone["classes"] or own
    model = token_labels.initial_model(
        ModelSpec(backbone=Part(name="lvvit", options=backbone), head=Part(name="cls")), seed=spec.seed
    )
    name = digest([spec.model_dump(mode="json"), model.spec.model_dump(mode="json")])[:8]
    path = out or maps.with_name(f"{maps.stem}-{backbone['arch']}-{name}.safetensors")
    with locked(path.with_suffix(".lock"), console.say), console.steps(path.stem) as progress:
        token_labels.train_token_labels(
            model, trainset, labels, path, spec=spec, device=pick_device(device), progress=progress
        )
    console.put(str(path))
