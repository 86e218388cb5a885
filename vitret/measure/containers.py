"""One reader for each kind of file that arrays of numbers are kept in. Nothing is unpickled; a damaged file raises.

An array is made only where the file has the bytes for it: what a header announces is compared with what is there.
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vitret.core.disguise import require_content
from vitret.core.errors import DataError, UserError, did_you_mean, said
from vitret.core.npz import DAMAGE, npz_array, npz_headers
from vitret.measure.choice import Held, Wanted, choose, held
from vitret.measure.hdf5 import read_h5

# A sparse matrix is filled up to at most so many bytes; turning and normalising it takes as many twice more.
LARGEST_FILLED = 256 << 20


def load(path: Path, wanted: Wanted) -> NDArray[Any]:
    """The wanted array; raises `UserError` for an unknown kind of file, `DataError` for a damaged one or no array."""
    kind = path.suffix.lower()
    if kind not in LOADERS:
        raise UserError(f"{path}: unknown kind of file. {did_you_mean(kind, LOADERS)}")
    require_content(path)
    try:
        return LOADERS[kind](path, wanted)
    except DAMAGE as error:
        raise DataError(f"{path}: not readable as {kind} ({said(error)}). Write the file again.") from error


def _npy(path: Path, wanted: Wanted) -> NDArray[Any]:
    if wanted.name is not None:
        raise DataError(f"{path}: a .npy file holds one array, without a name. Leave out ':{wanted.name}'.")
    array: NDArray[Any] = np.lib.format.open_memmap(path, mode="r")
    return array


def _npz(path: Path, wanted: Wanted) -> NDArray[Any]:
    there = {name: held(shape, dtype) for name, (shape, dtype) in npz_headers(path).items()}
    return npz_array(path, choose(path, there, wanted))


def _mat(path: Path, wanted: Wanted) -> NDArray[Any]:
    with path.open("rb") as file:
        if b"MATLAB 7.3" in file.read(128):  # version 7.3 is HDF5 under another name
            return read_h5(path, wanted)
    import scipy.io
    from scipy.io.matlab import MatReadError, matfile_version

    from vitret.data.formats.mat_elements import read_matrix

    words = {"double": "", "single": "", "sparse": "", "cell": "cells", "char": "texts", "struct": "structs"}
    try:
        kinds = {name: (shape, kind) for name, shape, kind in scipy.io.whosmat(path)}
        there = {
            name: Held(shape=tuple(int(n) for n in shape), instead=words.get(kind, kind))
            for name, (shape, kind) in kinds.items()
        }
        name = choose(path, there, wanted)
        if matfile_version(path)[0] == 0 and kinds[name][1] != "sparse":
            old: NDArray[Any] = scipy.io.loadmat(path, variable_names=[name])[name]
            return old
    except MatReadError as error:
        raise ValueError(said(error)) from error
    size = math.prod(there[name].shape) * 8
    if kinds[name][1] == "sparse" and size > LARGEST_FILLED:
        raise DataError(
            f"{path}: '{name}' is sparse, {there[name].shape}, and takes {size:,} bytes when filled. Save it full, in "
            f"single: {name} = single(full({name}))."
        )
    return read_matrix(path, name, largest=LARGEST_FILLED)


def _safetensors(path: Path, wanted: Wanted) -> NDArray[Any]:
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(path, framework="np") as file:
            slices = {key: file.get_slice(key) for key in file.keys()}  # noqa: SIM118 (it is no dict)
            types = {key: one.get_dtype() for key, one in slices.items()}
            there = {
                key: Held(shape=tuple(one.get_shape()), instead="" if types[key] in _FLOATS else types[key])
                for key, one in slices.items()
            }
            name = choose(path, there, wanted)
            if types[name] == "BF16":
                return _bfloat16(path, name)
            array: NDArray[Any] = file.get_tensor(name)
    except SafetensorError as error:
        raise ValueError(said(error)) from error
    return array


_FLOATS = ("F16", "F32", "F64", "BF16")


def _bfloat16(path: Path, name: str) -> NDArray[np.float32]:
    """A tensor of a type that numpy does not have: the upper half of a float32. The header is checked already."""
    with path.open("rb") as file:
        length = int.from_bytes(file.read(8), "little")
        about = json.loads(file.read(length))[name]
        begin, end = about["data_offsets"]
        file.seek(8 + length + begin)
        upper = np.frombuffer(file.read(end - begin), "<u2")
    return (upper.astype(np.uint32) << 16).view(np.float32).reshape(about["shape"])


def _torch(path: Path, wanted: Wanted) -> NDArray[Any]:
    try:
        import torch
    except ModuleNotFoundError as error:
        raise UserError(f"{path}: PyTorch files need torch. Save the array with numpy: np.save.") from error

    from vitret.models.torch_files import load_tensors

    value = load_tensors(path)
    if isinstance(value, torch.Tensor):
        if wanted.name is not None:
            raise DataError(f"{path}: holds one tensor, without a name. Leave out ':{wanted.name}'.")
        return _dense(value)
    tensors = value if isinstance(value, Mapping) else {}
    tensors = {str(key): one for key, one in tensors.items() if isinstance(one, torch.Tensor)}
    there = {
        key: Held(
            shape=tuple(one.shape),
            instead="" if one.is_floating_point() else str(one.dtype).removeprefix("torch."),
        )
        for key, one in tensors.items()
    }
    return _dense(tensors[choose(path, there, wanted)])


def _dense(tensor: Any) -> NDArray[Any]:
    import torch

    if tensor.layout != torch.strided or tensor.is_meta:
        raise ValueError(f"a tensor of the layout {tensor.layout}")
    # A tensor's strides may name one number many times: as an array it takes what its shape says.
    if tensor.numel() > tensor.untyped_storage().nbytes() // max(1, tensor.element_size()):
        raise ValueError("a tensor of more numbers than are stored")
    tensor = tensor.detach().resolve_conj().resolve_neg()
    array: NDArray[Any] = (tensor.float() if tensor.dtype == torch.bfloat16 else tensor).numpy()
    return array


LOADERS: Mapping[str, Callable[[Path, Wanted], NDArray[Any]]] = {
    ".npy": _npy,
    ".npz": _npz,
    ".h5": read_h5,
    ".hdf5": read_h5,
    ".mat": _mat,
    ".safetensors": _safetensors,
    ".pt": _torch,
    ".pth": _torch,
}
