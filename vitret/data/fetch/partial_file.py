"""The bytes of a file that has not fully come: on disk as `name.part`, with hashes that cover exactly what is there."""

import hashlib
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from vitret.core.errors import DataError
from vitret.core.store import read_json, write_json

READ = 1 << 22


class Part:
    """`final.part` and, in `final.part.json`, which version of which address its bytes belong to.

    Opened after an interruption, it reads the bytes once more, so that its hashes continue where they stopped. A part
    without its note is of unknown origin and is thrown away.
    """

    def __init__(self, final: Path, *, md5: bool) -> None:
        self.path = final.with_name(f"{final.name}.part")
        self.state_path = final.with_name(f"{final.name}.part.json")
        self._with_md5 = md5
        self.state = _read_state(self.state_path) if self.path.exists() else {}
        self._forget_hashes()
        if not self.state:
            self.clear()
            return
        with self.path.open("rb") as handle:
            while piece := handle.read(READ):
                self._count(piece)

    def _forget_hashes(self) -> None:
        self.size = 0
        self._hashes = [hashlib.sha256()]
        if self._with_md5:
            self._hashes.append(hashlib.md5(usedforsecurity=False))

    def _count(self, piece: bytes | memoryview) -> None:
        for running in self._hashes:
            running.update(piece)
        self.size += len(piece)

    def clear(self) -> None:
        """Start again from nothing."""
        self.path.unlink(missing_ok=True)
        self.state_path.unlink(missing_ok=True)
        self.state = {}
        self._forget_hashes()

    def begin(self, url: str, validator: str | None, total: int | None) -> None:
        """Note which version of which address the bytes belong to, before the first of them is written."""
        state = {"url": url, "validator": validator, "total": total}
        if state != self.state:
            write_json(self.state_path, state)
            self.state = state

    @contextmanager
    def appending(self) -> Iterator[Callable[[bytes], None]]:
        """A function that appends bytes; whatever interrupts it, size and hashes describe what is on disk."""
        with self.path.open("ab", buffering=0) as handle:

            def append(piece: bytes) -> None:
                rest = memoryview(piece)
                while rest:
                    written = handle.write(rest)
                    self._count(rest[:written])
                    rest = rest[written:]

            yield append

    def head(self, n: int) -> bytes:
        """The first n bytes."""
        with self.path.open("rb") as handle:
            return handle.read(n)

    def become(self, final: Path) -> None:
        """Sync the bytes and give them their final name."""
        with self.path.open("rb") as handle:
            os.fsync(handle.fileno())
        self.path.replace(final)
        self.state_path.unlink(missing_ok=True)
        folder = os.open(final.parent, os.O_RDONLY)
        try:
            os.fsync(folder)
        finally:
            os.close(folder)

    @property
    def sha256(self) -> str:
        return self._hashes[0].hexdigest()

    @property
    def md5(self) -> str | None:
        return self._hashes[1].hexdigest() if self._with_md5 else None


def hash_file(path: Path, *, md5: bool) -> tuple[int, str, str | None]:
    """Size, sha256 and, if asked for, md5 of a file, in one reading."""
    hashes = [hashlib.sha256()] + ([hashlib.md5(usedforsecurity=False)] if md5 else [])
    size = 0
    with path.open("rb") as handle:
        while piece := handle.read(READ):
            size += len(piece)
            for running in hashes:
                running.update(piece)
    return size, hashes[0].hexdigest(), hashes[1].hexdigest() if md5 else None


def _read_state(path: Path) -> dict[str, Any]:
    """What a part's note says; nothing where it is missing or damaged."""
    try:
        state = read_json(path)
    except DataError:
        return {}
    return state if isinstance(state, dict) else {}
