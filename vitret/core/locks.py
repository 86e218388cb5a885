"""One way to keep other processes away: a lock file that is free again when its holder dies, however it dies."""

import contextlib
from collections.abc import Callable, Iterator
from pathlib import Path

from filelock import FileLock, Timeout

from vitret.core.errors import MachineError
from vitret.core.store import machine_error

# Seconds between two looks while another process holds a lock.
_PATIENCE = 0.5


def _nothing() -> None:
    """What is done between two looks by whoever cannot be stopped from outside."""


@contextlib.contextmanager
def locked(
    path: Path, say: Callable[[str], None] = lambda _: None, *, between: Callable[[], None] = _nothing
) -> Iterator[None]:
    """Hold `path` against other processes; while another one holds it, say so once and wait.

    `between` runs twice a second while waiting and may raise to give up. A folder where nothing can be written, or a
    file system without locks, raises `MachineError`.
    """
    lock = FileLock(path, thread_local=False)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        _acquire(lock, path, say, between)
    except NotImplementedError as error:
        raise MachineError(
            f"{path}: this file system cannot lock files. Choose another folder: `vitret env` shows every location "
            "and how to change it."
        ) from error
    except OSError as error:
        raise machine_error(path, error) from error
    try:
        yield
    finally:
        lock.release()


def held(path: Path) -> bool:
    """Whether some process, this one included, holds a lock of `locked` now; not where files cannot be locked."""
    if not path.is_file():
        return False
    lock = FileLock(path, thread_local=False)
    try:
        lock.acquire(timeout=0)
    except Timeout:
        return True
    except NotImplementedError:  # a file system without locks, where `locked` gives none either
        return False
    except OSError as error:
        raise machine_error(path, error) from error
    lock.release()
    return False


def _acquire(lock: FileLock, path: Path, say: Callable[[str], None], between: Callable[[], None]) -> None:
    try:
        lock.acquire(timeout=0)
        return
    except Timeout:
        say(f"{path.parent}: another vitret is at work here; waiting for it to finish.")
    while True:
        between()
        try:
            lock.acquire(timeout=_PATIENCE)
            return
        except Timeout:
            continue
