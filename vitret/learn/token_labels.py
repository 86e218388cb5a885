"""Token labelling as a training: an LV-ViT learns the labels of images and of their patches from label maps.

Jiang et al., "All tokens matter", NeurIPS 2021, and the authors' code: the class token's cross-entropy plus that of the
patch tokens, both against the classifier's labels (`class_target`), MixToken, AdamW. It stands beside
`vitret.learn.train` and is no system's loss, since its targets are maps (`vitret.learn.label_maps`) and not labels.
Ours: crops are cut from a square of the image by linear interpolation, and there is no other augmentation, the authors'
random colours and shapes (rand-m9) left out; gradients are clipped; a classifier of other classes than the images'
labels patches all the same (`patch_classes`). One process trains.
"""

import copy
import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
import torch
from numpy.typing import NDArray
from pydantic import Field
from torch import Tensor
from torch.nn import functional

from vitret.core import plugins
from vitret.core.config import Strict, assign, validate
from vitret.core.errors import UserError
from vitret.core.networks import ModelSpec, Part
from vitret.core.recipes import OptimiserSpec
from vitret.core.records import Int64, TrainSet
from vitret.core.store import digest
from vitret.learn.checkpoints import clear_state
from vitret.learn.label_maps import MapsCard, squared
from vitret.learn.loop import Outcome, Position, Progress, Training, run_training
from vitret.learn.optimise import descend, lr_at, update_copy
from vitret.models.backbones.lvvit import LvVit
from vitret.models.model import Retriever, build_model, save_model
from vitret.models.token_labels import image_targets, mix_box, patch_targets, token_label_loss


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


def initial_model(spec: ModelSpec, *, seed: int) -> Retriever:
    """The network before its first step, drawn from the seed."""
    torch.manual_seed(seed)
    return build_model(spec)


def read_specs(
    assignments: Sequence[str], trainset: TrainSet, card: MapsCard
) -> tuple[ModelSpec, TokenLabelSpec]:
    """The network and the training for a set and its maps, with values changed as `lr=1e-3` or `backbone.arch=…`."""
    backbone = plugins.options("backbones", "lvvit")
    backbone |= {"classes": None, "patch_classes": card.classes, "img_size": None}
    defaults = TokenLabelSpec().model_dump(mode="json")
    chosen = assign({**defaults, "backbone": backbone}, assignments)
    backbone = chosen.pop("backbone")
    spec = validate(TokenLabelSpec, chosen, "--set")
    backbone["img_size"] = backbone["img_size"] or spec.size
    own = trainset.classes if spec.class_target == "true" else card.classes
    backbone["classes"] = backbone["classes"] or own
    return ModelSpec(backbone=Part(name="lvvit", options=backbone), head=Part(name="cls")), spec


@dataclass(frozen=True, kw_only=True, eq=False)
class _Course:
    """All that the steps of one training need."""

    spec: TokenLabelSpec
    trainset: TrainSet
    maps: NDArray[np.float32]
    model: Retriever
    backbone: LvVit
    optimiser: torch.optim.Optimizer
    average: Retriever | None
    device: torch.device

    @property
    def total(self) -> int:
        return math.ceil(self.spec.images_seen / self.spec.batch)

    @property
    def best(self) -> Retriever:
        return self.model if self.average is None else self.average


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

    `maps` (n, 2, k, h, w) are those of `write_label_maps` for the training images. Continues from the state beside
    `path` where there is one; on the CPU an interrupted and a straight training give the same bytes. Ctrl-C and losses
    that are not finite: see `run_training`.
    """
    state = path.with_name(f"{path.stem}.state")
    course = _course(model, trainset, maps, spec=spec, device=device)
    if path.is_file():
        clear_state(state)
        return path
    training = Training(
        name=str(path),
        recipe=digest([spec.model_dump(mode="json"), model.spec.model_dump(mode="json"), trainset.digest]),
        total=course.total,
        batches=lambda start: _batches(course, start),
        step=lambda place, rows: _step(course, place.step, rows),
        parts={"model": model, "optimiser": course.optimiser, "average": course.average},
        write=lambda: save_model(path, course.best),
        state=state,
        device=device,
        advice="Try a lower rate: `--set lr=…`.",
    )
    run_training(training, progress=progress, save_seconds=save_seconds)
    return path


def _course(
    model: Retriever,
    trainset: TrainSet,
    maps: NDArray[np.float32],
    *,
    spec: TokenLabelSpec,
    device: torch.device,
) -> _Course:
    backbone = model.backbone
    if not isinstance(backbone, LvVit) or not hasattr(backbone, "aux_head"):
        raise UserError(
            "token labelling trains an LV-ViT with classifiers: backbone {name: lvvit, classes: …}."
        )
    _check_classes(spec, trainset, own=backbone.head.out_features, patches=backbone.aux_head.out_features)
    model.to(device).train()
    learned = [p for p in backbone.parameters() if p.requires_grad]
    optimiser = torch.optim.AdamW(learned, lr=spec.lr, weight_decay=spec.weight_decay)
    average = None if spec.ema is None else copy.deepcopy(model).eval().requires_grad_(False)
    torch.manual_seed(spec.seed)
    return _Course(
        spec=spec,
        trainset=trainset,
        maps=maps,
        model=model,
        backbone=backbone,
        optimiser=optimiser,
        average=average,
        device=device,
    )


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


def _batches(course: _Course, start: Position) -> Iterator[tuple[Position, Int64]]:
    """Each batch of rows (B,) from a position on."""
    for step in range(start.step, course.total):
        yield Position(step=step, at=step), _rows(len(course.trainset.images), step, course.spec)


def _step(course: _Course, step: int, rows: Int64) -> Outcome:
    spec, optimiser = course.spec, course.optimiser
    loss = _loss(course, step, rows)
    schedule = OptimiserSpec(lr=spec.lr, warmup=spec.warmup)
    for group in optimiser.param_groups:
        group["lr"] = lr_at(step, total=course.total, epoch=0, spec=schedule)
    descend(optimiser, loss, clip=spec.clip)
    if course.average is not None and spec.ema is not None:
        update_copy(course.average, course.model, spec.ema)
    return Outcome(loss=loss.detach())


def _loss(course: _Course, step: int, rows: Int64) -> Tensor:
    """The loss of one batch; its crops and its mixing are a function of the seed and the step."""
    spec, model, device = course.spec, course.model, course.device
    chance = np.random.default_rng([spec.seed, step, 0x70CE])
    boxes, flipped = (drawn.to(device) for drawn in _crops(chance, len(rows), spec))
    whole = squared(course.trainset.images, rows.tolist(), size=spec.size, patch=model.patch)
    images = cropped(model.normalised(whole.to(device)), boxes, flipped)
    grid = (spec.size // model.patch, spec.size // model.patch)
    classes = course.backbone.aux_head.out_features
    maps = torch.from_numpy(np.array(course.maps[rows])).to(device)
    labels = torch.from_numpy(course.trainset.labels[rows]).to(device)
    wanted = patch_targets(maps, classes=classes, size=grid, boxes=boxes, flipped=flipped)
    draw = torch.Generator().manual_seed(int(chance.integers(2**62)))
    logits = course.backbone.label_logits(images, box=mix_box(*grid, generator=draw) if spec.mix else None)
    return token_label_loss(
        logits,
        image_targets(spec.class_target, maps, labels, classes=classes, boxes=boxes),
        wanted,
        image_weight=spec.image_weight,
        patch_weight=spec.patch_weight,
        smoothing=spec.smoothing,
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
