"""One extraction by several processes that share only files: who does what, and the pieces that they leave.

Of every block each share has every n-th batch, so that all have as much to do whatever the sizes of the images. A piece
is what one share made of one block, a file that is whole or absent, so that a share that was killed continues after its
last piece. The pieces of `rows.npy` are in `rows.npy.pieces/`, in a folder for each identity and number of shares.
"""

import io
import json
import os
import re
import shutil
import zipfile
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from vitret.core.errors import DataError
from vitret.core.records import Int64
from vitret.core.shares import Share
from vitret.core.store import REMAKE, machine_error, read_bytes, write_bytes
from vitret.describe.blocks import Rows

_NAME = re.compile(r"(\d+)-(\d+)-(\d+)\.npz")


def launched_share() -> Share | None:
    """The share of a process that `torchrun` started with others; None for one that is alone."""
    of = int(os.environ.get("WORLD_SIZE", "1"))
    return Share(int(os.environ["RANK"]), of) if of > 1 and "RANK" in os.environ else None


@dataclass(frozen=True, kw_only=True, eq=False)
class Piece:
    """Descriptors `values` (n, D) float32 of `rows` (n,), why other rows have none, and the seconds that it took."""

    rows: Int64
    values: Rows
    failed: dict[str, str]
    seconds: float = 0.0


class Pieces:
    """The pieces of one extraction on disk, named by the first row of the block, the share, and how many rows."""

    def __init__(self, out: Path, identity: str, shares: int) -> None:
        self.folder = _folder(out) / f"{identity[:16]}-of-{shares}"

    def there(self) -> dict[tuple[int, int], Path]:
        """(first row of the block, share) → file."""
        return {(int(m[1]), int(m[2])): self.folder / m[0] for m in self._names()}

    def rows(self) -> int:
        """How many rows of all shares are done, those that could not be read among them."""
        return sum(int(m[3]) for m in self._names())

    def _names(self) -> list[re.Match[str]]:
        paths = self.folder.iterdir() if self.folder.is_dir() else ()
        return [m for path in paths if (m := _NAME.fullmatch(path.name)) is not None]

    def put(self, start: int, share: Share, piece: Piece) -> None:
        failed = np.frombuffer(json.dumps(piece.failed, sort_keys=True).encode(), np.uint8)
        buffer = io.BytesIO()
        np.savez(buffer, rows=piece.rows, values=piece.values, failed=failed, seconds=piece.seconds)
        count = len(piece.rows) + len(piece.failed)
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise machine_error(self.folder, error) from error
        write_bytes(self.folder / f"{start}-{share.index}-{count}.npz", buffer.getvalue())


def read_piece(path: Path) -> Piece:
    try:
        with np.load(io.BytesIO(read_bytes(path))) as held:
            return Piece(
                rows=held["rows"],
                values=held["values"],
                failed=json.loads(held["failed"].tobytes().decode()),
                seconds=float(held["seconds"]),
            )
    except (ValueError, KeyError, EOFError, zipfile.BadZipFile) as error:
        raise DataError(f"{path}: is damaged ({error}). {REMAKE}") from error


def remove_pieces(out: Path) -> None:
    """Remove the pieces of all extractions into a file."""
    shutil.rmtree(_folder(out), ignore_errors=True)


def _folder(out: Path) -> Path:
    return out.with_name(f"{out.name}.pieces")
