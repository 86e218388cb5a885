"""`vitret prepare` in a process of its own, which may be killed: what the fault campaign starts hundreds of times."""

import functools
import multiprocessing
import os
import resource
import traceback
from dataclasses import dataclass
from multiprocessing.connection import Connection
from pathlib import Path

# Workers are forked from one process that has read vitret, and nothing else, so that they start in no time.
FORKS = multiprocessing.get_context("forkserver")
FORKS.set_forkserver_preload(["__main__", "vitret.data.prepare.run", "vitret.data.fetch.patience"])
# How long one preparation may take.
SECONDS = 600


@dataclass(frozen=True, kw_only=True)
class Order:
    """What a worker is to prepare, from which host, and the most bytes a file of its may have (None: any)."""

    root: Path
    name: str
    mirror: str
    parts: Path
    largest_file: int | None = None


def worker(order: Order, said: Connection) -> None:
    """What `vitret prepare NAME --accept-terms` does, with shorter pauses; the small card is an included part.

    Sends what it would print; ends with the exit code.
    """
    os.environ |= {"VITRET_MIRROR": order.mirror, "VITRET_INCLUDE": str(order.parts)}
    if order.largest_file is not None:
        resource.setrlimit(resource.RLIMIT_FSIZE, (order.largest_file, order.largest_file))
    try:
        code, words = prepared(order.root, order.name)
    except BaseException:
        code, words = 1, traceback.format_exc()
    said.send(words)
    said.close()
    raise SystemExit(code)


def prepared(root: Path, name: str) -> tuple[int, str]:
    """Exit code and message of one preparation."""
    from vitret.core.errors import VitretError
    from vitret.data.fetch.patience import Patience
    from vitret.data.prepare import from_hosts
    from vitret.data.prepare.request import Request
    from vitret.data.prepare.run import prepare

    quick = Patience(attempts=4, first=0.01, longest=0.05, timeout=2.0)
    from_hosts.fetch = functools.partial(from_hosts.fetch, patience=quick)
    from_hosts.extract_shards = functools.partial(from_hosts.extract_shards, patience=quick)
    try:
        prepare(Request(name, data_root=root, accept_terms=True, workers=0))
    except VitretError as error:
        return error.exit_code, str(error)
    return 0, ""


@dataclass
class Worker:
    """A preparation that is under way in a process of its own."""

    process: multiprocessing.process.BaseProcess
    said: Connection

    @classmethod
    def start(cls, order: Order) -> "Worker":
        said, send = FORKS.Pipe(duplex=False)
        process = FORKS.Process(target=worker, args=(order, send))
        process.start()
        send.close()
        return cls(process, said)

    @property
    def running(self) -> bool:
        return self.process.is_alive()

    def kill(self) -> None:
        self.process.kill()

    def wait(self) -> tuple[int, str]:
        """Exit code and message; a killed one has none."""
        try:
            words = self.said.recv() if self.said.poll(SECONDS) else ""
        except EOFError:
            words = ""
        self.process.join(SECONDS)
        if self.process.exitcode is None:
            self.process.kill()
            raise AssertionError(f"still at work after {SECONDS} s")
        return self.process.exitcode, words
