"""The members of a tar in order, each with the place of its bytes: ustar, pax (POSIX.1-2001) and GNU long names.

The standard library's reader remembers every member and seeks; this one goes forward only, so that a shard of a million
images costs no memory, a gzipped archive is read once, and the offsets can be kept as an index.
"""

import os
import tarfile
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, Self

BLOCK = 512
PIECE = 1 << 20
LONGEST_HEADER = 1 << 20

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

    @property
    def padded(self) -> int:
        """Bytes up to the next header."""
        return -(-self.size // BLOCK) * BLOCK

    @staticmethod
    def looks_like_header(block: bytes) -> bool:
        """Whether a block's checksum is right, or it is all zeros."""
        if not any(block):
            return True
        try:
            tarfile.TarInfo.frombuf(block, "utf-8", "surrogateescape")
        except tarfile.HeaderError:
            return False
        return True


class Plain:
    """An uncompressed tar, read by position: several threads may take bytes at once."""

    def __init__(self, path: Path) -> None:
        self._handle = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
        self._size = os.fstat(self._handle).st_size
        self.position = 0

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        os.close(self._handle)

    def read(self, n: int) -> bytes:
        """The next n bytes, or fewer at the end."""
        data = os.pread(self._handle, n, self.position)
        self.position += len(data)
        return data

    def require(self, n: int) -> None:
        """Raise TarError unless n more bytes are there."""
        if self.position + n > self._size:
            raise TarError("ends in the middle of a member: the download is not complete")

    def skip(self, n: int) -> None:
        self.require(n)
        self.position += n

    def pieces(self, offset: int, size: int) -> Iterator[bytes]:
        """The bytes of a member, whatever the position is meanwhile."""
        while size:
            piece = os.pread(self._handle, min(size, PIECE), offset)
            if not piece:
                raise TarError("became shorter while it was read")
            yield piece
            offset += len(piece)
            size -= len(piece)

    def drain(self) -> None:
        """Nothing follows that a checksum would cover."""


class Gunzip:
    """A gzipped tar, unpacked as it is read; every member of the gzip is checked against its CRC."""

    def __init__(self, path: Path) -> None:
        self._file = path.open("rb", buffering=0)
        self._gzip = zlib.decompressobj(31)
        self._packed = b""
        self._ready, self._at = b"", 0
        self._ended = False
        self.position = 0

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._file.close()

    def _more(self) -> bytes:
        """Some unpacked bytes, at most a piece; none at the end."""
        while not self._ended:
            if not self._packed:
                self._packed = self._file.read(PIECE)
            if self._gzip.eof:
                self._packed = self._packed.lstrip(b"\0")
                if not self._packed:
                    if self._file.tell() == os.fstat(self._file.fileno()).st_size:
                        self._ended = True
                    continue
                self._gzip = zlib.decompressobj(31)
            if not self._packed:
                raise TarError("ends in the middle of its gzip: the download is not complete")
            try:
                data = self._gzip.decompress(self._packed, PIECE)
            except zlib.error as error:
                raise TarError(f"is broken ({error}): remove it, then run the same command again") from error
            self._packed = self._gzip.unused_data if self._gzip.eof else self._gzip.unconsumed_tail
            if data:
                return data
        return b""

    def read(self, n: int) -> bytes:
        """The next n bytes, or fewer at the end."""
        parts = []
        while n:
            if self._at == len(self._ready):
                self._ready, self._at = self._more(), 0
                if not self._ready:
                    break
            part = self._ready[self._at : self._at + n]
            parts.append(part)
            n -= len(part)
            self._at += len(part)
            self.position += len(part)
        return b"".join(parts)

    def stream(self, size: int) -> Iterator[bytes]:
        """The next `size` bytes, in pieces."""
        while size:
            piece = self.read(min(size, PIECE))
            if not piece:
                raise TarError("ends in the middle of a member: the download is not complete")
            yield piece
            size -= len(piece)

    def skip(self, n: int) -> None:
        for _ in self.stream(n):
            pass

    def drain(self) -> None:
        """Read what follows the tar, so that the last CRC is checked; only zeros may follow, and not many."""
        for _ in range(64):
            rest = self.read(PIECE)
            if not rest:
                return
            if any(rest):
                break
        raise TarError("goes on after its end")


def walk(source: Plain | Gunzip) -> Iterator[Entry]:
    """The members in order; before the next is asked for, the caller takes or skips `padded` bytes.

    Raises TarError for a damaged header and for a tar without its final block of zeros, as a cut one has.
    """
    name: str | None = None
    size: int | None = None
    shared: dict[str, str] = {}
    while True:
        block = source.read(BLOCK)
        if len(block) < BLOCK:
            raise TarError("ends without the mark that every tar ends with: the download is not complete")
        if not any(block):
            return
        try:
            header = tarfile.TarInfo.frombuf(block, "utf-8", "surrogateescape")
        except tarfile.HeaderError as error:
            raise TarError(f"has a damaged header at byte {source.position - BLOCK:,} ({error})") from error
        if header.size < 0:
            raise TarError(f"has a member of negative size at byte {source.position - BLOCK:,}")
        match header.type:
            case tarfile.GNUTYPE_LONGNAME:
                name = _text(_extra(source, header.size).split(b"\0", 1)[0])
                continue
            case tarfile.GNUTYPE_LONGLINK:
                _extra(source, header.size)
                continue
            case tarfile.XHDTYPE | tarfile.SOLARIS_XHDTYPE | tarfile.XGLTYPE:
                fields = _pax(_extra(source, header.size))
                if header.type == tarfile.XGLTYPE:
                    shared |= fields
                    continue
                if any(key.startswith("GNU.sparse") for key in fields):
                    raise TarError("has a sparse member: refused")
                name = fields.get("path", name)
                size = _size(fields["size"]) if "size" in fields else size
                continue
        kind = _KINDS.get(header.type, "sparse or unknown member")
        if kind == "file" and header.type == tarfile.AREGTYPE and header.name.endswith("/"):
            kind = "folder"
        length = size if size is not None else header.size
        yield Entry(
            name=name if name is not None else shared.get("path", _text(_bytes(header.name))),
            kind=kind,
            # Links and devices carry no bytes, whatever their size field says.
            size=length if kind in ("file", "sparse or unknown member") else 0,
            offset=source.position,
        )
        name = size = None


def _extra(source: Plain | Gunzip, size: int) -> bytes:
    """The body of a header that describes the next one."""
    if size > LONGEST_HEADER:
        raise TarError(f"has a header of {size:,} bytes: refused")
    body = source.read(size)
    if len(body) < size:
        raise TarError("ends in the middle of a header: the download is not complete")
    source.skip(-size % BLOCK)
    return body


def _pax(body: bytes) -> dict[str, str]:
    """The records of a pax header, each 'length key=value' with a line break."""
    fields: dict[str, str] = {}
    while body.rstrip(b"\0"):
        digits, space, _ = body.partition(b" ")
        if not space or not digits.isdigit() or len(digits) > 8:
            raise TarError("has a damaged pax header")
        length = int(digits)
        record, body = body[len(digits) + 1 : length], body[length:]
        key, equals, value = record.partition(b"=")
        if length <= len(digits) + 1 or not equals or not value.endswith(b"\n"):
            raise TarError("has a damaged pax header")
        fields[_text(key)] = _text(value[:-1])
    return fields


def _size(text: str) -> int:
    if not (text.isascii() and text.isdigit() and len(text) < 20):
        raise TarError(f"has a member of size '{text[:40]}'")
    return int(text)


def _bytes(name: str) -> bytes:
    return name.encode("utf-8", "surrogateescape")


def _text(name: bytes) -> str:
    """UTF-8, else Latin-1: some names are older than UTF-8, and every name must fit into JSON."""
    try:
        return name.decode("utf-8")
    except UnicodeDecodeError:
        return name.decode("latin-1")
