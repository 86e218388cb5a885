"""Images to descriptors on disk, as fast as the machine allows and in the same bytes every time.

Images are taken in blocks. Within a block those of equal final size share a batch, so nothing is padded to its
neighbour's size, and a batch never depends on how many workers there are or when they finish. After each block the
rows and the progress are on disk: a killed extraction goes on from there and ends with the same file.
"""

import contextlib
import os
import time
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from vitret.core.errors import DataError, UserError
from vitret.core.protocol import Protocol
from vitret.core.records import Descriptors, Images
from vitret.core.store import digest
from vitret.describe.blocks import RowFile, Rows
from vitret.describe.devices import cast, pick_device, pick_precision, rounded_products
from vitret.describe.folding import folded
from vitret.describe.framing import Frame, box_of, frame, load, padded, stacked, stored_size
from vitret.describe.scales import describe
from vitret.models.model import Retriever, model_digest

__all__ = ["BLOCK", "VERSION", "Progress", "extract", "extraction_key", "names_digest", "pick_device"]

# Raise it when a change here, in folding.py, framing.py or scales.py changes the bytes of a descriptor.
VERSION = 1
BLOCK = 2048
# Pixels of one batch. A CPU gains nothing from large batches and loses its caches to a CNN's maps.
PIXELS = {"cpu": 400_000, "cuda": 16_000_000, "mps": 2_000_000}
LARGEST_BATCH = 256

Progress = Callable[[int, int, str], None]


@dataclass(frozen=True, kw_only=True)
class _Batch:
    """Rows of one block whose images end at the same size."""

    rows: list[int]
    frame: Frame


@dataclass(frozen=True, kw_only=True)
class _Done:
    """What a batch gave: descriptors (B, D) of the rows that could be read, and why the others could not."""

    rows: list[int]
    described: Tensor | None
    failed: dict[str, str]


@dataclass(frozen=True, kw_only=True)
class _Work:
    """One extraction: what is described, how, and on what."""

    model: Retriever
    images: Images
    protocol: Protocol
    device: torch.device
    precision: str
    pool: ThreadPoolExecutor
    ahead: int


def extract(
    model: Retriever,
    images: Images,
    protocol: Protocol,
    *,
    device: torch.device,
    precision: str = "auto",
    workers: int | None = None,
    out: Path | None = None,
    progress: Progress | None = None,
    images_digest: str | None = None,
    block: int = BLOCK,
) -> Descriptors:
    """Descriptors (n, D) float32 of all images, one row each, before any whitening.

    A row whose image cannot be read is zeros and is listed in `failed`. `out` is the .npy file to write; it appears
    when it is whole. Beside a GPU `workers` threads decode ahead of the network, by default one a core and at most
    16; on a CPU there are as many as PyTorch may use. The model is moved to `device`; afterwards it is in the mode
    it was in.
    """
    key = extraction_key(
        model, images, protocol, device=device, precision=precision, images_digest=images_digest
    )
    file = RowFile(out, (len(images), model.dim), digest({**key, "block": block}))
    began, before = time.monotonic(), file.done

    def tell(done: int) -> None:
        if progress is not None:
            speed = (done - before) / max(time.monotonic() - began, 1e-9)
            progress(done, len(images), f"{speed:.1f} images/s")

    with (
        _evaluating(model.to(device)),
        rounded_products(key["precision"], device, convolutional=_convolutional(model)),
        _threads(device, workers) as (pool, threads),
    ):
        work = _Work(
            model=folded(model),
            images=images,
            protocol=protocol,
            device=device,
            precision=key["precision"],
            pool=pool,
            ahead=4 * threads,
        )
        while file.done < len(images):
            rows = range(file.done, min(file.done + block, len(images)))
            file.append(*_block(work, rows, tell))
    finished = file.finish()
    return Descriptors(
        rows=finished,
        images_digest=key["images"],
        model_digest=key["model"],
        protocol=protocol.fingerprint,
        failed=np.array(sorted(int(row) for row in file.failed), np.int64),
    )


def extraction_key(
    model: Retriever,
    images: Images,
    protocol: Protocol,
    *,
    device: torch.device,
    precision: str,
    images_digest: str | None = None,
) -> dict[str, Any]:
    """Everything that can change a byte of the descriptors, and nothing else, ready for JSON.

    `images_digest` stands for the bytes of the images; without it only their names and boxes are known here.
    """
    switches = protocol.extraction()
    switches.pop("whitening")  # applied to what comes out of here
    return {
        "version": VERSION,
        "model": model_digest(model),
        "protocol": switches,
        "device": device.type,
        "precision": pick_precision(precision, device),
        "dtype": "float32",
        "images": images_digest or "",
        "names": names_digest(images),
    }


def names_digest(images: Images) -> str:
    """Sha256 of the images' names and boxes, in order."""
    boxes = None if images.boxes is None else np.nan_to_num(images.boxes, nan=-1.0).tolist()
    return digest([[images.name(i) for i in range(len(images))], boxes])


def _block(work: _Work, rows: range, tell: Callable[[int], None]) -> tuple[Rows, dict[str, str]]:
    """The descriptors of consecutive rows, and the reasons of those that are zeros for want of an image."""
    stream = _on_cpu if work.device.type == "cpu" else _on_accelerator
    seen, described, order = rows.start, [], []
    failed: dict[str, str] = {}
    for done in stream(work, _plan(work, rows)):
        failed |= done.failed
        if done.described is not None:
            described.append(done.described)
            order += done.rows
        seen += len(done.rows) + len(done.failed)
        tell(seen)
    result = np.zeros((len(rows), work.model.dim), np.float32)
    if described:
        # The only place where the CPU waits for an accelerator.
        result[np.array(order) - rows.start] = torch.cat(described).cpu().numpy()
    if not np.isfinite(result).all():
        raise UserError(
            f"The network gave values that are not finite in {work.precision}. "
            "Try --precision fp32; if that fails too, the weights are broken."
        )
    return result, failed


def _plan(work: _Work, rows: range) -> list[_Batch]:
    """Batches of equal size, the largest first, from the files' headers alone."""
    images, protocol = work.images, work.protocol
    upright = protocol.exif == "apply"
    sizes = work.pool.map(lambda row: stored_size(images.file(row), exif=upright), rows)
    groups: dict[Frame, list[int]] = {}
    for row, size in zip(rows, sizes, strict=True):
        # An unreadable header: any frame will do, since decoding the file says what is wrong with it.
        known = frame(size or (1, 1), box_of(images.box(row), protocol), protocol, patch=work.model.patch)
        groups.setdefault(known, []).append(row)
    batches = []
    for known in sorted(groups, key=lambda f: (f.final[0] * f.final[1], f.final, f.cropped), reverse=True):
        pixels = PIXELS[work.device.type] // (known.final[0] * known.final[1])
        count = min(max(pixels, 1), LARGEST_BATCH)
        members = groups[known]
        batches += [_Batch(rows=members[i : i + count], frame=known) for i in range(0, len(members), count)]
    return batches


def _on_cpu(work: _Work, batches: Sequence[_Batch]) -> Iterator[_Done]:
    """One whole batch per thread, decoding included.

    Threads that share nothing do not wait for each other, as those that share one matrix product do, most of all on a
    machine that does other things too; and no byte depends on their number.
    """

    def run(batch: _Batch) -> _Done:
        return _finished(work, batch, [_load(work, row, batch.frame) for row in batch.rows])

    yield from _in_order(work.pool, run, batches, ahead=work.ahead)


def _on_accelerator(work: _Work, batches: Sequence[_Batch]) -> Iterator[_Done]:
    """Images are decoded by the pool while the device is busy; `ahead` images wait at most, one batch at least."""
    waiting: deque[tuple[_Batch, list[Future[Tensor | str]]]] = deque()
    images = 0
    for batch in batches:
        waiting.append((batch, [work.pool.submit(_load, work, row, batch.frame) for row in batch.rows]))
        images += len(batch.rows)
        while images > work.ahead and len(waiting) > 1:
            images -= len(waiting[0][0].rows)
            first, futures = waiting.popleft()
            yield _finished(work, first, [future.result() for future in futures])
    for last, futures in waiting:
        yield _finished(work, last, [future.result() for future in futures])


def _in_order(
    pool: ThreadPoolExecutor, run: Callable[[_Batch], _Done], batches: Sequence[_Batch], *, ahead: int
) -> Iterator[_Done]:
    waiting: deque[Future[_Done]] = deque()
    for batch in batches:
        waiting.append(pool.submit(run, batch))
        if len(waiting) > ahead:
            yield waiting.popleft().result()
    while waiting:
        yield waiting.popleft().result()


def _load(work: _Work, row: int, plan: Frame) -> Tensor | str:
    """An image's pixels, or the reason why there are none."""
    path = work.images.file(row)
    try:
        return load(path, work.images.box(row), plan, work.protocol)
    except DataError as error:
        return str(error)


def _finished(work: _Work, batch: _Batch, loaded: Sequence[Tensor | str]) -> _Done:
    """Describe what could be read of a batch; on an accelerator this is queued, not waited for."""
    good = [(row, r) for row, r in zip(batch.rows, loaded, strict=True) if isinstance(r, Tensor)]
    failed = {str(row): r for row, r in zip(batch.rows, loaded, strict=True) if isinstance(r, str)}
    described = _describe(work, [pixels for _, pixels in good], batch.frame) if good else None
    return _Done(rows=[row for row, _ in good], described=described, failed=failed)


@torch.inference_mode()
def _describe(work: _Work, pixels: list[Tensor], plan: Frame) -> Tensor:
    batch = stacked(pixels)
    if work.device.type == "cuda":
        batch = batch.pin_memory()
    batch = batch.to(work.device, non_blocking=True)
    images = padded(work.model.normalised(batch), plan.final)
    scales, how = work.protocol.scales, work.protocol.aggregation
    with cast(work.precision, work.device, convolutional=_convolutional(work.model)):
        return describe(work.model, images, scales=scales, aggregation=how, patch=work.model.patch)


def _convolutional(model: Retriever) -> bool:
    """Whether a network takes pixels as they are, without a patch embedding."""
    return model.patch == 1


@contextlib.contextmanager
def _threads(device: torch.device, workers: int | None) -> Iterator[tuple[ThreadPoolExecutor, int]]:
    """The pool and its size: on a CPU as many threads as PyTorch may use, each single; else `workers` that decode."""
    if device.type != "cpu":
        count = max(1, min(os.cpu_count() or 1, 16) if workers is None else workers)
        with ThreadPoolExecutor(count) as pool:
            yield pool, count
        return
    before = torch.get_num_threads()
    try:
        with ThreadPoolExecutor(before, initializer=torch.set_num_threads, initargs=(1,)) as pool:
            yield pool, before
    finally:
        torch.set_num_threads(before)


@contextlib.contextmanager
def _evaluating(model: torch.nn.Module) -> Iterator[None]:
    """Evaluation mode, and back to what every single module was in: a trainer freezes some of them."""
    modes = [(module, module.training) for module in model.modules()]
    model.eval()
    try:
        yield
    finally:
        for module, mode in modes:
            module.training = mode
