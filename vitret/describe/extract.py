"""Images to descriptors on disk, as fast as the machine allows and in the same bytes every time.

Images are taken in blocks. Within a block those of equal final size share a batch, so nothing is padded to its
neighbour's size, and a batch never depends on how many workers there are or when they finish. After each block the
rows and the progress are on disk: an extraction that was killed continues from there and ends with the same file.

Several processes that share only files may divide the batches of every block among them (`extract_share`); no byte
depends on how many they are.
"""

import contextlib
import os
import time
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from vitret.core.errors import DataError, UserError
from vitret.core.records import Descriptors
from vitret.core.shares import WHOLE, Share
from vitret.core.store import digest
from vitret.describe.blocks import RowFile, Rows
from vitret.describe.devices import cast, rounded_products
from vitret.describe.folding import folded
from vitret.describe.framing import Frame, FrameOf, frame_finder, load, padded, stacked
from vitret.describe.request import Request, extraction_key
from vitret.describe.scales import describe
from vitret.describe.shares import Piece, Pieces, read_piece
from vitret.models.model import Retriever

BLOCK = 2048
# Pixels of one batch. A CPU gains nothing from large batches and loses its caches to a CNN's maps.
PIXELS = {"cpu": 400_000, "cuda": 16_000_000, "mps": 2_000_000}
LARGEST_BATCH = 256
# Seconds between two looks for the pieces of other processes.
_PATIENCE = 1.0

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
    """An extraction under way: what was asked for, the network as it runs, and the threads; `ahead` images wait."""

    request: Request
    model: Retriever
    precision: str
    frame: FrameOf
    pool: ThreadPoolExecutor
    ahead: int


def extract(
    request: Request, *, out: Path | None = None, progress: Progress | None = None, block: int = BLOCK
) -> Descriptors:
    """Descriptors (n, D) float32 of all images, one row each.

    A row whose image cannot be read is zeros and is listed in `failed`. `out` is the .npy file to write; it appears
    when it is whole. The model is moved to the device; afterwards it is in the mode it was in.
    """
    key, total = extraction_key(request), len(request.images)
    file = _row_file(request, key, out, block)
    tell = _teller(progress, before=file.done, total=total)
    with _ready(request, key["precision"]) as work:
        while file.done < total:
            rows = range(file.done, min(file.done + block, total))
            file.append(*_whole(rows, [_block(work, rows, _after(rows.start, tell))], work.model.dim))
    return _finished_rows(request, key, file)


def extract_share(
    request: Request, share: Share, *, out: Path, progress: Progress | None = None, block: int = BLOCK
) -> None:
    """One share of `extract`'s work for `out`, kept as pieces beside it, one a block; what is there is not made again.

    The progress counts the pieces of all shares that have come.
    """
    key, total = extraction_key(request), len(request.images)
    pieces = Pieces(out, _identity(key, block), share.of)
    there = pieces.there()
    starts = [start for start in range(0, total, block) if (start, share.index) not in there]
    tell = _teller(progress, before=pieces.rows(), total=total)
    tell(pieces.rows())
    if not starts:
        return
    with _ready(request, key["precision"]) as work:
        for start in starts:
            began, rows = time.monotonic(), range(start, min(start + block, total))
            found = _block(work, rows, _after(pieces.rows(), tell), share=share)
            pieces.put(start, share, replace(found, seconds=time.monotonic() - began))


def join_shares(
    request: Request, shares: int, *, out: Path, block: int = BLOCK
) -> tuple[Descriptors, float] | None:
    """What `extract` returns and writes, from the pieces of all shares; None where some have not come yet.

    Beside it the seconds that the slowest share took. The pieces stay. Only one process may do this at a time.
    """
    key, total = extraction_key(request), len(request.images)
    there = Pieces(out, _identity(key, block), shares).there()
    if any((start, i) not in there for start in range(0, total, block) for i in range(shares)):
        return None
    file, seconds = _row_file(request, key, out, block), [0.0] * shares
    for start in range(0, total, block):
        found = [read_piece(there[start, i]) for i in range(shares)]
        seconds = [sum(pair) for pair in zip(seconds, (piece.seconds for piece in found), strict=True)]
        if start >= file.done:
            file.append(*_whole(range(start, min(start + block, total)), found, request.model.dim))
    return _finished_rows(request, key, file), max(seconds)


def follow_shares(
    request: Request, shares: int, over: Callable[[], bool], *, out: Path, progress: Progress | None = None
) -> None:
    """Wait until the pieces of all shares have come, or it is `over`, and show how many rows they hold."""
    pieces, total = Pieces(out, _identity(extraction_key(request), BLOCK), shares), len(request.images)
    tell = _teller(progress, before=pieces.rows(), total=total)
    while pieces.rows() < total and not over():
        tell(pieces.rows())
        time.sleep(_PATIENCE)


def _after(base: int, tell: Callable[[int], None]) -> Callable[[int], None]:
    """Count from `base` on."""
    return lambda done: tell(base + done)


def _identity(key: dict[str, Any], block: int) -> str:
    return digest({**key, "block": block})


def _row_file(request: Request, key: dict[str, Any], out: Path | None, block: int) -> RowFile:
    return RowFile(out, (len(request.images), request.model.dim), _identity(key, block))


def _finished_rows(request: Request, key: dict[str, Any], file: RowFile) -> Descriptors:
    return Descriptors(
        rows=file.finish(),
        images_digest=key["images"],
        model_digest=key["model"],
        protocol=request.protocol.fingerprint,
        failed=np.array(sorted(int(row) for row in file.failed), np.int64),
    )


def _teller(progress: Progress | None, *, before: int, total: int) -> Callable[[int], None]:
    """Report how many images are done, and how fast; `before` were done by an earlier run."""
    began = time.monotonic()

    def tell(done: int) -> None:
        if progress is not None:
            speed = (done - before) / max(time.monotonic() - began, 1e-9)
            progress(done, total, f"images, {speed:.1f} images/s")

    return tell


@contextlib.contextmanager
def _ready(request: Request, precision: str) -> Iterator[_Work]:
    """The network on its device, in evaluation mode and in its arithmetic; the threads; and all of it back after.

    On a CPU there are as many threads as PyTorch may use.
    """
    model = request.model.to(request.device)
    frame = frame_finder(request.images, request.protocol, patch=model.patch)
    with (
        evaluating(model),
        rounded_products(precision, request.device, convolutional=convolutional(model)),
        _threads(request.device, request.workers) as (pool, threads),
    ):
        yield _Work(
            request=request,
            model=folded(model),
            precision=precision,
            frame=frame,
            pool=pool,
            ahead=4 * threads,
        )


def _block(work: _Work, rows: range, tell: Callable[[int], None], *, share: Share = WHOLE) -> Piece:
    """The descriptors of a share of consecutive rows, and why the others of the share have none."""
    stream = _on_cpu if work.request.device.type == "cpu" else _on_accelerator
    seen = 0
    described: list[Tensor] = []
    order: list[int] = []
    failed: dict[str, str] = {}
    for done in stream(work, _plan(work, rows)[share.index :: share.of]):
        failed |= done.failed
        if done.described is not None:
            described.append(done.described)
            order += done.rows
        seen += len(done.rows) + len(done.failed)
        tell(seen)
    # The only place where the CPU waits for an accelerator.
    values = torch.cat(described).cpu().numpy() if described else np.zeros((0, work.model.dim), np.float32)
    if not np.isfinite(values).all():
        raise UserError(
            f"The network gave values that are not finite in {work.precision}. "
            "Try --precision fp32; if that fails too, the weights are broken."
        )
    return Piece(rows=np.array(order, np.int64), values=values, failed=failed)


def _whole(rows: range, pieces: Sequence[Piece], dim: int) -> tuple[Rows, dict[str, str]]:
    """All rows of a block in order, zeros for want of an image, and the reasons for those."""
    result = np.zeros((len(rows), dim), np.float32)
    failed: dict[str, str] = {}
    for piece in pieces:
        result[piece.rows - rows.start] = piece.values
        failed |= piece.failed
    return result, failed


def _plan(work: _Work, rows: range) -> list[_Batch]:
    """Batches of equal size, the largest first; no image is decoded."""
    groups: dict[Frame, list[int]] = {}
    for row, known in zip(rows, work.pool.map(work.frame, rows), strict=True):
        groups.setdefault(known, []).append(row)
    batches = []
    for known in sorted(groups, key=lambda f: (f.final[0] * f.final[1], f.final, f.cropped), reverse=True):
        pixels = PIXELS[work.request.device.type] // (known.final[0] * known.final[1])
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
    try:
        return load(work.request.images, row, plan, work.request.protocol)
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
    device, protocol = work.request.device, work.request.protocol
    batch = stacked(pixels)
    if device.type == "cuda":
        batch = batch.pin_memory()
    batch = batch.to(device, non_blocking=True)
    images = padded(work.model.normalised(batch), plan.final)
    scales, how = protocol.scales, protocol.aggregation
    with cast(work.precision, device, convolutional=convolutional(work.model)):
        return describe(work.model, images, scales=scales, aggregation=how, patch=work.model.patch)


def convolutional(model: Retriever) -> bool:
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
def evaluating(model: torch.nn.Module) -> Iterator[None]:
    """Evaluation mode, and back to what every single module was in: a trainer freezes some of them."""
    modes = [(module, module.training) for module in model.modules()]
    model.eval()
    try:
        yield
    finally:
        for module, mode in modes:
            module.training = mode
