"""Batches of training images: which pixels stand at (epoch, step, slot), read by worker processes or from memory.

The pixels are a function of the seed and that place, never of which worker read them or when.
"""

import os
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import DataLoader, Dataset

from vitret.core.recipes import ImagePolicy
from vitret.core.records import Images, Int64
from vitret.data import layout
from vitret.data.boxes import crop_sizes
from vitret.data.images import header
from vitret.learn.augment import augment, check_policy, load, plain, random_crop

# Decoded images are kept in memory when all of them fit in this many bytes.
CACHE_BYTES = 1 << 30

Place = tuple[int, int, int, int]
"""(row, epoch, step, slot); epoch −1 asks for the image without augmentation."""


def default_workers(device: torch.device) -> int:
    """Loading processes that keep a GPU busy; none beside a CPU, whose cores train."""
    return min(16, os.cpu_count() or 1) if device.type == "cuda" else 0


def image_sizes(images: Images) -> Int64:
    """(n, 2) width and height from the prepared set's table; where an image has a box, of the pixels it holds.

    The header is read only of an image that is in no such table, as in a benchmark of speed.
    """
    sizes = layout.load_sizes(images)[:, :2]
    for row in np.flatnonzero(~sizes.all(axis=1)):
        sizes[row] = header(images.file(int(row)))[:2]
    return sizes if images.boxes is None else crop_sizes(images.boxes, sizes)


@dataclass(frozen=True)
class Batch:
    """Images of one batch in parts of equal size: (places (b,), pixels (b, 3, H, W) uint8) each."""

    parts: tuple[tuple[Tensor, Tensor], ...]

    def pin_memory(self) -> "Batch":
        return Batch(tuple((places, pixels.pin_memory()) for places, pixels in self.parts))

    def to(self, device: torch.device) -> "Batch":
        return Batch(tuple((places, pixels.to(device, non_blocking=True)) for places, pixels in self.parts))

    def split(self, parts: int) -> "Batch":
        """The same images in pieces of at most ⌈n / parts⌉."""
        most = -(-sum(len(places) for places, _ in self.parts) // parts)
        pieces = []
        for places, pixels in self.parts:
            pieces += list(zip(torch.split(places, most), torch.split(pixels, most), strict=True))
        return Batch(tuple(pieces))


def collate(images: Sequence[Tensor]) -> Batch:
    """Images of equal size become one tensor each; sizes in the order in which they first come."""
    places: dict[torch.Size, list[int]] = {}
    for place, image in enumerate(images):
        places.setdefault(image.shape, []).append(place)
    return Batch(
        tuple((torch.tensor(rows), torch.stack([images[r] for r in rows])) for rows in places.values())
    )


class TrainImages(Dataset[Tensor]):
    """Pixels at a place of the plan."""

    def __init__(self, images: Images, policy: ImagePolicy, *, seed: int, patch: int) -> None:
        check_policy(policy, patch)
        self.images, self.policy, self.seed, self.patch = images, policy, seed, patch
        self.kept: list[Tensor] | None = None

    def load(self, row: int) -> Tensor:
        if self.kept is not None:
            return self.kept[row]
        return load(self.images.file(row), self.policy, box=self.images.box(row), patch=self.patch)

    def __getitem__(self, place: Place) -> Tensor:
        row, epoch, step, slot = place
        image = self.load(row)
        if epoch < 0:
            return plain(image, self.policy, patch=self.patch)
        generator = np.random.default_rng([self.seed, epoch, step, slot])
        return augment(image, self.policy, generator, patch=self.patch)

    def bytes(self) -> int:
        """Memory that all images would take as `load` gives them; never too low."""
        if not random_crop(self.policy):
            side = self.policy.resize or -(
                -self.policy.size * 8 // 7
            )  # a group's longer side is 8/7 of its size
            return 3 * side * side * len(self.images)
        return 3 * int(image_sizes(self.images).prod(axis=1).sum())

    def keep(self, workers: int, *, most: int = CACHE_BYTES) -> bool:
        """Read every image now and keep it, if all fit in `most` bytes. Says whether they did."""
        # A lower bound first, so that a large set's table is not even opened.
        if len(self.images) * 3 * 32 * 32 > most or self.bytes() > most:
            return False
        with ThreadPoolExecutor(max(4, workers)) as pool:
            self.kept = list(pool.map(self.load, range(len(self.images))))
        return True


def batches(
    dataset: Dataset[Tensor],
    places: Iterable[list[Place]],
    *,
    workers: int,
    device: torch.device,
) -> Iterator[Batch]:
    """The batches of these places in order, on the device; the next one is already on its way.

    Copies from pinned memory are queued behind the running step's kernels, so that they never make it wait.
    """
    loader: DataLoader[Tensor] = DataLoader(
        dataset,
        batch_sampler=places,
        collate_fn=collate,
        num_workers=workers,
        pin_memory=device.type == "cuda",
        prefetch_factor=4 if workers else None,
        # A generator of its own: the loader must not draw from the one that training draws from.
        generator=torch.Generator().manual_seed(0),
    )
    ahead: Batch | None = None
    for batch in loader:
        current, ahead = ahead, batch.to(device)
        if current is not None:
            yield current
    if ahead is not None:
        yield ahead


def plan_places(plan: Int64, epoch: int, first: int, slots: slice) -> Iterator[list[Place]]:
    """Places of a plan (steps, B) from step `first` on; `slots` is the share of this process."""
    picked = range(*slots.indices(plan.shape[1]))
    for step in range(first, len(plan)):
        yield [(int(plan[step, slot]), epoch, step, slot) for slot in picked]


def describe_places(rows: Int64, batch: int) -> Iterator[list[Place]]:
    """Places of images without augmentation, in order."""
    for start in range(0, len(rows), batch):
        yield [(int(row), -1, 0, 0) for row in rows[start : start + batch]]


Forward = Callable[[Tensor], Tensor]
"""Pixels (b, 3, H, W) uint8 → unit descriptors (b, D)."""


def forward(batch: Batch, model: Forward) -> Tensor:
    """Descriptors (B, D) of a batch, in the order of its places."""
    outputs = torch.cat([model(pixels) for _, pixels in batch.parts])
    order = torch.cat([places for places, _ in batch.parts])
    if len(batch.parts) == 1:
        return outputs
    return outputs[torch.argsort(order).to(outputs.device, non_blocking=True)]
