"""What every image file of a set is: opened once, decoded, hashed, and noted in a journal that survives a kill.

The journal is a text file, one JSON line per file. A line counts as long as the file's size and time of change are
still those it was written for; a last line cut short by a kill is left out.
"""

import json
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vitret.core.records import Int64
from vitret.data.images import ImageReport, check_all
from vitret.data.tables import Bytes

# A process takes seconds to start on a busy machine, in which this many small photographs are checked.
FILES_PER_WORKER = 1000
# Seconds between two words to the person, and between two flushes of the journal.
TELL_EVERY = 5.0


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
    names = [name.decode() for name in paths.tolist()]
    known = _read_journal(journal)
    stamps = [_stamp(images / name) for name in names]
    todo = [i for i, name in enumerate(names) if not _still_good(known.get(name), stamps[i])]
    if len(todo) < len(names):
        report(f"{len(names) - len(todo)} of {len(names)} images were checked before")
    reports = check_all([images / names[i] for i in todo], pool_size(len(todo), workers))
    journal.parent.mkdir(parents=True, exist_ok=True)
    with journal.open("a", encoding="utf-8") as handle:
        # A line that a kill cut short must not swallow the first new one.
        handle.write("\n")
        told = time.monotonic()
        for done, (i, found) in enumerate(zip(todo, reports, strict=True), start=1):
            entry = _entry(names[i], stamps[i], found)
            known[names[i]] = entry
            handle.write(json.dumps(entry) + "\n")
            if time.monotonic() - told > TELL_EVERY:
                told = time.monotonic()
                handle.flush()
                report(f"{done} of {len(todo)} images checked")
    return _gather(names, known)


def pool_size(files: int, workers: int) -> int:
    """How many processes are worth starting for so many files; 0 means this one."""
    return min(workers, files // FILES_PER_WORKER)


def _still_good(entry: Mapping[str, Any] | None, stamp: Sequence[int]) -> bool:
    # A problem may have been cured without a trace in the stamp, a permission for one: such a file is opened again.
    return entry is not None and entry["problem"] is None and entry["stamp"] == stamp


def _stamp(path: Path) -> list[int]:
    try:
        facts = path.stat()
    except OSError:
        return []  # Missing or out of reach: the check itself says which.
    return [facts.st_size, facts.st_mtime_ns]


def _entry(name: str, stamp: Sequence[int], report: ImageReport) -> dict[str, Any]:
    return {
        "path": name,
        "stamp": list(stamp),
        "sha256": report.sha256,
        "facts": [report.size, report.width, report.height, report.orientation],
        "problem": report.problem,
    }


def _read_journal(journal: Path) -> dict[str, dict[str, Any]]:
    entries: dict[str, dict[str, Any]] = {}
    if not journal.is_file():
        return entries
    with journal.open(encoding="utf-8", errors="replace") as handle:
        for line in handle:
            try:
                entry = json.loads(line)
                entries[entry["path"]] = entry
            except (json.JSONDecodeError, KeyError, TypeError):
                continue
    return entries


def _gather(names: Sequence[str], known: Mapping[str, Mapping[str, Any]]) -> Inventory:
    good = [name for name in names if known[name]["problem"] is None]
    facts = np.array([known[name]["facts"] for name in good], dtype=np.int64).reshape(len(good), 4)
    digests = b"".join(bytes.fromhex(known[name]["sha256"]) for name in good)
    files = {
        "path": np.array([name.encode() for name in good], dtype=np.bytes_) if good else np.empty(0, "S1"),
        "sha256": np.frombuffer(digests, "V32"),
        "size": facts[:, 0],
        "width": facts[:, 1].astype(np.int32),
        "height": facts[:, 2].astype(np.int32),
        "orientation": facts[:, 3].astype(np.int8),
    }
    problems = {name: known[name]["problem"] for name in names if known[name]["problem"] is not None}
    return Inventory(files=files, problems=problems)
