"""A matrix that grows on disk block by block and survives `kill -9`: rows first, then the count of rows.

While it grows there are `NAME.npy.part` and `NAME.npy.progress.json`; when it is whole, `NAME.npy` alone, beside
`NAME.npy.failed.json` where some rows have a reason for being zeros.
"""

import io
import os
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vitret.core.store import machine_error, read_json_object, require_space, write_json

Rows = NDArray[np.float32]


def failed_file(path: Path) -> Path:
    """Where the reasons of the failed rows of `path` stand, if there are any: row → reason."""
    return path.with_name(f"{path.name}.failed.json")


class RowFile:
    """Rows (n, D) float32, appended in order; without a path they stay in memory.

    `done` rows are safe. A part of other content (another `identity` or shape) is begun from scratch.
    """

    def __init__(self, path: Path | None, shape: tuple[int, int], identity: str) -> None:
        self.path, self.shape, self.identity = path, shape, identity
        self.done = 0
        self.failed: dict[str, str] = {}
        self._blocks: list[Rows] = []
        if path is not None:
            self._part = path.with_name(f"{path.name}.part")
            self._progress = path.with_name(f"{path.name}.progress.json")
            self._open(path)

    def _open(self, path: Path) -> None:
        header = _header(self.shape)
        self._start = len(header)
        row = self.shape[1] * 4
        if self._progress.is_file() and self._part.is_file():
            state = read_json_object(self._progress)
            whole = self._part.stat().st_size >= self._start + state["rows"] * row
            if state["identity"] == self.identity and state["shape"] == list(self.shape) and whole:
                self.done, self.failed = state["rows"], state["failed"]
                return
        require_space(path.parent, self._start + self.shape[0] * row)
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            self._progress.unlink(missing_ok=True)
            self._part.write_bytes(header)
        except OSError as error:
            raise machine_error(path, error) from error

    def append(self, rows: Rows, failed: dict[str, str]) -> None:
        """Add the next rows and the reasons of those among them that failed, keyed by row number."""
        self.failed = {**self.failed, **failed}
        if self.path is None:
            self._blocks.append(rows)
            self.done += len(rows)
            return
        try:
            # Not a memory map: a full disk under one kills the process, here it is an error with words.
            with self._part.open("r+b") as handle:
                handle.seek(self._start + self.done * self.shape[1] * 4)
                handle.write(np.ascontiguousarray(rows, dtype="<f4").data)
                handle.truncate()
                handle.flush()
                os.fsync(handle.fileno())
        except OSError as error:
            raise machine_error(self.path, error) from error
        self.done += len(rows)
        state = {"identity": self.identity, "shape": self.shape, "rows": self.done, "failed": self.failed}
        write_json(self._progress, state)

    def finish(self) -> NDArray[Any]:
        """Give the file its name and map it; in memory, join the blocks."""
        if self.path is None:
            return np.concatenate(self._blocks) if self._blocks else np.zeros(self.shape, np.float32)
        listed = failed_file(self.path)
        listed.unlink(missing_ok=True)
        if self.failed:
            write_json(listed, self.failed)
        self._part.replace(self.path)
        self._progress.unlink(missing_ok=True)
        return np.load(self.path, mmap_mode="r" if all(self.shape) else None)  # type: ignore[no-any-return]


def _header(shape: tuple[int, int]) -> bytes:
    buffer = io.BytesIO()
    about = {"descr": "<f4", "fortran_order": False, "shape": shape}
    np.lib.format.write_array_header_1_0(buffer, about)
    return buffer.getvalue()
