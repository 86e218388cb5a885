"""Checkpoint files of any project as plain tensors, read without running code in them."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from pickle import UnpicklingError
from typing import Any
from zipfile import BadZipFile

import numpy as np
import safetensors
import safetensors.torch
import torch
from torch import Tensor

from vitret.core.disguise import require_content
from vitret.core.errors import DataError

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
    """A .safetensors, .npz or PyTorch file, without running any code in it."""
    require_content(path)
    try:
        if path.suffix.lower() == ".safetensors":
            return Checkpoint(state=dict(safetensors.torch.load_file(path)))
        if path.suffix.lower() == ".npz":
            with np.load(path, allow_pickle=False) as arrays:
                names = {name.replace("/", "."): torch.from_numpy(arrays[name]) for name in arrays.files}
            return Checkpoint(state=names)
        with torch.serialization.safe_globals(_ARRAYS):
            value = torch.load(path, map_location="cpu", weights_only=True)
    except (
        UnpicklingError,
        BadZipFile,
        ValueError,
        RuntimeError,
        EOFError,
        safetensors.SafetensorError,
    ) as error:
        first = (str(error).strip() or type(error).__name__).splitlines()[0]
        raise DataError(
            f"{path}: not readable as plain tensors ({first}). A file that carries other objects (a scikit-learn "
            "PCA, an optimiser) must be saved again as a state dict, on a machine where its origin is trusted."
        ) from error
    meta = value.get("meta") if isinstance(value, Mapping) else None
    for wrapper in ("state_dict", "model_state", "model_state_dict", "model", "teacher"):
        if isinstance(value, Mapping) and isinstance(value.get(wrapper), Mapping):
            value = value[wrapper]
    tensors = {k: v for k, v in value.items() if isinstance(v, Tensor)} if isinstance(value, Mapping) else {}
    if not tensors:
        raise DataError(f"{path}: expected a mapping of names to tensors.")
    return Checkpoint(state=tensors, mean=_channels(meta, "mean"), std=_channels(meta, "std"))


def _channels(meta: object, key: str) -> tuple[float, ...] | None:
    """Three numbers out of a `meta` that has them."""
    value = meta.get(key) if isinstance(meta, Mapping) else None
    plain = isinstance(value, list | tuple) and all(isinstance(v, int | float) for v in value)
    return tuple(float(v) for v in value) if plain and value is not None else None
