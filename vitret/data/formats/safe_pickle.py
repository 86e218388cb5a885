"""Reads a pickle of plain data and nothing else: no class, no function, no call can be named in it.

A pickle is a program for a small machine. Its instructions are looked through first and only those that make numbers,
texts, lists, tuples, dicts and sets may be there, so a hostile file is refused before one of them runs. The official
revisited ground truth needs no other (`pickletools` of Python names the instructions; PEP 307, PEP 3154).
"""

import io
import pickle
import pickletools
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from vitret.core.disguise import require_content
from vitret.core.errors import DataError, said
from vitret.core.store import read_bytes
from vitret.data.formats import pickled_arrays

# The largest official ground truth has 0.3 MB.
LARGEST = 256 << 20
DEEPEST = 32
PLAIN = frozenset(
    """
    PROTO FRAME STOP MARK POP POP_MARK DUP NONE NEWTRUE NEWFALSE GET BINGET LONG_BINGET PUT BINPUT LONG_BINPUT MEMOIZE
    INT BININT BININT1 BININT2 LONG LONG1 LONG4 FLOAT BINFLOAT BINBYTES SHORT_BINBYTES BINBYTES8
    STRING BINSTRING SHORT_BINSTRING UNICODE SHORT_BINUNICODE BINUNICODE BINUNICODE8
    EMPTY_LIST LIST APPEND APPENDS EMPTY_TUPLE TUPLE TUPLE1 TUPLE2 TUPLE3
    EMPTY_DICT DICT SETITEM SETITEMS EMPTY_SET ADDITEMS FROZENSET
    """.split()  # noqa: SIM905 -- sixty lines of one word each read worse
)
# What an array of numbers takes besides; the names it may call are those of `pickled_arrays`.
ARRAYS = PLAIN | {"GLOBAL", "STACK_GLOBAL", "REDUCE", "BUILD", "BYTEARRAY8"}
CONTAINERS = (dict, list, tuple, set, frozenset)
VALUES = (
    *CONTAINERS,
    range,
    bytes,
    int,
    float,
    bool,
    type(None),
    np.generic,
    np.ndarray,
    pickled_arrays.Array,
)
# What a damaged stream makes the machine raise: Python documents UnpicklingError "and others, not limited to" these.
DAMAGE = (
    pickle.UnpicklingError,
    ValueError,
    TypeError,
    KeyError,
    IndexError,
    AttributeError,
    EOFError,
    MemoryError,
    OverflowError,
)


class _Unpickler(pickle.Unpickler):
    """Knows the names it is given, and no other."""

    def __init__(self, data: bytes, names: Mapping[tuple[str, str], Any]) -> None:
        super().__init__(io.BytesIO(data), encoding="utf-8")
        self._names = names

    def find_class(self, module: str, name: str) -> Any:
        if (module, name) not in self._names:
            raise pickle.UnpicklingError(f"it names {module}.{name}")
        return self._names[module, name]


def load_plain(path: Path, *, arrays: bool = False) -> Any:
    """The plain value in a pickle; anything else in it, damage, or excess raises `DataError` before it does harm.

    `arrays` also lets in numpy arrays of numbers, texts and plain values, sets, ranges, and dicts of `collections`,
    which the files of other projects may hold; bytes stay bytes. At most `LARGEST` bytes, `DEEPEST` lists inside
    lists, and no more values than bytes: a small file cannot stand for a huge value by naming one list many times.
    """
    require_content(path)
    if path.stat().st_size > LARGEST:
        raise DataError(f"{path}: refused: larger than {LARGEST >> 20} MiB, no ground truth is.")
    data = read_bytes(path)
    try:
        _look_through(data, ARRAYS if arrays else PLAIN)
        value = _Unpickler(data, pickled_arrays.calls(len(data)) if arrays else {}).load()
        _measure(value, len(data))
        return _finished(value) if arrays else value
    except DAMAGE as error:
        raise DataError(
            f"{path}: refused as a pickle of plain data ({said(error)}). Use the official file, or the same content "
            "as JSON."
        ) from error


def _look_through(data: bytes, allowed: frozenset[str]) -> None:
    for opcode, argument, position in pickletools.genops(data):
        if opcode.name not in allowed:
            raise pickle.UnpicklingError(f"instruction {opcode.name} at byte {position}, {argument!r:.60}")
        # The machine would make room for this many entries at once.
        if "PUT" in opcode.name and int(argument or 0) > len(data):
            raise pickle.UnpicklingError(f"entry {argument} at byte {position} lies beyond the file")


def _measure(value: Any, most: int) -> None:
    seen = 1
    level = [value]
    for _ in range(DEEPEST):
        level = [_opened(inner) for inner in level]
        containers = [outer for outer in level if isinstance(outer, CONTAINERS)]
        for inner in level:
            if isinstance(inner, str):
                inner.encode()  # Half a surrogate pair is no text: no file could be named by it, nor a table hold it.
            elif not isinstance(inner, VALUES):
                raise pickle.UnpicklingError(f"a value of the type {type(inner).__name__}")
        seen += sum(2 * len(outer) if isinstance(outer, dict) else len(outer) for outer in containers)
        if seen > most:
            raise pickle.UnpicklingError("more values than bytes: it holds itself or one list many times")
        level = [inner for outer in containers for inner in _inside(outer)]
        if not level:
            return
    raise pickle.UnpicklingError(f"lists inside lists, more than {DEEPEST} deep")


def _opened(value: Any) -> Any:
    """The list that an array of objects is."""
    if isinstance(value, pickled_arrays.Array) and isinstance(value.value, list):
        return value.value
    return value


def _inside(value: Any) -> list[Any]:
    return [*value.keys(), *value.values()] if isinstance(value, dict) else list(value)


def _finished(value: Any) -> Any:
    """The same value with its arrays in their places."""
    if isinstance(value, pickled_arrays.Array):
        if value.value is None:
            raise pickle.UnpicklingError("an array without its bytes")
        return _finished(value.value)
    if isinstance(value, dict):
        return {key: _finished(inner) for key, inner in value.items()}
    if isinstance(value, list | tuple):
        return type(value)(map(_finished, value))
    return value
