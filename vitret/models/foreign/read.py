"""Checkpoint files of any project as plain tensors, read without running code in them."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from vitret.core.disguise import require_content
from vitret.core.errors import DataError, said
from vitret.core.npz import DAMAGE, npz_arrays
from vitret.models.torch_files import load_safetensors, load_tensors

State = dict[str, Tensor]


@dataclass(frozen=True, kw_only=True, eq=False)
class Checkpoint:
    """A file's tensors and, where it says so (cirtorch's `meta`), the mean and deviation of the pixels it expects."""

    state: State
    mean: tuple[float, ...] | None = None
    std: tuple[float, ...] | None = None


# cirtorch keeps its learned whitening beside the weights as numpy arrays. They are plain numbers: these names rebuild
# an array and can do nothing else. NumPy 2 moved the module; files say the old name.
_REBUILD = np.zeros(0).__reduce__()[0]
_ARRAYS: list[Any] = [
    *((_REBUILD, f"numpy.{core}.multiarray._reconstruct") for core in ("core", "_core")),
    *(np.ndarray, np.dtype, type(np.dtype(np.float32)), type(np.dtype(np.float64))),
]


def read_checkpoint(path: Path) -> Checkpoint:
    """A .safetensors, .npz or PyTorch file, without running any code in it; a damaged one raises `DataError`."""
    kind = path.suffix.lower()
    if kind == ".safetensors":
        return Checkpoint(state=load_safetensors(path))
    if kind == ".npz":
        return Checkpoint(state=_npz(path))
    value = load_tensors(path, also=_ARRAYS)
    meta = value.get("meta") if isinstance(value, Mapping) else None
    for wrapper in ("state_dict", "model_state", "model_state_dict", "model", "teacher"):
        if isinstance(value, Mapping) and isinstance(value.get(wrapper), Mapping):
            value = value[wrapper]
    tensors = {k: v for k, v in value.items() if isinstance(v, Tensor)} if isinstance(value, Mapping) else {}
    if not tensors:
        raise DataError(f"{path}: expected a mapping of names to tensors.")
    return Checkpoint(state=tensors, mean=_channels(meta, "mean"), std=_channels(meta, "std"))


def _npz(path: Path) -> State:
    """Arrays by their names, as Flax writes them: with slashes where PyTorch has dots."""
    require_content(path)
    try:
        return {name.replace("/", "."): torch.from_numpy(array) for name, array in npz_arrays(path).items()}
    except DAMAGE as error:
        raise DataError(f"{path}: not readable as .npz ({said(error)}). Fetch or copy it again.") from error


def _channels(meta: object, key: str) -> tuple[float, ...] | None:
    """Three numbers out of a `meta` that has them."""
    value = meta.get(key) if isinstance(meta, Mapping) else None
    plain = isinstance(value, list | tuple) and all(isinstance(v, int | float) for v in value)
    return tuple(float(v) for v in value) if plain and value is not None else None
