"""Draw photographs on a process pool: the bytes depend on the plan, never on how many workers drew them."""

import os
import threading
from collections.abc import Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from itertools import groupby
from multiprocessing import get_context, parent_process

from vitret.minitown.architecture import landmark
from vitret.minitown.photograph import photograph
from vitret.minitown.world import Photo

BATCH = 40


def draw(photos: Sequence[Photo], *, workers: int | None = None) -> Iterator[tuple[str, bytes]]:
    """Path and JPEG bytes of every photograph, in no promised order; `workers` defaults to the processors we may use.

    Photographs of one building are drawn together, so that its walls are painted once.
    """
    ordered = sorted(photos, key=lambda photo: (photo.key or (), photo.path))
    batches = [ordered[i : i + BATCH] for i in range(0, len(ordered), BATCH)]
    count = min(len(batches), workers or _processors())
    if count <= 1:
        for batch in batches:
            yield from _batch(batch)
        return
    # Spawned, not forked: the caller may hold threads (torch, a progress bar), and other systems have nothing else.
    with ProcessPoolExecutor(count, mp_context=get_context("spawn"), initializer=_end_with_parent) as pool:
        for drawn in pool.map(_batch, batches):
            yield from drawn


def _processors() -> int:
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def _end_with_parent() -> None:
    """End this worker when its parent is gone: after `kill -9` it would otherwise wait for work for ever."""
    parent = parent_process()
    if parent is None:
        return

    def watch() -> None:
        parent.join()
        os._exit(1)

    threading.Thread(target=watch, daemon=True).start()


def _batch(photos: Sequence[Photo]) -> list[tuple[str, bytes]]:
    drawn = []
    for key, group in groupby(photos, key=lambda photo: photo.key):
        building = landmark(key) if key else None
        drawn += [(photo.path, photograph(building, photo.shot, town=photo.town)) for photo in group]
    return drawn
