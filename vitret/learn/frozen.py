"""Training on what a frozen network gives: its descriptors are made once, and a linear head learns from those.

The descriptors are those of `vitret.describe.cache`, so they are made once for all losses, rates and seeds, an
interrupted extraction continues, and `vitret cache` lists them. They are of whole images, without augmentation.
"""

import copy
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.utils.data import Dataset

from vitret.core.errors import UserError
from vitret.core.networks import ModelSpec, Part
from vitret.core.protocol import Protocol
from vitret.core.recipes import ImagePolicy
from vitret.core.records import Images, TrainSet
from vitret.describe.cache import cached_extract
from vitret.describe.extract import Progress
from vitret.describe.request import Request
from vitret.learn.loading import Place
from vitret.models.model import Retriever


class Given(nn.Module):
    """Stands where a network was whose descriptors are given: they pass as they are."""

    patch, mean, std = 1, (0.0, 0.0, 0.0), (1.0, 1.0, 1.0)

    def forward(self, descriptors: Tensor) -> Tensor:
        return descriptors


class Descriptors(Dataset[Tensor]):
    """The descriptor (D,) at a place of the plan, whatever its epoch and slot."""

    def __init__(self, rows: NDArray[np.float32]) -> None:
        self.rows = rows

    def __getitem__(self, place: Place) -> Tensor:
        return torch.from_numpy(self.rows[place[0]])


def split_at_head(model: Retriever) -> tuple[Retriever, Retriever]:
    """The frozen network up to its base head, and what learns: a network from those descriptors to the final ones.

    The second holds the very layer of `model`. Raises `UserError` for a head that has no frozen part.
    """
    base = getattr(model.head, "base", None)
    if not isinstance(base, nn.Module):
        raise UserError(
            f"train_on: descriptors needs a head on a frozen one, `head: {{name: linear, base: cls}}`; "
            f"'{model.spec.head.name}' reads tokens."
        )
    inner = Part.model_validate(model.spec.head.options["base"])
    spec = ModelSpec(backbone=model.spec.backbone, head=inner, checkpoint=model.spec.checkpoint)
    frozen = Retriever(model.backbone, base, spec.resolved()).eval().requires_grad_(False)
    return frozen, Retriever(Given(), _with_base(model.head, Given()), model.spec)


def joined(frozen: Retriever, learned: Retriever) -> Retriever:
    """The whole network again, from images to the final descriptors: the inverse of `split_at_head`."""
    return Retriever(frozen.backbone, _with_base(learned.head, frozen.head), learned.spec)


def _with_base(head: nn.Module, base: nn.Module) -> nn.Module:
    """The same head, its layers shared, on another base."""
    changed = copy.copy(head)
    changed._modules = {**head._modules, "base": base}
    return changed


def protocol_of(policy: ImagePolicy) -> Protocol:
    """How images are described where a track's policy would train on them, without any augmentation.

    Aspect-ratio groups have no counterpart; the longer side is that of their largest shape.
    """
    if policy.policy == "square":
        crop = None if policy.resize is None else policy.size
        return Protocol(
            size=policy.resize or policy.size,
            size_rule="square",
            centre_crop=crop,
            fit="crop" if crop else "round",
            interpolation=policy.interpolation,
        )
    size = policy.size if policy.policy == "longer" else round(policy.size * 8 / 7)
    return Protocol(size=size, size_rule="longer", interpolation=policy.interpolation)


def described(
    network: Retriever,
    trainset: TrainSet,
    policy: ImagePolicy,
    *,
    home: Path,
    device: torch.device,
    precision: str,
    progress: Progress | None,
) -> NDArray[np.float32]:
    """Unit descriptors (n, D) of a training set's images, of this call or of an earlier one.

    Raises `UserError` where an image cannot be read: its row would be zeros.
    """
    request = Request(
        model=network,
        images=trainset.images,
        protocol=protocol_of(policy),
        device=device,
        precision=precision,
        images_digest=trainset.images_digest,
    )
    found = cached_extract(request, home=home, progress=progress)
    if len(found.failed):
        raise UserError(
            f"{trainset.name}: {len(found.failed)} images cannot be read; first: "
            f"{trainset.images.name(int(found.failed[0]))}. "
            f"Prepare the set again: vitret prepare {trainset.name} --replace"
        )
    return np.array(found.rows, np.float32)


def rows_of(whole: Images, part: Images) -> list[int]:
    """Where the images of a part stand in the whole; two boxes in one file are two images."""
    place = {(whole.name(row), whole.box(row)): row for row in range(len(whole))}
    return [place[part.name(row), part.box(row)] for row in range(len(part))]
