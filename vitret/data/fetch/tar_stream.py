"""The members of a tar in order, each with the place of its bytes: `tarfile` over a reader that only goes forward.

`tarfile` knows the formats (ustar, POSIX.1-2001 pax, GNU long names). What it does not do is done here:
- A damaged header, or no end mark, ends an archive for it without a word. Here both are errors: the download was cut.
- Its mode `r|gz` never looks at the CRC of a gzip, nor at what follows the tar. `gzip` does.
- It believes the size of every header and keeps every member. Here both are bounded, so is memory.
- Up to Python 3.11.9 and 3.12.5 a pax header can take it hours (CVE-2024-6232). `_check_pax` takes linear time.
"""

import contextlib
import gzip
import io
import os
import re
import tarfile
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

BLOCK = tarfile.BLOCKSIZE
PIECE = 1 << 20
# Bytes of headers that one member may have: long names and attributes, never its content.
LONGEST_HEADER = 1 << 16
LONGEST_NUMBER = 1 << 10
PAX_TYPES = (tarfile.XHDTYPE, tarfile.XGLTYPE, tarfile.SOLARIS_XHDTYPE)

Kind = Literal["file", "folder", "symbolic link", "hard link", "device", "pipe", "sparse or unknown member"]

_KINDS: dict[bytes, Kind] = {
    tarfile.REGTYPE: "file",
    tarfile.AREGTYPE: "file",
    tarfile.CONTTYPE: "file",
    tarfile.DIRTYPE: "folder",
    tarfile.SYMTYPE: "symbolic link",
    tarfile.LNKTYPE: "hard link",
    tarfile.CHRTYPE: "device",
    tarfile.BLKTYPE: "device",
    tarfile.FIFOTYPE: "pipe",
}


class TarError(Exception):
    """The bytes are no tar, or stop before its end."""


@dataclass(frozen=True, slots=True)
class Entry:
    """One member: its bytes are `size` bytes from `offset` on, counted in the unpacked tar."""

    name: str
    kind: Kind
    size: int
    offset: int


class TarReader(io.RawIOBase):
    """The bytes of a tar, gzipped or not, in one pass: `read` and `seek` for `tarfile`, `take` for the contents."""

    def __init__(self, path: Path, *, gzipped: bool) -> None:
        self._file = gzip.open(path) if gzipped else path.open("rb")  # noqa: SIM115 -- closed by close()
        self._size = None if gzipped else os.fstat(self._file.fileno()).st_size
        self._position = 0
        self._header_bytes_left = 0
        self._pax_follows = False

    def close(self) -> None:
        self._file.close()
        super().close()

    def tell(self) -> int:
        return self._position

    def expect_header(self) -> None:
        """Let `tarfile` read the headers of one member, and no more."""
        self._header_bytes_left = LONGEST_HEADER
        self._pax_follows = False

    def read(self, n: int = -1) -> bytes:
        """The next n bytes of headers, or fewer at the end."""
        if not 0 <= n <= self._header_bytes_left:
            raise TarError(f"has a header of more than {LONGEST_HEADER:,} bytes: refused")
        self._header_bytes_left -= n
        data = self._next(n)
        if self._pax_follows:
            _check_pax(data)
        self._pax_follows = not self._pax_follows and data[156:157] in PAX_TYPES
        return data

    def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        """Skip to a byte further on; nothing in a tar points back."""
        if whence != os.SEEK_SET or offset < self._position:
            raise TarError("has a member of negative size")
        if self._size is None:
            for _ in self.take(offset - self._position):
                pass
        else:
            self._require(offset - self._position)
            self._position = self._file.seek(offset)
        return self._position

    def take(self, size: int) -> Iterator[bytes]:
        """The next `size` bytes, in pieces; `TarError` if they are not all there."""
        self._require(size)
        while size:
            piece = self._next(min(size, PIECE))
            if not piece:
                raise TarError("ends in the middle of a member: the download is not complete")
            size -= len(piece)
            yield piece

    def drain(self) -> None:
        """Read what follows the tar in a gzip, so that its last CRC is checked; only zeros may follow, and not many."""
        if self._size is not None:
            return
        for _ in range(64):
            rest = self._next(PIECE)
            if not rest:
                return
            if any(rest):
                break
        raise TarError("continues after its end")

    def _require(self, size: int) -> None:
        if self._size is not None and self._position + size > self._size:
            raise TarError("ends in the middle of a member: the download is not complete")

    def _next(self, n: int) -> bytes:
        try:
            data = self._file.read(n)
        except EOFError as error:
            raise TarError("ends in the middle of its gzip: the download is not complete") from error
        except (gzip.BadGzipFile, zlib.error) as error:
            raise TarError(f"is broken ({error}): remove it, then run the same command again") from error
        self._position += len(data)
        return data


class _Header(tarfile.TarInfo):
    """A header of which `tarfile` must not think that a damaged one, or none, is the end of the archive."""

    @classmethod
    def frombuf(cls, buf: bytes | bytearray, encoding: str, errors: str) -> "_Header":
        try:
            return super().frombuf(buf, encoding, errors)
        except tarfile.HeaderError as error:
            if len(buf) < BLOCK:
                raise TarError(
                    "ends without the mark that every tar ends with: the download is not complete"
                ) from error
            if not any(buf):
                raise
            raise tarfile.ReadError(str(error)) from error


def looks_like_header(block: bytes) -> bool:
    """Whether a block's checksum is right, or it is all zeros."""
    try:
        _Header.frombuf(block, "utf-8", "surrogateescape")
    except (TarError, tarfile.ReadError):
        return False
    except tarfile.HeaderError:
        return True
    return True


def walk(reader: TarReader) -> Iterator[Entry]:
    """The members in order; the caller may `take` a member's bytes before it asks for the next.

    Raises TarError for a damaged header and for a tar without its final block of zeros, as a cut one has.
    """
    with _damage(reader):
        tar = tarfile.TarFile(fileobj=reader, tarinfo=_Header, encoding="utf-8", errors="surrogateescape")
    while True:
        with _damage(reader):
            header = tar.next()
        if header is None:
            return
        tar.members.clear()  # type: ignore[attr-defined]  # it keeps all: a shard may have a million
        yield _entry(header)


@contextlib.contextmanager
def _damage(reader: TarReader) -> Iterator[None]:
    """What `tarfile` raises on damaged bytes, documented or not, as `TarError`."""
    reader.expect_header()
    try:
        yield
    except (tarfile.TarError, ValueError, LookupError, ArithmeticError) as error:
        at = max(0, reader.tell() - BLOCK)
        raise TarError(f"has a damaged header at byte {at:,} ({error})") from error


def _entry(header: tarfile.TarInfo) -> Entry:
    kind = _KINDS.get(header.type, "sparse or unknown member")
    if header.issparse() or any(key.startswith("GNU.sparse") for key in header.pax_headers):
        kind = "sparse or unknown member"
    if header.size < 0:
        raise TarError("has a member of negative size")
    # Links and devices carry no bytes, whatever their size field says.
    size = header.size if kind in ("file", "sparse or unknown member") else 0
    return Entry(_text(header.name), kind, size, header.offset_data)


def _check_pax(body: bytes) -> None:
    """Raise TarError unless a pax header is what it should be: records 'length key=value' with a line break each."""
    body = body.rstrip(b"\0")
    if max(map(len, re.findall(rb"\d+", body)), default=0) > LONGEST_NUMBER:
        raise TarError(f"has a pax header with a number of more than {LONGEST_NUMBER:,} digits: refused")
    at = 0
    while at < len(body):
        space = body.find(b" ", at, at + 9)
        digits = body[at:space] if space > at else b""
        end = at + int(digits) if digits.isdigit() else 0
        record = body[space + 1 : end]
        if b"=" not in record or not record.endswith(b"\n"):
            raise TarError("has a damaged pax header")
        at = end


def _text(name: str) -> str:
    """UTF-8, else Latin-1: some names are older than UTF-8, and every name must fit into JSON."""
    raw = name.encode("utf-8", "surrogateescape")
    try:
        return raw.decode("utf-8")
    except UnicodeDecodeError:
        return raw.decode("latin-1")
