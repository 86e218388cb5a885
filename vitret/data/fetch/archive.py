"""Archives unpacked in one pass, hashed on the way, with nothing believed: no member leaves the folder or bursts it.

Tar (POSIX.1-2001 pax and GNU long names), gzipped tar (RFC 1952) and zip. Refused: absolute paths, `..`, backslashes,
links, devices, sparse and encrypted members, two members of one name, an archive without its end, and what
`Limits` calls a bomb. Reading headers is one thread's work; writing and hashing files is that of a few others.
"""

import contextlib
import errno
import fnmatch
import hashlib
import os
import stat
import struct
import zipfile
import zlib
from collections.abc import Callable, Container, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from vitret.core.errors import DataError
from vitret.core.store import machine_error, require_space
from vitret.data.fetch.tar_stream import Entry, Gunzip, Plain, TarError, walk

BATCH_BYTES = 4 << 20
BATCH_MEMBERS = 64
PIECE = 1 << 20


@dataclass(frozen=True, kw_only=True)
class Limits:
    """Where an archive becomes a bomb: members, bytes unpacked, and bytes unpacked per byte of the archive.

    Archives that unpack to less than `free` bytes are never bombs by ratio: a text may well shrink a thousandfold.
    `directory` bounds the table of contents of a zip, which is read before anything else, in bytes.
    """

    members: int = 5_000_000
    size: int = 2 << 40
    ratio: float = 200.0
    free: int = 64 << 20
    directory: int = 100 << 20


@dataclass(frozen=True, kw_only=True, slots=True)
class Member:
    """A file as it was unpacked: its path below the folder, its size in bytes, its sha256."""

    path: str
    size: int
    sha256: str


def extract(
    archive: Path,
    folder: Path,
    *,
    strip_prefix: str = "",
    flatten: bool = False,
    skip: Sequence[str] = (),
    wanted: Container[str] | None = None,
    limits: Limits | None = None,
    workers: int = 3,
    progress: Callable[[int, int], None] | None = None,
) -> list[Member]:
    """Unpack `archive` into `folder` and return its files in the order of the archive.

    `strip_prefix` is taken off the names that have it, `flatten` leaves only the last part of each name; members whose
    name matches a pattern in `skip` are passed over, whatever they are, and so are files whose path is not in `wanted`,
    where that is given. `progress` gets (members, bytes) so far.
    Files of an earlier, interrupted extraction are replaced. The kind of archive is told by its first bytes.

    Raises DataError for anything unsafe or broken, before a byte is written outside or beyond the limits;
    MachineError when the disk is full. What was unpacked until then stays, and is only good for another try.
    """
    limits = limits or Limits()
    names = _Names(strip_prefix, flatten=flatten, skip=skip, wanted=wanted)
    folder = folder.absolute()
    try:
        folder.mkdir(parents=True, exist_ok=True)
        # The source is closed last: the writer's threads read from it until they are through.
        with _open(archive, limits) as source, _Writer(folder, workers=workers, progress=progress) as writer:
            if isinstance(source, zipfile.ZipFile):
                _extract_zip(source, archive, names, limits, writer)
            else:
                _extract_tar(source, archive, names, limits, writer)
            return writer.finish()
    except TarError as error:
        raise DataError(f"{archive}: {error}") from error
    except (zipfile.BadZipFile, zlib.error, EOFError, NotImplementedError) as error:
        raise DataError(
            f"{archive}: broken ({error}). Remove it, then run the same command again."
        ) from error
    except (FileExistsError, NotADirectoryError, IsADirectoryError) as error:
        raise DataError(
            f"{archive}: {error.filename} would be a file and a folder at once: refused."
        ) from error
    except OSError as error:
        raise machine_error(folder, error) from error


def _open(archive: Path, limits: Limits) -> zipfile.ZipFile | Plain | Gunzip:
    match kind(archive):
        case "zip":
            _check_directory(archive, limits)
            with _zip_damage():
                return zipfile.ZipFile(archive)
        case "tar":
            return Plain(archive)
        case _:
            return Gunzip(archive)


def kind(archive: Path) -> str:
    """'tar', 'tar.gz' or 'zip', by the first bytes; the name is not asked."""
    try:
        with archive.open("rb") as handle:
            head = handle.read(512)
    except OSError as error:
        raise DataError(f"{archive}: cannot be read ({error.strerror}).") from error
    if head.startswith(b"\x1f\x8b"):
        return "tar.gz"
    if head.startswith((b"PK\x03\x04", b"PK\x05\x06")):
        return "zip"
    # Old tars have no magic word: a block of zeros or a header whose checksum is right.
    if head[257:262] == b"ustar" or (len(head) == 512 and Entry.looks_like_header(head)):
        return "tar"
    what = "a web page" if head.lstrip()[:5].lower() in (b"<!doc", b"<html") else "no tar, tar.gz or zip"
    raise DataError(f"{archive}: {what}. Remove it, then run the same command again.")


def check_archive(path: Path, *, name: str) -> str | None:
    """What keeps `path` from being the whole archive that its `name` announces; None if nothing, or no archive.

    Reads headers only, except in a gzipped tar, whose checksum covers all of it.
    """
    if not name.lower().endswith((".tar", ".tar.gz", ".tgz", ".zip")):
        return None
    try:
        with _open(path, Limits()) as source:
            if not isinstance(source, zipfile.ZipFile):
                for entry in walk(source):
                    source.skip(entry.padded)
                source.drain()
    except (DataError, TarError, zipfile.BadZipFile, zlib.error) as error:
        return f"not a whole archive ({str(error).removeprefix(f'{path}: ')})"
    return None


class _Names:
    """From a member's name to the path of its file, or a refusal; remembers every path given."""

    def __init__(
        self, strip_prefix: str, *, flatten: bool, skip: Sequence[str], wanted: Container[str] | None = None
    ) -> None:
        self._prefix, self._flatten, self._skip = strip_prefix, flatten, tuple(skip)
        self._wanted = wanted
        self._given: set[str] = set()

    def skips(self, name: str) -> bool:
        if self._wanted is not None and not name.endswith("/") and self._path(name) not in self._wanted:
            return True
        return any(fnmatch.fnmatchcase(name.removeprefix("./"), pattern) for pattern in self._skip)

    def _path(self, name: str) -> str:
        path = "/".join(part for part in name.split("/") if part not in ("", "."))
        path = path.removeprefix(self._prefix).lstrip("/")
        return path.rpartition("/")[2] if self._flatten else path

    def target(self, archive: Path, name: str) -> str:
        """A path below the folder, in POSIX form."""
        if problem := unsafe(name):
            raise DataError(f"{archive}: the member {name!r} {problem}: refused, nothing of it was written.")
        path = self._path(name)
        if not path:
            raise DataError(f"{archive}: the member {name!r} has no name left after '{self._prefix}'.")
        if path in self._given:
            raise DataError(f"{archive}: two members would become {path!r}: refused.")
        self._given.add(path)
        return path


def unsafe(name: str) -> str | None:
    """Why a member's name is refused; None if it is harmless.

    >>> unsafe("jpg/a.jpg"), unsafe("../a.jpg")
    (None, "leads out of its folder ('..')")
    """
    parts = name.split("/")
    if name.startswith("/") or (len(name) > 1 and name[1] == ":"):
        return "has an absolute path"
    if ".." in parts:
        return "leads out of its folder ('..')"
    if "\\" in name or any(ord(letter) < 32 or ord(letter) == 127 for letter in name):
        return "has a backslash or a control character in its name"
    if len(parts) > 64 or any(len(part.encode()) > 255 for part in parts):
        return "has a name that is too long"
    return None


@dataclass
class _Account:
    """What was unpacked so far, against the limits."""

    archive: Path
    packed: int
    limits: Limits
    members: int = 0
    size: int = 0

    def add(self, size: int) -> None:
        self.members += 1
        self.size += size
        limits = self.limits
        if self.members > limits.members:
            raise self._bomb(f"more than {limits.members:,} members")
        if self.size > limits.size:
            raise self._bomb(f"unpacks to more than {limits.size:,} bytes")
        if self.size > limits.free and self.size > limits.ratio * self.packed:
            raise self._bomb(f"unpacks to more than {limits.ratio:g} times its {self.packed:,} bytes")

    def _bomb(self, what: str) -> DataError:
        return DataError(f"{self.archive}: {what}: refused as a decompression bomb.")


def _extract_tar(
    source: Plain | Gunzip, archive: Path, names: _Names, limits: Limits, writer: "_Writer"
) -> None:
    account = _Account(archive, archive.stat().st_size, limits)
    for entry in walk(source):
        account.add(entry.size)
        if names.skips(entry.name) or entry.kind == "folder":
            # A folder is made when a file needs it; its name is checked all the same.
            if entry.kind == "folder" and (problem := unsafe(entry.name.rstrip("/"))):
                raise DataError(f"{archive}: the folder {entry.name!r} {problem}: refused.")
            source.skip(entry.padded)
            continue
        if entry.kind != "file":
            raise DataError(f"{archive}: the member {entry.name!r} is a {entry.kind}: refused.")
        target = names.target(archive, entry.name)
        if isinstance(source, Plain):
            source.require(entry.padded)
            writer.add(target, entry.size, source.pieces(entry.offset, entry.size))
            source.skip(entry.padded)
        elif entry.size <= BATCH_BYTES:
            writer.add(target, entry.size, iter((source.read(entry.size),)))
            source.skip(entry.padded - entry.size)
        else:
            writer.add_now(target, entry.size, source.stream(entry.size))
            source.skip(entry.padded - entry.size)
    source.drain()


def _extract_zip(
    opened: zipfile.ZipFile, archive: Path, names: _Names, limits: Limits, writer: "_Writer"
) -> None:
    account = _Account(archive, archive.stat().st_size, limits)
    chosen = []
    for info in opened.infolist():
        account.add(info.file_size)
        if names.skips(info.filename):
            continue
        if info.is_dir():
            if problem := unsafe(info.filename.rstrip("/")):
                raise DataError(f"{archive}: the folder {info.filename!r} {problem}: refused.")
            continue
        if problem := _zip_problem(info):
            raise DataError(f"{archive}: the member {info.filename!r} {problem}: refused.")
        chosen.append((names.target(archive, info.orig_filename), info))
    # All names and sizes are known before the first byte is written: so is the space.
    require_space(writer.folder, sum(info.file_size for _, info in chosen))
    for target, info in chosen:
        writer.add(target, info.file_size, _zip_pieces(opened, info))


def _zip_problem(info: zipfile.ZipInfo) -> str | None:
    mode = info.external_attr >> 16
    if info.flag_bits & 1:
        return "is encrypted; unpack it by hand with the publisher's password and use --from"
    if stat.S_IFMT(mode) not in (0, stat.S_IFREG):
        return "is a link or a device"
    if info.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
        return "is compressed in an uncommon way"
    return None


def _zip_pieces(opened: zipfile.ZipFile, info: zipfile.ZipInfo) -> Iterator[bytes]:
    with _zip_damage():
        member = opened.open(info)
    with member:
        while True:
            with _zip_damage():
                piece = member.read(PIECE)
            if not piece:
                return
            yield piece


@contextlib.contextmanager
def _zip_damage() -> Iterator[None]:
    """What zipfile raises on damaged bytes, as the one error it documents; never around writing."""
    try:
        yield
    except (ValueError, OverflowError, RuntimeError, struct.error) as error:
        raise zipfile.BadZipFile(str(error)) from error
    except OSError as error:
        # A damaged table of contents sends it to places before the file's beginning.
        if error.errno != errno.EINVAL:
            raise
        raise zipfile.BadZipFile("its table of contents points outside") from error


def _check_directory(archive: Path, limits: Limits) -> None:
    """Refuse a zip whose table of contents is too large to be read; zipfile would read all of it."""
    with archive.open("rb") as handle:
        size = handle.seek(0, os.SEEK_END)
        handle.seek(max(0, size - (1 << 16) - 22))
        tail = handle.read()
    plain_end = tail[-22:].startswith(b"PK\x05\x06") and tail.endswith(b"\0\0")
    at = len(tail) - 22 if plain_end else tail.rfind(b"PK\x05\x06")
    if at < 0:
        raise zipfile.BadZipFile("it has no end: the download is not complete")
    length = int.from_bytes(tail[at + 12 : at + 16], "little")
    if length == 0xFFFFFFFF and (at64 := tail.rfind(b"PK\x06\x06")) >= 0:
        length = int.from_bytes(tail[at64 + 40 : at64 + 48], "little")
    if length > limits.directory:
        raise DataError(
            f"{archive}: a table of contents of {length:,} bytes: refused as a decompression bomb."
        )


@dataclass
class _Job:
    path: str
    size: int
    pieces: Iterator[bytes]


class _Writer:
    """Writes and hashes files on a few threads, a batch at a time, with a bounded number of batches waiting."""

    def __init__(self, folder: Path, *, workers: int, progress: Callable[[int, int], None] | None) -> None:
        self.folder = folder
        self._workers, self._progress = max(1, workers), progress
        self._batch: list[_Job] = []
        self._batch_size = 0
        self._waiting: list[Future[list[Member]]] = []
        self._done: list[Member] = []
        self._done_size = 0
        self._made: set[str] = set()
        self._root = -1

    def __enter__(self) -> "_Writer":
        self._pool = ThreadPoolExecutor(self._workers)
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
            self.flush()

    def add_now(self, path: str, size: int, pieces: Iterator[bytes]) -> None:
        """Write a large file piece by piece before returning."""
        self.flush()
        self._collect(keep=0)
        self._take([self._write(_Job(path, size, pieces))])

    def flush(self) -> None:
        if self._batch:
            for job in self._batch:
                self._make_folder(job.path)
            batch, self._batch, self._batch_size = self._batch, [], 0
            self._waiting.append(self._pool.submit(self._write_all, batch))
        self._collect(keep=3 * self._workers)

    def finish(self) -> list[Member]:
        self.flush()
        self._collect(keep=0)
        return self._done

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
        if "/" not in job.path:
            self._make_folder(job.path)
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
            # Of an earlier, interrupted extraction. Unlinked first: it may be hard-linked to somebody's only copy.
            os.unlink(path, dir_fd=self._root)
            return os.open(path, flags, 0o644, dir_fd=self._root)


def _write_whole(handle: int, piece: bytes) -> None:
    written = os.write(handle, piece)
    if written < len(piece):
        rest = memoryview(piece)[written:]
        while rest:
            rest = rest[os.write(handle, rest) :]
