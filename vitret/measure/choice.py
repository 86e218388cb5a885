"""Which array of a file with several is meant, and what the others are called in words."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vitret.core.errors import DataError, did_you_mean, listed, shortened

# Names under which a role's array usually lies in a file of several; X and Q are the published features of revisitop.
USUAL = {
    "queries": ("queries", "query", "Q", "qvecs"),
    "database": ("database", "X", "vecs", "db"),
    "distractors": ("distractors", "X", "vecs"),
    "ranking": ("ranks", "ranking", "indices"),
}


@dataclass(frozen=True, kw_only=True, eq=False)
class Wanted:
    """The array of a `role`: the one called `name`, where that is said.

    `images` (n,) S are the names of the list in its order, for files that hold one array for each image.
    """

    role: str
    name: str | None = None
    images: NDArray[np.bytes_] | None = None


@dataclass(frozen=True, kw_only=True)
class Held:
    """An array that a file holds: its shape, and in words why it cannot be descriptors, if so."""

    shape: tuple[int, ...]
    instead: str = ""

    def __str__(self) -> str:
        return f"{self.shape} of {self.instead}" if self.instead else str(self.shape)


def held(shape: Sequence[int], dtype: np.dtype[Any]) -> Held:
    """An array by its shape and type.

    >>> str(held((2, 3), np.dtype("O"))), str(held((2,), np.dtype("S4"))), str(held((2, 3), np.dtype("f2")))
    ('(2, 3) of objects', '(2,) of texts', '(2, 3)')
    """
    words = {"f": "", "O": "objects", "S": "texts", "U": "texts", "V": "records"}
    return Held(shape=tuple(int(n) for n in shape), instead=words.get(dtype.kind, str(dtype)))


def choose(path: Path, there: Mapping[str, Held], wanted: Wanted) -> str:
    """The named array, the only one of two axes, or the one with a usual name; another raises `DataError`."""
    if wanted.role == "ranking":
        there = {key: _of_indices(one) for key, one in there.items()}
    name = wanted.name
    if name is not None:
        if name not in there:
            raise DataError(f"{path}: has no array '{shortened(name)}'. {did_you_mean(name, there)}")
        if there[name].instead:
            raise DataError(f"{path}: '{name}' holds {there[name].instead}. {_advice(path)}")
        return name
    numbers = [key for key, one in there.items() if not one.instead]
    tables = [key for key in numbers if len(there[key].shape) == 2] or numbers
    usual = [key for key in USUAL[wanted.role] if key in tables]
    inside = listed(f"{key} {one}" for key, one in there.items()) if there else "no arrays"
    if not tables:
        raise DataError(f"{path}: holds no matrix of descriptors; it has {inside}. {_advice(path)}")
    if len(tables) != 1 and not usual:
        raise DataError(f"{path}: which array holds the {wanted.role}? It has {inside}. Say {path}:NAME.")
    return usual[0] if usual else tables[0]


def _of_indices(one: Held) -> Held:
    """Where indices are wanted, whole numbers are no reason to refuse an array."""
    return replace(one, instead="") if one.instead.startswith(("int", "uint")) else one


def _advice(path: Path) -> str:
    if path.suffix.lower() == ".mat":
        return "Descriptors are one full matrix of single or double: save that, in MATLAB save('f.mat', 'X')."
    return "Descriptors are one array (n, D) of float16, float32 or float64; objects are never unpickled."
