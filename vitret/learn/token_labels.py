"""Token labelling as a training: label maps made once by any classifier, then an LV-ViT learns image and patch labels.

Jiang et al., "All tokens matter", NeurIPS 2021, and the authors' code: the class token's cross-entropy plus that of the
patch tokens, both against the classifier's labels (`class_target`), MixToken, AdamW. It stands beside
`vitret.learn.train` and is no system's loss, since its targets are maps and not labels. Ours: crops are cut from a
square of the image by linear interpolation, and there is no other augmentation, the authors' random colours and shapes
(rand-m9) left out; gradients are clipped; a classifier of other classes than the images' labels patches all the same
(`patch_classes`). One process trains.
"""

import copy
import hashlib
import math
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
import torch
from numpy.typing import NDArray
from pydantic import Field
from torch import Tensor, nn
from torch.nn import functional

from vitret.core.config import Strict, validate
from vitret.core.errors import DataError, UserError
from vitret.core.recipes import ImagePolicy, ModelSpec, OptimiserSpec, Part
from vitret.core.records import Images, TrainSet
from vitret.core.store import digest, read_json, write_json
from vitret.describe.blocks import RowFile
from vitret.learn.augment import load, plain
from vitret.learn.checkpoints import clear_state, load_state, random_state, save_state, set_random_state
from vitret.learn.optimise import lr_at, update_copy
from vitret.models.backbones import timm_model
from vitret.models.backbones.lvvit import LvVit
from vitret.models.model import Retriever, build_model, model_digest, save_model
from vitret.models.token_labels import (
    classifier_in,
    image_targets,
    label_maps,
    mix_box,
    patch_targets,
    token_label_loss,
)

Progress = Callable[[int, int, str], None]
_PLAIN = {"policy": "square", "flip": False, "interpolation": "bilinear"}
# Images whose maps reach the disk together.
_BLOCK = 512


class TokenLabelSpec(Strict):
    """The training; weights, smoothing and decay are the authors', rate and budget are for small sets."""

    size: int = Field(default=224, gt=0)
    images_seen: int = Field(default=100_000, gt=0)
    batch: int = Field(default=64, gt=0)
    lr: float = Field(default=5e-4, gt=0)
    weight_decay: float = Field(default=0.05, ge=0)
    warmup: float = Field(default=0.05, ge=0, lt=1)
    crop_area: tuple[float, float] = (0.3, 1.0)
    flip: bool = True
    mix: bool = True
    image_weight: float = 1.0
    patch_weight: float = 1.0
    class_target: Literal["machine", "true", "mixed"] = Field(
        default="machine",
        description="label of the class token: the classifier's, the image's own, or both mixed",
    )
    smoothing: float = Field(default=0.1, ge=0, lt=1)
    clip: float | None = Field(default=1.0, gt=0, description="gradient norm; ours")
    ema: float | None = Field(
        default=None, gt=0, lt=1, description="keep an average of the weights, as the authors do"
    )
    seed: int = 0


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


def initial_model(spec: ModelSpec, *, seed: int) -> Retriever:
    """The network before its first step, drawn from the seed."""
    torch.manual_seed(seed)
    return build_model(spec)


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
            f"{path}: the maps of {card.set} as it was then, not those of {trainset.name}. Write them from scratch."
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
    An interrupted writing continues from its last hundreds of images.
    """
    policy = ImagePolicy.model_validate({**_PLAIN, "size": size})
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
            for start in range(file.done, min(file.done + _BLOCK, len(images)), batch):
                rows = range(start, min(start + batch, file.done + _BLOCK, len(images)))
                block.append(
                    maps_of(_pixels(images, rows, policy, patch=model.patch)).flatten(1).cpu().numpy()
                )
                if progress is not None:
                    progress(rows.stop, len(images), "")
            file.append(np.concatenate(block), {})
        file.finish()
    found: NDArray[np.float32] = np.load(path, mmap_mode="r").reshape(len(images), *shape)
    return found


def _pixels(images: Images, rows: Sequence[int], policy: ImagePolicy, *, patch: int) -> Tensor:
    loaded = [load(images.file(row), policy, box=images.box(row), patch=patch) for row in rows]
    return torch.stack([plain(image, policy, patch=patch) for image in loaded])


def train_token_labels(
    model: Retriever,
    trainset: TrainSet,
    maps: NDArray[np.float32],
    path: Path,
    *,
    spec: TokenLabelSpec,
    device: torch.device,
    progress: Progress | None = None,
    save_seconds: float = 60.0,
) -> Path:
    """Train a network whose backbone is an LV-ViT with classifiers; returns `path`, written when training is over.

    `maps` (n, 2, k, h, w) are those of `write_label_maps` for the training images. Goes on from the state beside `path`
    where there is one; on the CPU an interrupted and a straight training give the same bytes.
    """
    backbone = model.backbone
    if not isinstance(backbone, LvVit) or not hasattr(backbone, "aux_head"):
        raise UserError(
            "token labelling trains an LV-ViT with classifiers: backbone {name: lvvit, classes: …}."
        )
    if path.is_file():
        return path
    model.to(device).train()
    learned = [p for p in backbone.parameters() if p.requires_grad]
    optimiser = torch.optim.AdamW(learned, lr=spec.lr, weight_decay=spec.weight_decay)
    average = None if spec.ema is None else copy.deepcopy(model).eval().requires_grad_(False)
    schedule = OptimiserSpec(lr=spec.lr, warmup=spec.warmup)
    policy = ImagePolicy.model_validate({**_PLAIN, "size": spec.size})
    state_folder = path.with_name(f"{path.stem}.state")
    recipe = digest([spec.model_dump(mode="json"), model.spec.model_dump(mode="json"), trainset.digest])
    classes, total, step = backbone.aux_head.out_features, math.ceil(spec.images_seen / spec.batch), 0
    _check_classes(spec, trainset, own=backbone.head.out_features, patches=classes)
    torch.manual_seed(spec.seed)
    state = load_state(state_folder, recipe=recipe, processes=1)
    if state is not None:
        step = state["step"]
        model.load_state_dict(state["model"])
        if average is not None:
            average.load_state_dict(state["average"])
        optimiser.load_state_dict(state["optimiser"])
        set_random_state(state["random"][0], device)
    saved = time.monotonic()
    while step < total:
        rows = _rows(len(trainset.images), step, spec)
        chance = np.random.default_rng([spec.seed, step, 0x70CE])
        boxes, flipped = _crops(chance, len(rows), spec)
        whole = _pixels(trainset.images, rows.tolist(), policy, patch=model.patch).to(device)
        images = cropped(model.normalised(whole), boxes.to(device), flipped.to(device))
        grid = (spec.size // model.patch, spec.size // model.patch)
        seen = torch.from_numpy(np.array(maps[rows])).to(device)
        labels = torch.from_numpy(trainset.labels[rows]).to(device)
        wanted = patch_targets(
            seen, classes=classes, size=grid, boxes=boxes.to(device), flipped=flipped.to(device)
        )
        draw = torch.Generator().manual_seed(int(chance.integers(2**62)))
        logits = backbone.label_logits(images, box=mix_box(*grid, generator=draw) if spec.mix else None)
        loss = token_label_loss(
            logits,
            image_targets(spec.class_target, seen, labels, classes=classes, boxes=boxes.to(device)),
            wanted,
            image_weight=spec.image_weight,
            patch_weight=spec.patch_weight,
            smoothing=spec.smoothing,
        )
        for group in optimiser.param_groups:
            group["lr"] = lr_at(step, total=total, epoch=0, spec=schedule)
        optimiser.zero_grad(set_to_none=True)
        loss.backward()  # type: ignore[no-untyped-call]
        if spec.clip is not None:
            nn.utils.clip_grad_norm_(learned, spec.clip)
        optimiser.step()
        if average is not None and spec.ema is not None:
            update_copy(average, model, spec.ema)
        step += 1
        value = loss.item()
        if not math.isfinite(value):
            raise UserError(f"{path}: the loss is {value} at step {step}. Try a lower rate.")
        if progress is not None:
            progress(step, total, f"loss {value:.4f}")
        if step < total and time.monotonic() - saved > save_seconds:
            random = [random_state(device)]
            state = {"model": model.state_dict(), "optimiser": optimiser.state_dict(), "random": random}
            state["average"] = None if average is None else average.state_dict()
            save_state(state_folder, {**state, "step": step, "recipe": recipe})
            saved = time.monotonic()
    save_model(path, model if average is None else average)
    clear_state(state_folder)
    return path


def _check_classes(spec: TokenLabelSpec, trainset: TrainSet, *, own: int, patches: int) -> None:
    """The class token's classifier must have the classes of its target."""
    needed = trainset.classes if spec.class_target == "true" else patches
    if own != needed:
        raise UserError(
            f"class_target {spec.class_target} needs a class token of {needed} classes, the backbone has {own}: "
            f"backbone {{name: lvvit, classes: {needed}}}."
        )
    if spec.class_target == "mixed" and trainset.classes != patches:
        raise UserError(
            f"class_target mixed needs a classifier of the set's own classes: it has {patches}, {trainset.name} "
            f"{trainset.classes}. Take class_target machine or true."
        )


def _rows(count: int, step: int, spec: TokenLabelSpec) -> NDArray[np.int64]:
    """The images of a step: every epoch is a permutation of its own, and a step may end one and begin the next."""
    epoch, at = divmod(step * spec.batch, count)
    found: list[NDArray[np.int64]] = []
    wanted = spec.batch
    while wanted:
        order = np.random.default_rng([spec.seed, epoch, 0xE0C]).permutation(count)[at : at + wanted]
        found.append(order)
        wanted, epoch, at = wanted - len(order), epoch + 1, 0
    return np.concatenate(found)


def _crops(chance: np.random.Generator, count: int, spec: TokenLabelSpec) -> tuple[Tensor, Tensor]:
    """Square crops (B, 4) as x0, y0, x1, y1 in fractions of the image, and which are mirrored (B,)."""
    side = np.sqrt(chance.uniform(*spec.crop_area, size=count))
    corner = chance.random((2, count)) * (1 - side)
    boxes = np.stack([*corner, *(corner + side)], axis=1).astype(np.float32)
    flipped = (chance.random(count) < 0.5) & spec.flip
    return torch.from_numpy(boxes), torch.from_numpy(flipped)


def cropped(images: Tensor, boxes: Tensor, flipped: Tensor) -> Tensor:
    """Each image (B, C, H, W) cut to its box in fractions, mirrored or not, at the size it had."""
    x0, y0, x1, y1 = boxes.unbind(1)
    sign = 1 - 2 * flipped.to(boxes)
    zero = torch.zeros_like(x0)
    rows = [(x1 - x0) * sign, zero, x0 + x1 - 1, zero, y1 - y0, y0 + y1 - 1]
    grid = functional.affine_grid(
        torch.stack(rows, dim=1).view(-1, 2, 3), list(images.shape), align_corners=False
    )
    return functional.grid_sample(images, grid, padding_mode="border", align_corners=False)
