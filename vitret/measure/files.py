"""Bare descriptors of any framework: .npy, .npz, .h5, .mat, .safetensors, checked and made of length one.

What is found is not trusted: number of rows, orientation, finite values, zero rows and lengths are looked at before
anything is measured. Nothing is unpickled.
"""

from __future__ import annotations

import zipfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vitret.core.errors import DataError, UserError, did_you_mean
from vitret.measure.scoring import BLOCK

# Names under which a role's array usually lies in a file of several; X and Q are the published features of revisitop.
USUAL = {
    "queries": ("queries", "query", "Q", "qvecs"),
    "database": ("database", "X", "vecs", "db"),
    "distractors": ("distractors", "X", "vecs"),
}
# A float16 row of length one is off by up to 5e-4; a row beyond this was never normalised.
UNIT = 2e-3


@dataclass(frozen=True, kw_only=True, eq=False)
class Stored:
    """Unit rows (n, D), float32 or float16, memory-mapped where the file allows it; and what was done to them."""

    rows: NDArray[Any]
    notes: tuple[str, ...]


def read_rows(spec: str, *, role: str, count: int | None = None, dim: int | None = None) -> Stored:
    """The descriptors in FILE or FILE:NAME, for the role "queries", "database" or "distractors".

    `count` is how many images the list has, `dim` the D of what they are compared with, where known. A .mat array may
    stand D×N, as MATLAB code writes it, and is turned by `count` or `dim`. Rows that are not of length one are
    normalised, into memory. Raises `DataError` for what cannot be descriptors of that list, `UserError` for an unknown
    kind of file.
    """
    path, name = _split(spec)
    array = _load(path, name, role)
    notes: list[str] = []
    if array.ndim != 2:
        raise DataError(f"{path}: {role} have shape {array.shape}; descriptors are (n, D), one row an image.")
    if array.dtype.kind != "f":
        raise DataError(f"{path}: {role} are {array.dtype}; descriptors are float16, float32 or float64.")
    array = _turned(path, array, role, count, dim, notes)
    if array.dtype not in (np.dtype(np.float16), np.dtype(np.float32)):
        array = array.astype(np.float32)
        notes.append(f"{path}: read as float32.")
    return Stored(rows=_unit(path, array, role, notes), notes=tuple(notes))


def _split(spec: str) -> tuple[Path, str | None]:
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
        if lying and path.suffix == ".mat":
            notes.append(f"{path}: {role} are square, {array.shape}; taken as one row an image.")
        return array
    if lying and path.suffix == ".mat":
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


def _unit(path: Path, array: NDArray[Any], role: str, notes: list[str]) -> NDArray[Any]:
    """The rows checked and, where any is not of length one, all normalised."""
    norms = np.empty(len(array), dtype=np.float64)
    for start in range(0, len(array), BLOCK):
        wide = np.asarray(array[start : start + BLOCK], dtype=np.float64)
        norms[start : start + BLOCK] = np.sqrt(np.einsum("nd,nd->n", wide, wide))
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


def _load(path: Path, name: str | None, role: str) -> NDArray[Any]:
    if path.suffix not in _LOADERS:
        raise UserError(f"{path}: unknown kind of file. {did_you_mean(path.suffix, _LOADERS)}")
    try:
        return _LOADERS[path.suffix](path, name, role)
    except (
        ValueError,
        OSError,
        EOFError,
        KeyError,
        TypeError,
        NotImplementedError,
        zipfile.BadZipFile,
    ) as error:
        raise DataError(f"{path}: not readable as {path.suffix} ({error}). Write the file again.") from error


def _choose(path: Path, shapes: Mapping[str, tuple[int, ...]], name: str | None, role: str) -> str:
    """Which array of a file is meant: the named one, the only one of two axes, or the one with a usual name."""
    if name is not None:
        if name not in shapes:
            raise DataError(f"{path}: has no array '{name}'. {did_you_mean(name, shapes)}")
        return name
    tables = [key for key, shape in shapes.items() if len(shape) == 2] or list(shapes)
    usual = [key for key in USUAL[role] if key in tables]
    if len(tables) != 1 and not usual:
        listed = ", ".join(f"{key} {shape}" for key, shape in shapes.items()) or "no arrays"
        raise DataError(f"{path}: which array holds the {role}? It has {listed}. Say {path}:NAME.")
    return usual[0] if usual else tables[0]


def _npy(path: Path, name: str | None, role: str) -> NDArray[Any]:
    if name is not None:
        raise DataError(f"{path}: a .npy file holds one array, without a name. Leave out ':{name}'.")
    array: NDArray[Any] = np.load(path, mmap_mode="r", allow_pickle=False)
    return array


def _npz(path: Path, name: str | None, role: str) -> NDArray[Any]:
    with np.load(path, allow_pickle=False) as archive:
        arrays: dict[str, NDArray[Any]] = {key: archive[key] for key in archive.files}
    return arrays[_choose(path, {key: array.shape for key, array in arrays.items()}, name, role)]


def _h5(path: Path, name: str | None, role: str) -> NDArray[Any]:
    try:
        import h5py
    except ModuleNotFoundError as error:
        raise UserError(f"{path}: HDF5 files need h5py. Run: pip install 'vitret[formats]'") from error

    shapes: dict[str, tuple[int, ...]] = {}
    with h5py.File(path, "r") as file:
        file.visititems(
            lambda key, item: shapes.update({key: item.shape}) if hasattr(item, "shape") else None
        )
        array: NDArray[Any] = file[_choose(path, shapes, name, role)][...]
    return array


def _mat(path: Path, name: str | None, role: str) -> NDArray[Any]:
    with path.open("rb") as file:
        if b"MATLAB 7.3" in file.read(128):  # version 7.3 is HDF5 under another name
            return _h5(path, name, role)
    import scipy.io

    arrays = {key: value for key, value in scipy.io.loadmat(path).items() if not key.startswith("__")}
    chosen: NDArray[Any] = arrays[_choose(path, {key: np.shape(a) for key, a in arrays.items()}, name, role)]
    return chosen


def _safetensors(path: Path, name: str | None, role: str) -> NDArray[Any]:
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(path, framework="np") as file:
            shapes = {key: tuple(file.get_slice(key).get_shape()) for key in file.keys()}  # noqa: SIM118
            array: NDArray[Any] = file.get_tensor(_choose(path, shapes, name, role))
    except SafetensorError as error:
        raise DataError(f"{path}: not readable as .safetensors ({error}). Write the file again.") from error
    return array


_LOADERS: Mapping[str, Callable[[Path, str | None, str], NDArray[Any]]] = {
    ".npy": _npy,
    ".npz": _npz,
    ".h5": _h5,
    ".hdf5": _h5,
    ".mat": _mat,
    ".safetensors": _safetensors,
}
