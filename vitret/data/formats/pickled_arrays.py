"""Arrays, scalars and simple containers in a pickle, made without the code that it names, which trusts its file.

numpy writes an array as calls: make an empty array, make a data type, give the type its byte order, give the array its
shape, type and bytes (`ndarray.__reduce__`); from protocol 5 on one call does the last step. A data type may be given
fields, an array a foreign buffer: a file of 300 bytes can so have memory read that is not its own. Here each
call is one of ours: a type is a number or a text, and an array is exactly as long as its bytes. An array of objects of
one axis becomes the list that it holds; sets, ranges and the dicts of `collections` become plain ones.
"""

import math
import pickle
import re
from collections.abc import Callable
from typing import Any, NoReturn

import numpy as np
from numpy.typing import NDArray

# Not b: sums and masks of truth values rely on their bytes being 0 or 1. Not O and V, whose bytes are addresses.
TYPES = re.compile(r"[<>|=]?(?:[iuf](?:1|2|4|8|16)|[SU][1-9][0-9]{0,8})")
BYTE_ORDERS = frozenset("<>|=")
# numpy's own limit was 32 before version 2.
DIMENSIONS = 32
# No list of images is longer, and a range of any length would be a few bytes.
LONGEST_RANGE = 1 << 31
LAST_LETTER = 0x10FFFF


class Call:
    """A name that a pickle may call, and do nothing else to: instruction BUILD would change a plain function."""

    __slots__ = ("_function",)

    def __init__(self, function: Callable[..., Any]) -> None:
        self._function = function

    def __call__(self, *arguments: Any) -> Any:
        return self._function(*arguments)

    def __setstate__(self, state: Any) -> None:
        raise pickle.UnpicklingError("it changes a name instead of calling it")


class DataType:
    """A data type as a pickle makes it: first its name, then its byte order."""

    __slots__ = ("dtype", "of_objects")

    def __init__(self, name: Any, *_: Any) -> None:
        self.of_objects = name in ("O", "O4", "O8")
        if self.of_objects:
            self.dtype = np.dtype(np.object_)
            return
        if not isinstance(name, str) or not TYPES.fullmatch(name):
            raise pickle.UnpicklingError(f"an array of the type {name!r:.40}, not of numbers or texts")
        self.dtype = np.dtype(name)

    def __setstate__(self, state: Any) -> None:
        _, order, base, names, fields, size, *_ = state
        if (base, names, fields) != (None, None, None) or size not in (-1, self.dtype.itemsize):
            raise pickle.UnpicklingError("an array of records, not of numbers or texts")
        if not isinstance(order, str) or order not in BYTE_ORDERS:
            raise pickle.UnpicklingError(f"a byte order {order!r:.40}")
        if self.of_objects:
            return
        self.dtype = np.dtype(order + self.dtype.str[1:])


class Array:
    """An array between the two calls that make it; `value` is there after the second, a list where it is of objects."""

    __slots__ = ("value",)
    __hash__ = None  # type: ignore[assignment]  # never a key, so that it is found and put in its place

    def __init__(self, *_: Any) -> None:
        self.value: NDArray[Any] | list[Any] | None = None

    def __setstate__(self, state: Any) -> None:
        _, shape, kind, fortran, raw = state
        if isinstance(kind, DataType) and kind.of_objects:
            self.value = objects_of(raw, shape)
            return
        self.value = array_of(raw, kind, shape, "F" if fortran else "C")


def array_of(raw: Any, kind: Any, shape: Any, order: Any, axes: Any = None) -> NDArray[Any]:
    """The array that these bytes are, read-only; any other number of bytes than shape and type need is refused.

    Order K with `axes` is numpy's for arrays that are contiguous with their axes in another order.
    """
    if not isinstance(kind, DataType) or kind.of_objects or not isinstance(raw, bytes):
        raise pickle.UnpicklingError("an array of objects, not of numbers or texts")
    if not isinstance(shape, tuple) or len(shape) > DIMENSIONS or not all(map(_is_length, shape)):
        raise pickle.UnpicklingError(f"an array of the shape {shape!r:.60}")
    if math.prod(shape) * kind.dtype.itemsize != len(raw) or (not raw and shape[0] != 0):
        raise pickle.UnpicklingError(f"{len(raw)} bytes for an array of the shape {shape!r:.60}")
    flat = np.frombuffer(raw, kind.dtype)
    if kind.dtype.kind == "U" and flat.size:
        letters = np.frombuffer(raw, np.dtype(np.uint32).newbyteorder(kind.dtype.byteorder))
        if letters.max() > LAST_LETTER or ((letters >= 0xD800) & (letters < 0xE000)).any():
            raise pickle.UnpicklingError("a text with letters that do not exist")
    if axes is None:
        return flat.reshape(shape, order="F" if order == "F" else "C")
    return flat.reshape(shape).transpose(axes)


def objects_of(items: Any, shape: Any) -> list[Any]:
    """The list that an array of objects holds; only one axis, as long as the list."""
    if not isinstance(items, list) or shape != (len(items),):
        raise pickle.UnpicklingError(f"an array of objects of the shape {shape!r:.60}")
    return items


def range_of(*bounds: Any) -> range:
    """The range of these whole numbers, which takes no room however long it is."""
    if not 1 <= len(bounds) <= 3 or not all(type(n) is int and abs(n) <= LONGEST_RANGE for n in bounds):
        raise pickle.UnpicklingError(f"a range of {bounds!r:.60}")
    return range(*bounds)


def _is_length(n: Any) -> bool:
    return type(n) is int and 0 <= n < 1 << 40


def _no_call(*_: Any) -> NoReturn:
    raise pickle.UnpicklingError("a call of a type")


class _Spending:
    """What the calls of one pickle make, which together takes at most `left` bytes."""

    def __init__(self, left: int) -> None:
        self._left = left

    def _spend(self, data: Any) -> Any:
        self._left -= len(data)
        if self._left < 0:
            raise pickle.UnpicklingError("arrays of more bytes than the file has")
        return data

    def from_buffer(self, raw: Any, *how: Any) -> NDArray[Any]:
        return array_of(bytes(self._spend(raw)), *how)

    def scalar(self, kind: Any, raw: Any) -> Any:
        return array_of(self._spend(raw), kind, (1,), "C")[0]

    def encode(self, text: Any, _: Any) -> bytes:
        return bytes(self._spend(text).encode("latin1"))

    def set_of(self, items: Any = ()) -> set[Any]:
        if not isinstance(items, list | tuple):
            raise pickle.UnpicklingError("a set of something else than a list")
        return set(self._spend(items))

    def dict_of(self, items: Any = ()) -> dict[Any, Any]:
        """An OrderedDict of Python 2 is called with its pairs, one of Python 3 is filled afterwards."""
        if not isinstance(items, list | tuple):
            raise pickle.UnpicklingError("a dict of something else than pairs")
        return dict(self._spend(items))


def _no_bytes() -> bytes:
    return b""


def _ndarray(*_: Any) -> NoReturn:
    raise pickle.UnpicklingError("an array laid over memory")


def calls(size: int) -> dict[tuple[str, str], Call]:
    """What to give a pickle for the names that arrays, scalars, sets, ranges and dicts are pickled with.

    numpy's modules have one name before version 2 and another since.

    All they make takes at most twice the `size` of the file: one long text named many times is refused. Twice, as a
    scalar of protocol 2 is a text, which is turned into bytes, which are turned into the scalar.
    """
    made = _Spending(2 * size)
    builtins: dict[str, Callable[..., Any]] = {
        "set": made.set_of,
        "frozenset": made.set_of,
        "range": range_of,
        "xrange": range_of,
        # What a defaultdict makes when a key is missing: named, and never called.
        **dict.fromkeys(("list", "dict", "int"), _no_call),
    }
    return {
        ("numpy", "ndarray"): Call(_ndarray),
        ("numpy", "dtype"): Call(DataType),
        # Bytes, as protocols before 3 write them; no bytes at all, as they write those.
        ("_codecs", "encode"): Call(made.encode),
        ("__builtin__", "bytes"): Call(_no_bytes),
        ("collections", "OrderedDict"): Call(made.dict_of),
        ("collections", "defaultdict"): Call(lambda _=None: {}),
        **{
            (module, name): Call(call)
            for module in ("builtins", "__builtin__")
            for name, call in builtins.items()
        },
        **{
            (f"numpy.{core}.{module}", name): Call(call)
            for core in ("core", "_core")
            for module, name, call in (
                ("multiarray", "_reconstruct", Array),
                ("multiarray", "scalar", made.scalar),
                ("numeric", "_frombuffer", made.from_buffer),
            )
        },
    }
