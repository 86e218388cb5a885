"""What every image file of a set is: opened once, decoded, hashed, and noted in a journal that survives a kill.

The journal is a text file, one JSON list per sound file. A line counts as long as the file's size and time of change
are still those it was written for (of an image in a tar: the tar's); a line that a kill cut short is left out. Broken
files are not noted: what was wrong may be cured without a trace in size and time (a permission), so they are opened
again.
"""

import json
import time
from bisect import bisect_left
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vitret.core.records import Int64
from vitret.data.fetch.tar_index import tar_of
from vitret.data.images import ImageReport, check_all
from vitret.data.layout.parquet import Bytes

# A process takes seconds to start on a busy machine, in which this many small photographs are checked.
FILES_PER_WORKER = 1000
# Seconds between two words to the user, and between two flushes of the journal.
TELL_EVERY = 5.0
FACTS = np.dtype(
    [("sha256", "V32"), ("size", "i8"), ("width", "i4"), ("height", "i4"), ("orientation", "i1")]
)


@dataclass(frozen=True, kw_only=True, eq=False)
class Inventory:
    """`files` are columns sorted by path (path S, sha256 V32, size, width, height, orientation); `problems` by path."""

    files: Mapping[str, NDArray[Any]]
    problems: Mapping[str, str]

    def rows(self, wanted: Bytes) -> Int64:
        """Row of each wanted path; −1 where the file is broken."""
        known = self.files["path"]
        if len(known) == 0:
            return np.full(len(wanted), -1, np.int64)
        rows = np.searchsorted(known, wanted).astype(np.int64)
        found = known[np.minimum(rows, len(known) - 1)] == wanted
        return np.where(found, rows, -1)


def take_inventory(
    images: Path, paths: Bytes, journal: Path, *, workers: int, report: Callable[[str], None]
) -> Inventory:
    """Check the files `paths` (sorted, unique, relative to `images`), as far as the journal does not know them."""
    names: list[bytes] = paths.tolist()
    stamps = np.array([_stamp(images / name.decode()) for name in names], dtype=np.int64).reshape(-1, 2)
    facts = np.zeros(len(names), FACTS)
    good = _read_journal(journal, names, stamps, facts)
    todo = np.flatnonzero(~good)
    if len(todo) < len(names):
        report(f"{len(names) - len(todo)} of {len(names)} images were checked before")
    problems: dict[str, str] = {}
    reports = check_all((images / names[i].decode() for i in todo), pool_size(len(todo), workers))
    journal.parent.mkdir(parents=True, exist_ok=True)
    with journal.open("a", encoding="utf-8") as handle:
        # A line that a kill cut short must not swallow the first new one.
        handle.write("\n")
        told = time.monotonic()
        for done, (i, found) in enumerate(zip(todo.tolist(), reports, strict=True), start=1):
            name = names[i].decode()
            if found.problem is None:
                good[i] = True
                facts[i] = _facts(found)
                handle.write(
                    json.dumps([name, *stamps[i].tolist(), found.sha256, *list(facts[i])[1:]], default=int)
                )
                handle.write("\n")
            else:
                problems[name] = found.problem
            if time.monotonic() - told > TELL_EVERY:
                told = time.monotonic()
                handle.flush()
                report(f"{done} of {len(todo)} images checked")
    columns = {field: np.ascontiguousarray(facts[good][field]) for field in FACTS.names or ()}
    return Inventory(files={"path": paths[good], **columns}, problems=problems)


def pool_size(files: int, workers: int) -> int:
    """How many processes are worth starting for so many files; 0 means this one.

    >>> pool_size(1_000_000, 8), pool_size(1_500, 8)
    (8, 0)
    """
    useful = min(workers, files // FILES_PER_WORKER)
    return useful if useful > 1 else 0


def _stamp(path: Path) -> tuple[int, int]:
    try:
        facts = path.stat()
    except NotADirectoryError:
        tar = tar_of(path)
        return (-1, -1) if tar is None else _stamp(tar)
    except OSError:
        return -1, -1  # Missing or out of reach: the check itself says which.
    return facts.st_size, facts.st_mtime_ns


def _facts(report: ImageReport) -> tuple[Any, ...]:
    return bytes.fromhex(report.sha256), report.size, report.width, report.height, report.orientation


def _read_journal(
    journal: Path, names: Sequence[bytes], stamps: Int64, facts: NDArray[np.void]
) -> NDArray[np.bool_]:
    """Fill in `facts` what the journal knows; returns which rows those are."""
    good = np.zeros(len(names), np.bool_)
    if not journal.is_file():
        return good
    with journal.open(encoding="utf-8", errors="replace") as handle:
        for line in handle:
            try:
                name, size, changed, sha256, *numbers = json.loads(line)
                path, entry = str(name).encode(), (bytes.fromhex(sha256), *numbers)
                row = bisect_left(names, path)
                if row < len(names) and names[row] == path and stamps[row].tolist() == [size, changed]:
                    facts[row] = entry
                    good[row] = True
            except (ValueError, TypeError):
                continue  # Not a whole line.
    return good
