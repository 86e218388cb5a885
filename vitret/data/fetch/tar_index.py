"""Images kept in their tar: an index of where each begins, and reading one without unpacking.

For those who train from object storage or cannot hold four million files. The index is a parquet beside the tar,
`<tar>.index`: path, offset and size in bytes, sha256. It names the size of the tar it was made for, and an index of
another is refused. A path that continues below such a tar, `train/images_000.tar/1/7/6/<id>.jpg`, is a file in it.
"""

import io
import os
from bisect import bisect_left
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import lru_cache
from hashlib import file_digest
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from vitret.core.errors import DataError
from vitret.core.store import writing
from vitret.data.fetch.hashed_files import Member
from vitret.data.fetch.member_names import Selection, Targets
from vitret.data.fetch.tar_stream import Entry, TarError, TarReader, walk

HASHERS = 2


@dataclass(frozen=True, kw_only=True, slots=True)
class Packed:
    """A file inside a tar: its path, where its bytes begin, how many they are, their sha256."""

    path: str
    offset: int
    size: int
    sha256: str


def index_path(tar: Path) -> Path:
    return tar.with_name(f"{tar.name}.index")


def make_index(tar: Path, *, strip_prefix: str = "") -> list[Member]:
    """Read an uncompressed tar once, hash every file in it, and write its index; returns the files.

    What `extract` refuses is refused here too. Raises DataError for a tar that is unsafe, broken or compressed.
    """
    entries = _files_of(tar, strip_prefix)
    with ThreadPoolExecutor(HASHERS) as pool:
        hashes = list(pool.map(lambda entry: _sha256(tar, entry), entries.values(), chunksize=64))
    members = [
        Packed(path=path, offset=entry.offset, size=entry.size, sha256=sha256)
        for (path, entry), sha256 in zip(entries.items(), hashes, strict=True)
    ]
    _write(tar, members)
    return [Member(path=member.path, size=member.size, sha256=member.sha256) for member in members]


def _files_of(tar: Path, strip_prefix: str) -> dict[str, Entry]:
    targets = Targets(tar, Selection(strip_prefix=strip_prefix))
    files = {}
    try:
        with TarReader(tar, gzipped=False) as reader:
            for entry in walk(reader):
                if entry.kind == "folder":
                    continue
                if entry.kind != "file":
                    raise DataError(f"{tar}: the member {entry.name!r} is a {entry.kind}: refused.")
                files[targets.path(entry.name)] = entry
    except TarError as error:
        raise DataError(f"{tar}: {error}") from error
    return files


def _sha256(tar: Path, entry: Entry) -> str:
    with open_member(tar, entry.offset, entry.size) as file:
        return file_digest(file, "sha256").hexdigest()


def _write(tar: Path, members: list[Packed]) -> None:
    table = pa.table(
        {
            "path": pa.array([member.path for member in members], pa.string()),
            "offset": pa.array([member.offset for member in members], pa.int64()),
            "size": pa.array([member.size for member in members], pa.int64()),
            "sha256": pa.array([bytes.fromhex(member.sha256) for member in members], pa.binary(32)),
        }
    ).replace_schema_metadata({"tar_bytes": str(tar.stat().st_size)})
    with writing(index_path(tar)) as handle:
        pq.write_table(table, handle, compression="zstd")


def read_index(tar: Path) -> list[Packed]:
    """The index of a tar; raises DataError when it is missing, damaged, or of a tar of another size."""
    path = index_path(tar)
    try:
        table = pq.read_table(path)
        columns = [table[name].to_pylist() for name in ("path", "offset", "size", "sha256")]
        announced = int((table.schema.metadata or {}).get(b"tar_bytes", b"-1"))
        size = tar.stat().st_size
    except (OSError, pa.ArrowException, KeyError, ValueError) as error:
        raise DataError(f"{path}: no readable index. Remove it, then prepare the set again.") from error
    if announced != size:
        raise DataError(f"{tar}: {size:,} bytes, its index was made for {announced:,}. Fetch the tar again.")
    return [Packed(path=p, offset=o, size=s, sha256=h.hex()) for p, o, s, h in zip(*columns, strict=True)]


def open_member(tar: Path, offset: int, size: int) -> io.BufferedReader:
    """One file in a tar, opened; raises DataError when the tar ends before it does.

    Every call opens the tar again and reads by position: threads and processes share no handle.
    """
    try:
        member = _Member(tar, offset, size)
    except OSError as error:
        raise DataError(f"{tar}: cannot be read ({error.strerror}).") from error
    if member.room < size:
        member.close()
        raise DataError(
            f"{tar}: ends at byte {offset + member.room:,}, before the end of the file that was asked for."
        )
    return io.BufferedReader(member)


class _Member(io.RawIOBase):
    """Bytes `offset` … `offset + size` of a file as a file of their own; `room` is how many of them are there."""

    def __init__(self, path: Path, offset: int, size: int) -> None:
        self._handle = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
        self._offset, self._size, self._place = offset, size, 0
        self.room = min(size, max(0, os.fstat(self._handle).st_size - offset))

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        start = {os.SEEK_SET: 0, os.SEEK_CUR: self._place, os.SEEK_END: self._size}[whence]
        self._place = max(0, start + offset)
        return self._place

    def readinto(self, buffer: Any) -> int:
        view = memoryview(buffer).cast("B")
        wanted = max(0, min(len(view), self._size - self._place))
        read = os.preadv(self._handle, [view[:wanted]], self._offset + self._place)
        self._place += read
        return read

    def close(self) -> None:
        if not self.closed:
            os.close(self._handle)
        super().close()


def tar_of(path: Path) -> Path | None:
    """The packed tar that a path leads into, or None: some folder of the path is a file with an index beside it."""
    tar = next((folder for folder in path.parents if folder.is_file()), None)
    return tar if tar is not None and index_path(tar).is_file() else None


def open_packed(path: Path) -> io.BufferedReader:
    """The file at a path below a packed tar, opened; raises DataError when there is none."""
    tar = tar_of(path)
    if tar is None:
        raise DataError(f"{path}: no such file.")
    stamp = tar.stat()
    places = _places(tar, stamp.st_size, stamp.st_mtime_ns)
    name = path.relative_to(tar).as_posix().encode()
    row = bisect_left(places.names, name)
    if row == len(places.names) or places.names[row] != name:
        raise DataError(f"{path}: no such file.")
    return open_member(tar, int(places.offsets[row]), int(places.sizes[row]))


class _Places(NamedTuple):
    """Names (n,) S, sorted, with the offset and size of each: some forty bytes an image, once in every process."""

    names: np.ndarray[tuple[int], np.dtype[np.bytes_]]
    offsets: np.ndarray[tuple[int], np.dtype[np.int64]]
    sizes: np.ndarray[tuple[int], np.dtype[np.int64]]


# More tars than any set has; the size and the time of change make it forget a new tar's old.
@lru_cache(maxsize=1024)
def _places(tar: Path, size: int, changed: int) -> _Places:
    members = sorted(read_index(tar), key=lambda member: member.path.encode())
    return _Places(
        names=np.array([member.path.encode() for member in members], dtype=np.bytes_),
        offsets=np.array([member.offset for member in members], dtype=np.int64),
        sizes=np.array([member.size for member in members], dtype=np.int64),
    )


def loose_and_packed(files: Iterable[str], root: Path) -> tuple[list[str], list[str]]:
    """Every file below a folder: its path, and where it is, which differs for one in a tar: `<tar>/<path>`.

    A packed file's own path begins where its tar lies, as if the tar were unpacked beside itself.
    """
    paths: list[str] = []
    places: list[str] = []
    for file in files:
        if file.endswith(".tar") and index_path(root / file).is_file():
            folder = file.rpartition("/")[0]
            inside = [member.path for member in read_index(root / file)]
            paths += [f"{folder}/{path}" for path in inside] if folder else inside
            places += [f"{file}/{path}" for path in inside]
        elif not file.endswith(".tar.index"):
            paths.append(file)
            places.append(file)
    return paths, places
