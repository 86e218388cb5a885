"""The elements of a MATLAB 5 file, walked as scipy walks them and checked where scipy trusts them.

A damaged or hostile file makes `scipy.io.loadmat` read outside its arrays, which ends the process (seen with scipy
1.17): numbers of a type that does not exist, a sparse matrix whose indices do not fit it. So a ground truth is looked
through first and may hold nothing sparse, and a matrix of descriptors is read here. "MAT-File Format" of MathWorks,
1-9 to 1-22.
"""

from __future__ import annotations

import math
import os
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

MATRIX, COMPRESSED = 14, 15
CELL, STRUCT, OBJECT, CHAR, SPARSE, DOUBLE, SINGLE, FUNCTION, OPAQUE = 1, 2, 3, 4, 5, 6, 7, 16, 17
NUMBERS = {1: "i1", 2: "u1", 3: "i2", 4: "u2", 5: "i4", 6: "u4", 7: "f4", 9: "f8", 12: "i8", 13: "u8"}
# What texts are stored as besides: UTF-8, UTF-16, UTF-32.
LETTERS = (16, 17, 18)
DEEPEST = 32
# Holds the header of any matrix: flags, dimensions, a name of at most 63 letters.
_HEAD = 4096

Order = Literal["little", "big"]


@dataclass
class Cursor:
    """A place in the bytes of a matrix."""

    data: bytes
    order: Order
    at: int = 0

    def take(self, count: int) -> bytes:
        piece = self.data[self.at : self.at + count]
        if len(piece) < count:
            raise ValueError("it ends too early")
        self.at += count
        return piece

    def number(self) -> int:
        return int.from_bytes(self.take(4), self.order)

    def element(self) -> tuple[int, bytes]:
        """Type and content of the next element; short ones lie within their tag, the others end at a multiple of 8."""
        word = self.number()
        if word >> 16:
            return word & 0xFFFF, self.take(4)[: word >> 16]
        size = self.number()
        content = self.take(size)
        self.at = min(len(self.data), self.at + -size % 8)
        return word, content

    def numbers(self) -> NDArray[Any]:
        kind, content = self.element()
        if kind not in NUMBERS:
            raise ValueError(f"numbers of the type {kind}")
        return np.frombuffer(
            content, np.dtype(NUMBERS[kind]).newbyteorder("<" if self.order == "little" else ">")
        )


@dataclass(frozen=True, kw_only=True)
class Header:
    """What a matrix says of itself first."""

    kind: int
    complex_: bool
    shape: tuple[int, ...]
    name: str


def header(cursor: Cursor) -> Header:
    cursor.take(8)
    flags = cursor.number()
    cursor.take(4)
    kind, complex_ = flags & 0xFF, bool(flags >> 11 & 1)
    if kind == OPAQUE:
        return Header(kind=kind, complex_=complex_, shape=(), name="")
    shape = tuple(int(n) for n in cursor.numbers())
    return Header(kind=kind, complex_=complex_, shape=shape, name=cursor.element()[1].decode("latin1"))


def require_sound(path: Path, *, largest: int) -> None:
    """Raise `ValueError` for a file with a matrix that scipy cannot be given, also within cells and structs.

    In the older format of MATLAB 4, which begins with small numbers, scipy checks all of this.
    """
    with path.open("rb") as file:
        if 0 in file.read(4):
            return
    for raw, order, compressed in _variables(path):
        content = _unpacked(raw, largest) if compressed else raw
        if compressed:
            content = Cursor(content, order).element()[1]
        _require_sound(Cursor(content, order), depth=0)


def _require_sound(cursor: Cursor, *, depth: int) -> None:
    if depth > DEEPEST:
        raise ValueError(f"cells inside cells, more than {DEEPEST} deep")
    about = header(cursor)
    inner = 0
    if about.kind == SPARSE:
        raise ValueError("a sparse matrix, which no ground truth holds")
    if about.kind == OPAQUE:
        for _ in range(3):
            cursor.element()
        inner = 1
    elif about.kind == FUNCTION:
        inner = 1
    elif about.kind == CELL:
        inner = math.prod(about.shape)
    elif about.kind in (STRUCT, OBJECT):
        if about.kind == OBJECT:
            cursor.element()
        length = int(cursor.numbers()[0])
        inner = math.prod(about.shape) * (len(cursor.element()[1]) // max(1, length))
    else:
        known = {*NUMBERS, *LETTERS} if about.kind == CHAR else NUMBERS.keys()
        for _ in range(1 + (about.complex_ and about.kind != CHAR)):
            kind, _content = cursor.element()
            if kind not in known:
                raise ValueError(f"numbers of the type {kind}")
    for _ in range(inner):
        kind, size = cursor.number(), cursor.number()
        if kind != MATRIX:
            raise ValueError(f"an element of the type {kind} where a matrix belongs")
        if size:
            _require_sound(cursor, depth=depth + 1)


def read_matrix(path: Path, name: str, *, largest: int) -> NDArray[Any]:
    """The full or sparse matrix of a name, of single or double; a sparse one takes at most `largest` bytes filled."""
    for raw, order, compressed in _variables(path):
        start = zlib.decompressobj().decompress(raw, _HEAD)[8:] if compressed else raw[:_HEAD]
        about = header(Cursor(start, order))
        if about.name != name or about.kind not in (SPARSE, SINGLE, DOUBLE):
            continue
        if about.complex_ or len(about.shape) != 2 or min(about.shape) < 0:
            raise ValueError(
                f"'{name}' is an array {about.shape} of complex numbers or of more than two axes"
            )
        # Of a sparse matrix no element has more numbers than the full one.
        most = 3 * 8 * (math.prod(about.shape) + about.shape[1]) + _HEAD
        whole = Cursor(_unpacked(raw, most)[8:] if compressed else raw, order)
        return (_filled if about.kind == SPARSE else _full)(header(whole), whole, largest)
    raise KeyError(name)


def _full(about: Header, cursor: Cursor, _largest: int) -> NDArray[Any]:
    """Whole numbers are stored in fewer bytes than the type of the matrix has, where they fit."""
    numbers = cursor.numbers()
    if len(numbers) != math.prod(about.shape):
        raise ValueError(f"{len(numbers):,} numbers for a matrix {about.shape}")
    wide = numbers.astype(np.float64 if about.kind == DOUBLE else np.float32)
    return wide.reshape(about.shape, order="F")


def _filled(about: Header, cursor: Cursor, largest: int) -> NDArray[Any]:
    size = math.prod(about.shape) * 8
    if size > largest:
        raise ValueError(f"a sparse matrix {about.shape} that takes {size:,} bytes when filled")
    rows, starts, values = (cursor.numbers() for _ in range(3))
    starts = starts[: about.shape[1] + 1].astype(np.int64)
    if len(starts) != about.shape[1] + 1 or starts[0] != 0 or (np.diff(starts) < 0).any():
        raise ValueError("a sparse matrix whose columns do not follow each other")
    count = int(starts[-1])
    rows, values = rows[:count].astype(np.int64), values[:count]
    if not len(rows) == len(values) == count or (
        count and not 0 <= rows.min() <= rows.max() < about.shape[0]
    ):
        raise ValueError("a sparse matrix whose indices do not fit it")
    filled = np.zeros(about.shape)
    filled[rows, np.repeat(np.arange(about.shape[1]), np.diff(starts))] = values
    return filled


def _variables(path: Path) -> Iterator[tuple[bytes, Order, bool]]:
    """Content of every top-level element, its byte order, and whether it is compressed."""
    with path.open("rb") as file:
        end = file.seek(0, os.SEEK_END)
        file.seek(126)
        order: Order = "big" if file.read(2) == b"MI" else "little"
        while len(tag := file.read(8)) == 8:
            kind, size = int.from_bytes(tag[:4], order), int.from_bytes(tag[4:], order)
            if kind not in (MATRIX, COMPRESSED) or file.tell() + size > end:
                raise ValueError(f"an element of the type {kind} and of {size:,} bytes")
            yield file.read(size), order, kind == COMPRESSED


def _unpacked(raw: bytes, largest: int) -> bytes:
    machine = zlib.decompressobj()
    content = machine.decompress(raw, largest)
    if machine.unconsumed_tail:
        raise ValueError(f"it unpacks to more than {largest:,} bytes")
    return content
