"""Bare descriptors of any framework: .npy, .npz, .h5, .mat, .safetensors, .pt, checked and made of length one.

What is found is not trusted: number of rows, orientation, finite values, zero rows and lengths are looked at before
anything is measured. Nothing is unpickled.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vitret.core.errors import DataError
from vitret.core.shares import WHOLE, Share
from vitret.measure.choice import Wanted
from vitret.measure.containers import load
from vitret.measure.narrow import norms
from vitret.measure.scoring import BLOCK
from vitret.measure.threads import each, thread_count

# A float16 row of length one is off by up to 5e-4; a row beyond this was never normalised.
UNIT = 2e-3
_SOME = 512  # rows that are looked at together, while they are in the cache


@dataclass(frozen=True, kw_only=True, eq=False)
class Stored:
    """Unit rows (n, D), float32 or float16, memory-mapped where the file allows it; and what was done to them."""

    rows: NDArray[Any]
    notes: tuple[str, ...]


def read_rows(
    spec: str,
    *,
    role: str,
    count: int | None = None,
    dim: int | None = None,
    images: NDArray[np.bytes_] | None = None,
    share: Share | None = None,
) -> Stored:
    """The descriptors in FILE or FILE:NAME, for the role "queries", "database" or "distractors".

    `count` is how many images the list has, `images` (n,) S their names, for files that keep one array for each image;
    `dim` the D of what they are compared with, where known. A .mat array may
    stand D×N, as MATLAB code writes it, and is turned by `count` or `dim`. Rows that are not of length one are
    normalised, into memory; one of several machines, with its `share`, looks at its part and refuses them.
    Raises `DataError` for what cannot be descriptors of that list, `UserError` for an unknown kind of file.
    """
    path, name = split_spec(spec)
    array = load(path, Wanted(role=role, name=name, images=images))
    notes: list[str] = []
    if array.ndim != 2:
        raise DataError(f"{path}: {role} have shape {array.shape}; descriptors are (n, D), one row an image.")
    if array.dtype.kind != "f":
        raise DataError(f"{path}: {role} are {array.dtype}; descriptors are float16, float32 or float64.")
    array = _turned(path, array, role, count, dim, notes)
    rows = _unit(path, array, role, notes) if share is None else _unit_share(path, array, role, share)
    if rows.dtype not in (np.dtype(np.float16), np.dtype(np.float32)):
        rows = rows.astype(np.float32)
        notes.append(f"{path}: read as float32.")
    return Stored(rows=rows, notes=tuple(notes))


def split_spec(spec: str) -> tuple[Path, str | None]:
    """FILE or FILE:NAME as a file and the name of an array; raises `DataError` where there is no such file."""
    path = Path(spec)
    if path.is_file():
        return path, None
    stem, colon, name = spec.rpartition(":")
    if colon and Path(stem).is_file():
        return Path(stem), name
    raise DataError(f"{spec}: no such file. Give FILE, or FILE:NAME for one array of several.")


def _turned(
    path: Path, array: NDArray[Any], role: str, count: int | None, dim: int | None, notes: list[str]
) -> NDArray[Any]:
    """The array with one row an image, as the list's length (or the other side's D) says."""
    upright = array.shape[0] == count if count is not None else dim is None or array.shape[1] == dim
    lying = array.shape[1] == count if count is not None else array.shape[0] == dim
    if upright:
        if lying and _is_mat(path):
            notes.append(f"{path}: {role} are square, {array.shape}; taken as one row an image.")
        return array
    if lying and _is_mat(path):
        notes.append(f"{path}: {role} stand D×N, {array.shape}; turned.")
        return np.ascontiguousarray(array.T)
    if lying:
        raise DataError(
            f"{path}: {role} have shape {array.shape}, which is D×N; descriptors are one row an image. Save them "
            "transposed (array.T)."
        )
    if count is not None:
        raise DataError(
            f"{path}: {role} have shape {array.shape}, but the list has {count} images. Were they extracted from this "
            "list, in its order?"
        )
    raise DataError(
        f"{path}: {role} have {array.shape[1]} dimensions, the others {dim}. Extract both with one model."
    )


def _is_mat(path: Path) -> bool:
    return path.suffix.lower() == ".mat"


def _unit(path: Path, array: NDArray[Any], role: str, notes: list[str]) -> NDArray[Any]:
    """The rows checked and, where any is not of length one, all normalised."""
    if _clearly_unit(array):
        return array
    norms = np.empty(len(array), dtype=np.float64)
    for start in range(0, len(array), BLOCK):
        norms[start : start + BLOCK] = _lengths(np.asarray(array[start : start + BLOCK], dtype=np.float64))
    for wrong, what in ((~np.isfinite(norms), "hold NaN or infinity"), (norms == 0, "are all zeros")):
        if wrong.any():
            first = ", ".join(str(row) for row in np.flatnonzero(wrong)[:5])
            raise DataError(
                f"{path}: {int(wrong.sum())} of {len(array)} rows of the {role} {what} (first: {first}). Extract those "
                "images again."
            )
    if not len(array) or np.abs(norms - 1).max() <= UNIT:
        return array
    notes.append(f"{path}: {role} have lengths {norms.min():.3g} to {norms.max():.3g}; normalised to one.")
    unit = np.empty(array.shape, dtype=np.float32)
    for start in range(0, len(array), BLOCK):
        some = slice(start, start + BLOCK)
        unit[some] = np.asarray(array[some], dtype=np.float64) / norms[some, None]
    return unit


def _unit_share(path: Path, array: NDArray[Any], role: str, share: Share) -> NDArray[Any]:
    """The rows, those of a share checked; the rows of all machines must be the same, so none is changed."""
    if _clearly_unit(array, share):
        return array
    raise DataError(
        f"{path}: rows of the {role} are not of length one, and machines that share a search change none. Save them "
        "divided by their lengths."
    )


def _clearly_unit(array: NDArray[Any], share: Share = WHOLE) -> bool:
    """Whether all rows of a share are of length one as far as float32 tells: usual, and many times faster to see."""
    doubts: list[int] = []

    def look(start: int) -> None:
        if not (np.abs(norms(array[start : start + _SOME]) - 1) <= UNIT - 1e-4).all():
            doubts.append(start)

    each(look, range(share.index * _SOME, len(array), share.of * _SOME), threads=thread_count())
    return not doubts


def _lengths(wide: NDArray[np.float64]) -> NDArray[np.float64]:
    """Euclidean lengths of rows (n, D), also where the squares of their numbers are beyond float64."""
    with np.errstate(over="ignore", under="ignore", invalid="ignore"):
        lengths: NDArray[np.float64] = np.sqrt(np.einsum("nd,nd->n", wide, wide))
        far = ~np.isfinite(lengths) | (lengths < 1e-150)
        if far.any() and wide.shape[1]:
            largest = np.abs(wide[far]).max(axis=1)
            usable = np.isfinite(largest) & (largest > 0)
            scaled = wide[far] / np.where(usable, largest, 1)[:, None]
            lengths[far] = np.where(usable, largest * np.sqrt(np.einsum("nd,nd->n", scaled, scaled)), largest)
    return lengths
