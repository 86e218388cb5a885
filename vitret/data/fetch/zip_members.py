"""The files of a zip archive, with nothing believed: `zipfile` behind bounds and refusals."""

import contextlib
import errno
import os
import stat
import struct
import zipfile
from collections.abc import Iterator
from pathlib import Path

from vitret.data.fetch.bombs import Limits, bomb

PIECE = 1 << 20


def open_zip(archive: Path, limits: Limits) -> zipfile.ZipFile:
    """Read the table of contents, unless it is too large; raises BadZipFile for a damaged one."""
    _check_directory(archive, limits)
    with _damage():
        opened = zipfile.ZipFile(archive)
    if not all(info.filename for info in opened.infolist()):
        opened.close()
        raise zipfile.BadZipFile("a member has no name")
    return opened


def refusal(info: zipfile.ZipInfo) -> str | None:
    """Why a member is not unpacked, whatever its name; None for a plain file."""
    mode = info.external_attr >> 16
    if info.flag_bits & 1:
        return "is encrypted; unpack it by hand with the publisher's password and use --from"
    if stat.S_IFMT(mode) not in (0, stat.S_IFREG):
        return "is a link or a device"
    if info.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
        return "is compressed in an uncommon way"
    return None


def pieces(opened: zipfile.ZipFile, info: zipfile.ZipInfo) -> Iterator[bytes]:
    """The content of a member; several threads may read different members at once."""
    with _damage():
        member = opened.open(info)
    with member:
        while True:
            with _damage():
                piece = member.read(PIECE)
            if not piece:
                return
            yield piece


@contextlib.contextmanager
def _damage() -> Iterator[None]:
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
        raise bomb(archive, f"a table of contents of {length:,} bytes")
