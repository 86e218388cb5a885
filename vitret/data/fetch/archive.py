"""Archives unpacked in one pass, hashed on the way, with nothing believed: no member leaves the folder or bursts it.

Tar (POSIX.1-2001 pax and GNU long names), gzipped tar (RFC 1952) and zip. Refused: absolute paths, `..`, backslashes,
links, devices, sparse and encrypted members, two members of one name, an archive without its end, and bombs.
Reading the archive is one thread's work; writing and hashing files is that of a few others.
"""

import zipfile
import zlib
from pathlib import Path

from vitret.core.disguise import disguise
from vitret.core.errors import DataError
from vitret.core.store import machine_error, require_space
from vitret.data.fetch import zip_members
from vitret.data.fetch.bombs import LIMITS, Account, Limits
from vitret.data.fetch.hashed_files import BATCH_BYTES, HashedFiles, Member, Progress
from vitret.data.fetch.member_names import EVERYTHING, Selection, Targets
from vitret.data.fetch.tar_stream import BLOCK, TarError, TarReader, looks_like_header, walk


def extract(
    archive: Path,
    folder: Path,
    selection: Selection = EVERYTHING,
    *,
    limits: Limits = LIMITS,
    progress: Progress | None = None,
) -> list[Member]:
    """Unpack `archive` into `folder` and return its files in the order of the archive.

    Files of an earlier, interrupted extraction are replaced. The kind of archive is told by its first bytes.

    Raises DataError for anything unsafe or broken, before a byte is written outside or beyond the limits;
    MachineError when the disk is full. What was unpacked until then stays, and is only good for another try.
    """
    folder = folder.absolute()
    try:
        folder.mkdir(parents=True, exist_ok=True)
        # The source is closed last: the writer's threads read from it until they are through.
        with _open(archive, limits) as source, HashedFiles(folder, progress) as files:
            account = Account(archive, archive.stat().st_size, limits)
            if isinstance(source, zipfile.ZipFile):
                _extract_zip(source, selection, account, files)
            else:
                _extract_tar(source, selection, account, files)
            return files.finish()
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


def _open(archive: Path, limits: Limits) -> zipfile.ZipFile | TarReader:
    found = kind(archive)
    if found == "zip":
        return zip_members.open_zip(archive, limits)
    return TarReader(archive, gzipped=found == "tar.gz")


def kind(archive: Path) -> str:
    """'tar', 'tar.gz' or 'zip', by the first bytes; the name is not asked."""
    try:
        with archive.open("rb") as handle:
            head = handle.read(BLOCK)
    except OSError as error:
        raise DataError(f"{archive}: cannot be read ({error.strerror}).") from error
    if head.startswith(b"\x1f\x8b"):
        return "tar.gz"
    if head.startswith((b"PK\x03\x04", b"PK\x05\x06")):
        return "zip"
    # Old tars have no magic word: a block of zeros or a header whose checksum is right.
    if head[257:262] == b"ustar" or looks_like_header(head):
        return "tar"
    found = disguise(head)
    what = found[0] if found else "no tar, tar.gz or zip"
    raise DataError(f"{archive}: {what}. Remove it, then run the same command again.")


def check_archive(path: Path, *, name: str) -> str | None:
    """What keeps `path` from being the whole archive that its `name` announces; None if nothing, or no archive.

    Reads headers only, except in a gzipped tar, whose checksum covers all of it.
    """
    if not name.lower().endswith((".tar", ".tar.gz", ".tgz", ".zip")):
        return None
    try:
        with _open(path, LIMITS) as source:
            if not isinstance(source, zipfile.ZipFile):
                for _ in walk(source):
                    pass
                source.drain()
    except (DataError, TarError, zipfile.BadZipFile, zlib.error) as error:
        return f"not a whole archive ({str(error).removeprefix(f'{path}: ')})"
    return None


def _extract_tar(source: TarReader, selection: Selection, account: Account, files: HashedFiles) -> None:
    targets = Targets(account.archive, selection)
    for entry in walk(source):
        account.add(entry.size)
        if entry.kind == "folder":
            targets.check_folder(entry.name)
            continue
        if selection.skips(entry.name):
            continue
        if entry.kind != "file":
            raise DataError(f"{account.archive}: the member {entry.name!r} is a {entry.kind}: refused.")
        target, pieces = targets.path(entry.name), source.take(entry.size)
        if entry.size <= BATCH_BYTES:
            files.add(target, entry.size, iter(list(pieces)))
        else:
            files.add_now(target, entry.size, pieces)
    source.drain()


def _extract_zip(source: zipfile.ZipFile, selection: Selection, account: Account, files: HashedFiles) -> None:
    targets = Targets(account.archive, selection)
    chosen = []
    for info in source.infolist():
        account.add(info.file_size)
        if info.is_dir():
            targets.check_folder(info.filename)
            continue
        if selection.skips(info.filename):
            continue
        if problem := zip_members.refusal(info):
            raise DataError(f"{account.archive}: the member {info.filename!r} {problem}: refused.")
        chosen.append((targets.path(info.orig_filename), info))
    # All names and sizes are known before the first byte is written: so is the space.
    require_space(files.folder, sum(info.file_size for _, info in chosen))
    for target, info in chosen:
        files.add(target, info.file_size, zip_members.pieces(source, info))
