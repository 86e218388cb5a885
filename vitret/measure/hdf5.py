"""HDF5 files of descriptors: one array of all images, or one group for each image, as hloc writes them.

hloc (Sarlin et al., CVPR 2019) makes a group of every image name, whose slashes become groups inside groups, and puts
a dataset `global_descriptor` (D,) into it.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vitret.core.errors import DataError, UserError, listed
from vitret.core.npz import DENSEST
from vitret.measure.choice import Held, Wanted, choose, held

OF_AN_IMAGE = "global_descriptor"


def read_h5(path: Path, wanted: Wanted) -> NDArray[Any]:
    """The wanted array of an HDF5 file, which a .mat of version 7.3 is too."""
    try:
        import h5py
    except ModuleNotFoundError as error:
        raise UserError(f"{path}: HDF5 files need h5py. Run: pip install 'vitret[formats]'") from error

    there: dict[str, Held] = {}

    def look(key: str, item: Any) -> None:
        """Links are not followed: they may lead nowhere, or into another file."""
        if isinstance(item, h5py.Dataset):
            there[key] = held(item.shape or (), item.dtype)
        elif "MATLAB_sparse" in item.attrs:
            there[key] = Held(shape=(), instead="a sparse matrix")

    with h5py.File(path, "r") as file:
        file.visititems(look)
        found = _of_images(there, wanted)
        if found:
            return _stacked(path, file, found, wanted)
        if wanted.name is not None and wanted.name not in there:
            linked = _linked(file, wanted.name)
            if linked is not None:
                return _whole(linked)
        return _whole(file[choose(path, there, wanted)])


def _linked(file: Any, name: str) -> Any:
    """The dataset that a link of this name leads to; None where there is none."""
    try:
        item = file.get(name)
    except (KeyError, OSError):
        return None
    return item if hasattr(item, "shape") else None


def _whole(dataset: Any) -> NDArray[Any]:
    stored = dataset.id.get_storage_size()
    # No filter of HDF5 makes more of a byte than deflate does.
    if not dataset.is_virtual and dataset.nbytes > DENSEST * stored:
        raise ValueError(f"{dataset.nbytes:,} bytes announced, {stored:,} there")
    array: NDArray[Any] = dataset[...]
    return array


def _of_images(there: Mapping[str, Held], wanted: Wanted) -> dict[str, str]:
    """Image name → key of its dataset, where the file holds one dataset for each image; else empty."""
    vectors = [
        key
        for key, one in there.items()
        if not one.instead and (len(one.shape) == 1 or (len(one.shape) == 2 and one.shape[0] == 1))
    ]
    for leaf in (wanted.name, OF_AN_IMAGE):
        inner = {key.rpartition("/")[0]: key for key in vectors if leaf and key.rpartition("/")[2] == leaf}
        inner.pop("", None)
        if inner and wanted.name in (None, leaf):
            return inner
    if wanted.name is None and len(vectors) == len(there) and wanted.images is not None:
        # Of other tools: one dataset with the name of each image, or one dataset in the group of each.
        known = set(_names(wanted.images))
        for by_name in ({key: key for key in vectors}, {key.rpartition("/")[0]: key for key in vectors}):
            if known & by_name.keys():
                return by_name
    return {}


def _names(images: NDArray[np.bytes_]) -> list[str]:
    return [bytes(name).decode("utf-8", "surrogateescape") for name in images]


def _stacked(path: Path, file: Any, keys: Mapping[str, str], wanted: Wanted) -> NDArray[Any]:
    """The vectors of the list's images in its order, (n, D)."""
    if wanted.images is None and wanted.role != "distractors":
        raise DataError(
            f"{path}: holds one array for each image, which only the list of a set puts in order. Give one array."
        )
    chosen = sorted(keys.values()) if wanted.images is None else _in_order(path, keys, wanted)
    rows = [np.ravel(_whole(file[key])) for key in chosen]
    lengths = sorted({len(row) for row in rows})
    if len(lengths) > 1:
        raise DataError(
            f"{path}: descriptors of {listed(lengths)} dimensions in one file. Were they of one model?"
        )
    return np.stack(rows) if rows else np.empty((0, 0), np.float32)


def _in_order(path: Path, keys: Mapping[str, str], wanted: Wanted) -> list[str]:
    """The key of each image of the list, by its name with or without a suffix on either side."""
    assert wanted.images is not None
    names = _names(wanted.images)
    without: dict[str, list[str]] = {}
    for name, key in keys.items():
        for short in {name, _stem(name)}:
            without.setdefault(short, []).append(key)
    found = [_key_of(name, keys, without) for name in names]
    missing = [name for name, key in zip(names, found, strict=True) if key is None]
    if missing:
        raise DataError(
            f"{path}: has no descriptor of {len(missing)} of the {len(names)} {wanted.role} of the list: "
            f"{listed(missing)}. It has {listed(keys)}."
        )
    return [key for key in found if key is not None]


def _key_of(name: str, keys: Mapping[str, str], without: Mapping[str, list[str]]) -> str | None:
    if name in keys:
        return keys[name]
    for short in (name, _stem(name)):
        if len(without.get(short, ())) == 1:
            return without[short][0]
    return None


def _stem(name: str) -> str:
    """An image's name without its suffix.

    >>> _stem("a.b/c.jpeg"), _stem("a.b/c")
    ('a.b/c', 'a.b/c')
    """
    stem, dot, suffix = name.rpartition(".")
    return stem if dot and "/" not in suffix and len(suffix) <= 5 else name
