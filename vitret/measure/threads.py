"""Work on blocks by as many threads as the matrix product would take; each multiplies alone.

A product that is shared among threads waits for the slowest at every block, and conversion and counting wait for it
on one core. A thread that owns a block never waits. numpy gives up the interpreter's lock while it computes.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from functools import cache
from typing import TypeVar

from threadpoolctl import ThreadpoolController

Item = TypeVar("Item")


def thread_count() -> int:
    """How many threads numpy's matrix product takes here: OMP_NUM_THREADS and the like, else the cores we may use."""
    found = [library["num_threads"] for library in _products().info()]
    return max(found, default=len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else 1)


@cache
def _products() -> ThreadpoolController:
    return ThreadpoolController().select(user_api="blas")


def each(work: Callable[[Item], None], items: Iterable[Item], *, threads: int) -> None:
    """Do the work for every item; raises what the work of the first failing item raises."""
    with _products().limit(limits=1):
        if threads == 1:
            for item in items:
                work(item)
            return
        with ThreadPoolExecutor(threads) as pool:
            running = [pool.submit(work, item) for item in items]
            try:
                for one in running:
                    one.result()
            except BaseException:
                pool.shutdown(wait=True, cancel_futures=True)
                raise
