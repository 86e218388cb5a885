"""Images kept in their tar: an index of where each begins, and reading one without unpacking.

For those who train from object storage or cannot hold four million files. The index is a parquet beside the tar,
`<tar>.index`: path, offset and size in bytes, sha256. It names the size of the tar it was made for, and an index of
another is refused.
"""

import io
import os
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from vitret.core.errors import DataError
from vitret.core.store import writing
from vitret.data.archive import unsafe
from vitret.data.tar import Entry, Plain, TarError, walk


@dataclass(frozen=True, kw_only=True, slots=True)
class Packed:
    """A file inside a tar: its path, where its bytes begin, how many they are, their sha256."""

    path: str
    offset: int
    size: int
    sha256: str


def index_path(tar: Path) -> Path:
    return tar.with_name(f"{tar.name}.index")


def make_index(tar: Path, *, strip_prefix: str = "", workers: int = 2) -> list[Packed]:
    """Read an uncompressed tar once, hash every file in it, and write its index.

    What `extract` refuses is refused here too. Raises DataError for a tar that is unsafe, broken or compressed.
    """
    try:
        with Plain(tar) as source, ThreadPoolExecutor(workers) as pool:
            entries = []
            for entry in walk(source):
                source.skip(entry.padded)
                if entry.kind == "folder":
                    continue
                if problem := unsafe(entry.name) or ("is no file" if entry.kind != "file" else None):
                    raise DataError(f"{tar}: the member {entry.name!r} {problem}: refused.")
                entries.append(entry)
            members = list(
                pool.map(lambda entry: _hashed(source, entry, strip_prefix), entries, chunksize=64)
            )
    except TarError as error:
        raise DataError(f"{tar}: {error}") from error
    if len({member.path for member in members}) < len(members):
        raise DataError(f"{tar}: two members have the same name: refused.")
    _write(tar, members)
    return members


def _hashed(source: Plain, entry: Entry, strip_prefix: str) -> Packed:
    running = sha256()
    for piece in source.pieces(entry.offset, entry.size):
        running.update(piece)
    path = "/".join(part for part in entry.name.split("/") if part not in ("", "."))
    return Packed(
        path=path.removeprefix(strip_prefix), offset=entry.offset, size=entry.size, sha256=running.hexdigest()
    )


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


def open_member(tar: Path, offset: int, size: int) -> io.BytesIO:
    """The bytes of one file in a tar, as an open file; raises DataError when the tar ends before them."""
    try:
        handle = os.open(tar, os.O_RDONLY | os.O_CLOEXEC)
    except OSError as error:
        raise DataError(f"{tar}: cannot be read ({error.strerror}).") from error
    try:
        data = os.pread(handle, size, offset)
    finally:
        os.close(handle)
    if len(data) < size:
        raise DataError(
            f"{tar}: ends at byte {offset + len(data):,}, before the end of the file that was asked for."
        )
    return io.BytesIO(data)
