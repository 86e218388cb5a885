"""Files written and hashed at once, by a few threads, while another thread reads the archive they come from."""

import hashlib
import os
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from vitret.core.errors import DataError

BATCH_BYTES = 4 << 20
BATCH_MEMBERS = 64
WORKERS = 3
# Batches that may wait to be written: together with their size they bound the memory.
WAITING = 3 * WORKERS

Progress = Callable[[int, int], None]
"""Called with (files, bytes) so far."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Member:
    """A file as it was unpacked: its path below the folder, its size in bytes, its sha256."""

    path: str
    size: int
    sha256: str


@dataclass
class _Job:
    path: str
    size: int
    pieces: Iterator[bytes]


class HashedFiles:
    """Writes and hashes files below a folder, a batch at a time, with a bounded number of batches waiting."""

    def __init__(self, folder: Path, progress: Progress | None) -> None:
        self.folder = folder
        self._progress = progress
        self._batch: list[_Job] = []
        self._batch_size = 0
        self._waiting: list[Future[list[Member]]] = []
        self._done: list[Member] = []
        self._done_size = 0
        self._made: set[str] = set()
        self._root = -1

    def __enter__(self) -> "HashedFiles":
        self._pool = ThreadPoolExecutor(WORKERS)
        self._root = os.open(self.folder, os.O_RDONLY | os.O_DIRECTORY)
        return self

    def __exit__(self, *_: object) -> None:
        # Every thread is through before the folder is closed.
        self._pool.shutdown(wait=True, cancel_futures=True)
        os.close(self._root)

    def add(self, path: str, size: int, pieces: Iterator[bytes]) -> None:
        """Have a file written some time before `finish`, from an iterator that other threads may use."""
        self._batch.append(_Job(path, size, pieces))
        self._batch_size += size
        if self._batch_size >= BATCH_BYTES or len(self._batch) >= BATCH_MEMBERS:
            self._flush()

    def add_now(self, path: str, size: int, pieces: Iterator[bytes]) -> None:
        """Write a large file piece by piece before returning."""
        self._flush()
        self._collect(keep=0)
        self._make_folder(path)
        self._take([self._write(_Job(path, size, pieces))])

    def finish(self) -> list[Member]:
        """All files, in the order in which they were added."""
        self._flush()
        self._collect(keep=0)
        return self._done

    def _flush(self) -> None:
        if self._batch:
            for job in self._batch:
                self._make_folder(job.path)
            batch, self._batch, self._batch_size = self._batch, [], 0
            self._waiting.append(self._pool.submit(self._write_all, batch))
        self._collect(keep=WAITING)

    def _collect(self, *, keep: int) -> None:
        while len(self._waiting) > keep:
            self._take(self._waiting.pop(0).result())

    def _take(self, members: list[Member]) -> None:
        self._done += members
        self._done_size += sum(member.size for member in members)
        if self._progress is not None:
            self._progress(len(self._done), self._done_size)

    def _make_folder(self, path: str) -> None:
        parent = path.rpartition("/")[0]
        if parent and parent not in self._made:
            (self.folder / parent).mkdir(parents=True, exist_ok=True)
            self._made.add(parent)

    def _write_all(self, batch: list[_Job]) -> list[Member]:
        return [self._write(job) for job in batch]

    def _write(self, job: _Job) -> Member:
        """One file, opened relative to the folder and never through a link that stands in its place."""
        handle = self._open(job.path)
        running, size = hashlib.sha256(), 0
        try:
            for piece in job.pieces:
                running.update(piece)
                size += len(piece)
                _write_whole(handle, piece)
        finally:
            os.close(handle)
        if size != job.size:
            raise DataError(f"{self.folder / job.path}: {size:,} bytes, its archive announced {job.size:,}.")
        return Member(path=job.path, size=size, sha256=running.hexdigest())

    def _open(self, path: str) -> int:
        flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
        try:
            return os.open(path, flags, 0o644, dir_fd=self._root)
        except FileExistsError:
            # Of an earlier, interrupted extraction. Unlinked first: another set may share its bytes by a hard link.
            os.unlink(path, dir_fd=self._root)
            return os.open(path, flags, 0o644, dir_fd=self._root)


def _write_whole(handle: int, piece: bytes) -> None:
    rest = memoryview(piece)
    while rest:
        rest = rest[os.write(handle, rest) :]
