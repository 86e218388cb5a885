"""Arrays of a .npz file, a zip of .npy files (NEP 1), without unpickling, and never larger than what is stored.

numpy makes room for whatever a header announces before it reads: a damaged file of a kilobyte can ask for terabytes.
"""

import lzma
import math
import tokenize
import zipfile
import zlib
from pathlib import Path
from typing import IO, Any

import numpy as np
from numpy.typing import NDArray

# What numpy and zipfile raise on damaged bytes, found by feeding them thousands of files.
DAMAGE = (
    ValueError,
    TypeError,
    LookupError,
    ArithmeticError,
    AttributeError,
    NotImplementedError,
    RuntimeError,
    SyntaxError,
    OSError,
    EOFError,
    MemoryError,
    tokenize.TokenError,
    zipfile.BadZipFile,
    zlib.error,
    lzma.LZMAError,
)
# The most that deflate makes of a byte.
DENSEST = 1032
_PIECE = 1 << 20

Header = tuple[tuple[int, ...], bool, np.dtype[Any]]


def npz_headers(path: Path) -> dict[str, tuple[tuple[int, ...], np.dtype[Any]]]:
    """Shape and type of each array; a damaged file raises one of `DAMAGE`."""
    found = {}
    with zipfile.ZipFile(path) as archive:
        for name, info in _members(archive).items():
            with archive.open(info) as stream:
                shape, _, dtype = _header(stream)
            found[name] = (shape, dtype)
    return found


def npz_array(path: Path, name: str) -> NDArray[Any]:
    """One array, which may not hold objects; a damaged file raises one of `DAMAGE`, `KeyError` among them."""
    with zipfile.ZipFile(path) as archive:
        return _array(archive, _members(archive)[name])


def npz_arrays(path: Path) -> dict[str, NDArray[Any]]:
    """All arrays, as `npz_array` reads each."""
    with zipfile.ZipFile(path) as archive:
        return {name: _array(archive, info) for name, info in _members(archive).items()}


def _members(archive: zipfile.ZipFile) -> dict[str, zipfile.ZipInfo]:
    arrays = (info for info in archive.infolist() if info.filename.endswith(".npy"))
    return {info.filename.removesuffix(".npy"): info for info in arrays}


def _header(stream: IO[bytes]) -> Header:
    """Shape, whether columns come first, and type."""
    version = np.lib.format.read_magic(stream)
    if version not in ((1, 0), (2, 0)):  # version 3 is for the names of records alone
        raise ValueError(f"an array of version {version}")
    read = np.lib.format.read_array_header_1_0 if version == (1, 0) else np.lib.format.read_array_header_2_0
    shape, columns_first, dtype = read(stream)
    return tuple(int(n) for n in shape), bool(columns_first), dtype


def _array(archive: zipfile.ZipFile, info: zipfile.ZipInfo) -> NDArray[Any]:
    with archive.open(info) as stream:
        shape, columns_first, dtype = _header(stream)
        if dtype.hasobject:
            raise ValueError("an array of objects, which are never unpickled")
        size = math.prod(shape) * dtype.itemsize
        if min(shape, default=0) < 0 or stream.tell() + size != info.file_size:
            raise ValueError(f"{size:,} bytes announced, {info.file_size - stream.tell():,} there")
        if info.file_size > DENSEST * info.compress_size:
            raise ValueError(f"{info.file_size:,} bytes announced, {info.compress_size:,} stored")
        raw = np.empty(size, np.uint8)
        for start in range(0, size, _PIECE):
            piece = stream.read(min(_PIECE, size - start))
            if len(piece) < min(_PIECE, size - start):
                raise EOFError("it ends too early")
            raw[start : start + len(piece)] = np.frombuffer(piece, np.uint8)
        if stream.read(1):  # which also has the checksum compared
            raise ValueError("more bytes than announced")
    return raw.view(dtype).reshape(shape, order="F" if columns_first else "C")
