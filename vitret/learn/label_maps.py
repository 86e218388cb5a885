"""Label maps: a classifier's labels for every place of every image of a training set, written once as one file."""

import hashlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from vitret.core.config import Strict, validate
from vitret.core.errors import DataError, UserError
from vitret.core.networks import ModelSpec, Part
from vitret.core.recipes import ImagePolicy
from vitret.core.records import Images, TrainSet
from vitret.core.store import digest, read_json, write_json
from vitret.describe.blocks import RowFile
from vitret.learn.augment import load, plain
from vitret.learn.loop import Progress
from vitret.models.backbones import timm_model
from vitret.models.model import Retriever, build_model, model_digest
from vitret.models.token_labels import classifier_in, label_maps

# Images whose maps reach the disk together.
_BLOCK = 512


@dataclass(frozen=True, kw_only=True, eq=False)
class Classifier:
    """What labels places: a network's last map and its classifier's weight (C, D) and bias (C,)."""

    model: Retriever
    weight: Tensor
    bias: Tensor

    @property
    def classes(self) -> int:
        return len(self.weight)


class MapsCard(Strict):
    """What label maps were made of; stands beside them as .json."""

    set: str
    digest: str
    classifier: str
    classes: int
    size: int
    shape: tuple[int, int, int, int]
    values: Literal["probabilities", "scores"] = "probabilities"


def timm_classifier(arch: str, weights: Path | None) -> Classifier:
    """A timm network with its classifier, from a file or from wherever the weights of `timm_model` come from."""
    options = {"arch": arch, "weights": None if weights is None else str(weights)}
    spec = ModelSpec(backbone=Part(name="timm_model", options=options), head=Part(name="mean"))
    model = build_model(spec)
    # What the hub gave lies in its cache by now.
    file = timm_model.weights_file(arch, options["weights"])
    if file is None:
        raise UserError(f"the hub keeps no weights of '{arch}' as a file here. Name one: --weights FILE.")
    weight, bias = classifier_in(timm_model.read_state(file), width=model.backbone.widths[-1])  # type: ignore[index,arg-type]
    return Classifier(model=model, weight=weight, bias=bias)


def maps_path(folder: Path, trainset: TrainSet, classifier: Classifier, *, size: int, k: int) -> Path:
    """Where the maps of a set by a classifier belong: a name of its own for all that can change them."""
    layer = torch.cat([classifier.weight.flatten(), classifier.bias]).cpu().numpy().tobytes()
    made_of = [
        "scores",
        model_digest(classifier.model),
        hashlib.sha256(layer).hexdigest(),
        trainset.digest,
        size,
        k,
    ]
    return folder / f"{trainset.name}-{size}-{digest(made_of)[:12]}.npy"


def save_card(path: Path, card: MapsCard) -> None:
    write_json(path.with_suffix(".json"), card.model_dump(mode="json"))


def read_maps(path: Path, trainset: TrainSet) -> tuple[MapsCard, NDArray[np.float32]]:
    """The card and the maps (n, 2, k, h, w), mapped; refuses those of another set."""
    beside = path.with_suffix(".json")
    if not path.is_file() or not beside.is_file():
        raise DataError(
            f"{path}: no label maps. Write them: vitret labels write {trainset.name} --classifier timm:ARCH"
        )
    card = validate(MapsCard, read_json(beside), str(beside))
    if card.digest != trainset.digest:
        raise DataError(
            f"{path}: the maps of {card.set} as it was then, not those of {trainset.name}. Write them again."
        )
    if card.values != "scores":
        raise DataError(
            f"{path}: holds probabilities, as an old version wrote them; scores are wanted. Write them from scratch: "
            f"vitret labels write {trainset.name} --classifier timm:{card.classifier}"
        )
    maps: NDArray[np.float32] = np.load(path, mmap_mode="r")
    return card, maps.reshape(len(maps), *card.shape)


def write_label_maps(
    path: Path,
    images: Images,
    classifier: Classifier,
    *,
    size: int,
    device: torch.device,
    k: int = 5,
    batch: int = 32,
    progress: Progress | None = None,
) -> NDArray[np.float32]:
    """The maps (n, 2, k, h, w) of all images squared to `size`, as an .npy file (n, 2·k·h·w) that is whole or absent.

    Mapped, not made again, where the file is there: a name belongs to one classifier, one size and one list of images.
    An interrupted writing continues after its last block of images.
    """
    model = classifier.model.to(device).eval()
    weight, bias = classifier.weight.to(device), classifier.bias.to(device)

    @torch.no_grad()
    def maps_of(pixels: Tensor) -> Tensor:
        return label_maps(model.backbone(model.normalised(pixels.to(device))).grids[-1], weight, bias, k=k)

    shape = maps_of(torch.zeros(1, 3, size, size, dtype=torch.uint8)).shape[1:]
    if not path.is_file():
        file = RowFile(path, (len(images), shape.numel()), path.name)
        while file.done < len(images):
            block = []
            for rows in _chunks(file.done, min(file.done + _BLOCK, len(images)), batch):
                pixels = squared(images, rows, size=size, patch=model.patch)
                block.append(maps_of(pixels).flatten(1).cpu().numpy())
                if progress is not None:
                    progress(rows.stop, len(images), "images")
            file.append(np.concatenate(block), {})
        file.finish()
    found: NDArray[np.float32] = np.load(path, mmap_mode="r").reshape(len(images), *shape)
    return found


def _chunks(start: int, stop: int, size: int) -> Iterator[range]:
    for first in range(start, stop, size):
        yield range(first, min(first + size, stop))


def squared(images: Images, rows: Sequence[int], *, size: int, patch: int) -> Tensor:
    """Whole images squeezed into squares, (B, 3, size, size) uint8."""
    policy = ImagePolicy(policy="square", size=size, flip=False, interpolation="bilinear")
    loaded = [load(images.file(row), policy, box=images.box(row), patch=patch) for row in rows]
    return torch.stack([plain(image, policy, patch=patch) for image in loaded])
