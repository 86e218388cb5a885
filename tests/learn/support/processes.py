"""Several processes as `torchrun` would start them."""

import socket
from collections.abc import Callable
from multiprocessing.context import ForkServerContext
from typing import Any


def launched(spawning: ForkServerContext, target: Callable[..., None], *args: Any, processes: int) -> None:
    """Run `target(place, *args)` in each; `place` is what `torchrun` would put into the environment."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = str(free.getsockname()[1])
    meeting = {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": port, "WORLD_SIZE": str(processes)}
    running = []
    for rank in range(processes):
        place = {"RANK": str(rank), "LOCAL_RANK": str(rank), **meeting}
        running.append(spawning.Process(target=target, args=(place, *args)))
        running[-1].start()
    for process in running:
        process.join(timeout=200)
    assert [process.exitcode for process in running] == [0] * processes
