"""An index of a folder: descriptors of its images, kept, and updated in the time that new files take.

In $VITRET_HOME/indexes/<digest>/ stand parts: `N.json` lists files, `N.npy` has a row for each, and beside it stand
those that could not be read. A file is known by its path, size and time of change. New files become the next part,
whose list is written before its first row, so that a killed update continues. Rows of files that are gone or changed
are cut out, and many small parts are joined.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vitret.core.errors import DataError
from vitret.core.locks import locked
from vitret.core.records import Images
from vitret.core.store import digest, read_json_object, write_json
from vitret.describe.blocks import RowFile, failed_file
from vitret.describe.extract import Progress, extract
from vitret.describe.request import Request, extraction_key

# Rows between two saves: a killed update loses at most so many.
BLOCK = 256
# More parts than this are joined, so many rows at a time.
MOST_PARTS, _JOINED = 8, 1 << 14

Stamp = tuple[int, int]
"""Size in bytes and time of change in nanoseconds."""


@dataclass(frozen=True, kw_only=True, eq=False)
class FolderIndex:
    """Images and their descriptors (n, D), in order, as one or several arrays end to end; and why files are missing."""

    images: Images
    parts: Sequence[NDArray[np.float32]]
    failed: Mapping[str, str]
    described: int


@dataclass(frozen=True, kw_only=True, eq=False)
class _Part:
    """The files of a part in the order of its rows, and the rows without an image."""

    place: Path
    number: int
    files: Mapping[str, Stamp]
    failed: Mapping[int, str]

    @property
    def array(self) -> Path:
        return _array(self.place, self.number)

    def rows(self) -> NDArray[np.float32]:
        return np.load(self.array, mmap_mode="r" if self.files else None)  # type: ignore[no-any-return]

    def current(self, stamps: Mapping[str, Stamp]) -> NDArray[np.bool_]:
        """Which rows are of files as they are now."""
        return np.array([stamps.get(path) == stamp for path, stamp in self.files.items()], dtype=np.bool_)


def folder_index(
    request: Request,
    *,
    home: Path,
    progress: Progress | None = None,
    say: Callable[[str], None] = lambda _: None,
) -> FolderIndex:
    """The index of the request's images, made or updated; two processes wait for each other.

    The images are whole files below one root; what the request says of network, protocol and device names the index.
    """
    place = _place(request, home)
    stamps = _stamps(request.images)
    with locked(place.parent / f"{place.name}.lock", say):
        _remove_leftovers(place)
        described = _continue(place, request, progress)
        known = {path for part in _parts(place) for path, now in _paths(part, stamps) if now}
        new = {path: stamp for path, stamp in stamps.items() if path not in known}
        if new:
            number = 1 + max((part.number for part in _parts(place)), default=0)
            write_json(_list(place, number), {"files": [[path, *stamp] for path, stamp in new.items()]})
            described += _describe(place, number, request, progress)
        _tidy(place, stamps)
        return _read(place, request.images.root, stamps, described)


def _place(request: Request, home: Path) -> Path:
    """The folder of an index: everything that can change a byte, but for the images, and their root."""
    key = extraction_key(replace(request, images=Images.of(request.images.root, [])))
    return home / "indexes" / digest([key, str(request.images.root.resolve())])


def _stamps(images: Images) -> dict[str, Stamp]:
    """Each file with what tells whether it changed; one that went away since it was listed is left out."""
    found = {}
    for row in range(len(images)):
        try:
            about = images.file(row).stat()
        except OSError:
            continue
        found[images.name(row)] = about.st_size, about.st_mtime_ns
    return found


def _remove_leftovers(place: Path) -> None:
    """What processes left that were killed before a list or a count had its name; whoever holds the lock may."""
    for path in place.glob("*.json.*.part"):
        path.unlink(missing_ok=True)


def _list(place: Path, number: int) -> Path:
    return place / f"{number}.json"


def _array(place: Path, number: int) -> Path:
    return place / f"{number}.npy"


def _numbers(place: Path) -> list[int]:
    return sorted(int(path.stem) for path in place.glob("*.json") if path.stem.isdigit())


def _parts(place: Path) -> list[_Part]:
    """The finished parts, the oldest first."""
    return [_part(place, number) for number in _numbers(place) if _array(place, number).is_file()]


def _part(place: Path, number: int) -> _Part:
    advice = f"Remove the folder {place} and run the same command again."
    known = read_json_object(_list(place, number), advice=advice)
    reasons = failed_file(_array(place, number))
    failed = read_json_object(reasons, advice=advice) if reasons.is_file() else {}
    try:
        files = {str(path): (int(size), int(changed)) for path, size, changed in known["files"]}
    except (KeyError, TypeError, ValueError) as error:
        raise DataError(f"{_list(place, number)}: is no list of files. {advice}") from error
    return _Part(
        place=place,
        number=number,
        files=files,
        failed={int(row): str(reason) for row, reason in failed.items()},
    )


def _paths(part: _Part, stamps: Mapping[str, Stamp]) -> zip[tuple[str, Any]]:
    return zip(part.files, part.current(stamps), strict=True)


def _continue(place: Path, request: Request, progress: Progress | None) -> int:
    """Finish what a killed update began; how many images that described."""
    unfinished = [number for number in _numbers(place) if not _array(place, number).is_file()]
    return sum(_describe(place, number, request, progress) for number in unfinished)


def _describe(place: Path, number: int, request: Request, progress: Progress | None) -> int:
    """The rows of a part whose list is written; how many."""
    images = Images.of(request.images.root, list(_part(place, number).files))
    extract(replace(request, images=images), out=_array(place, number), progress=progress, block=BLOCK)
    return len(images)


def _tidy(place: Path, stamps: Mapping[str, Stamp]) -> None:
    """Join the parts into one without the rows of files that are gone or changed, where there is reason to."""
    parts = _parts(place)
    kept = _kept(parts, stamps)
    if len(parts) <= MOST_PARTS and all(rows.all() for rows in kept):
        return
    files = [
        [path, *stamp] for part, rows in zip(parts, kept, strict=True) for path, stamp in _of(part, rows)
    ]
    number = parts[-1].number + 1
    shape = (len(files), parts[0].rows().shape[1])
    joined = RowFile(_array(place, number), shape, digest([files, [part.number for part in parts]]))
    before = 0
    for part, rows in zip(parts, kept, strict=True):
        chosen, array = np.flatnonzero(rows), part.rows()
        for start in range(0, len(chosen), _JOINED):
            some = chosen[start : start + _JOINED].tolist()
            if before >= joined.done:
                reasons = {
                    str(before + i): part.failed[row] for i, row in enumerate(some) if row in part.failed
                }
                joined.append(array[some], reasons)
            before += len(some)
    joined.finish()
    # Last, because a list makes a part: killed before, nothing has changed; killed after, a file stands in two parts,
    # of which the newer counts.
    write_json(_list(place, number), {"files": files})
    for part in parts:
        for path in (_list(place, part.number), part.array, failed_file(part.array)):
            path.unlink(missing_ok=True)


def _of(part: _Part, rows: NDArray[np.bool_]) -> list[tuple[str, Stamp]]:
    return [item for item, kept in zip(part.files.items(), rows, strict=True) if kept]


def _kept(parts: Sequence[_Part], stamps: Mapping[str, Stamp]) -> list[NDArray[np.bool_]]:
    """Which rows of each part count: those of files as they are now, once, from the newest part that has them."""
    seen: set[str] = set()
    found = []
    for part in reversed(parts):
        rows = np.array([now and path not in seen for path, now in _paths(part, stamps)], dtype=np.bool_)
        seen.update(path for path, kept in zip(part.files, rows, strict=True) if kept)
        found.append(rows)
    return found[::-1]


def _read(place: Path, root: Path, stamps: Mapping[str, Stamp], described: int) -> FolderIndex:
    parts = _parts(place)
    paths = [path for part in parts for path in part.files]
    failed = {list(part.files)[row]: reason for part in parts for row, reason in part.failed.items()}
    return FolderIndex(
        images=Images.of(root, paths),
        parts=[part.rows() for part in parts if part.files],
        failed={path: reason for path, reason in failed.items() if path in stamps},
        described=described,
    )
