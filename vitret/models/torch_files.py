"""PyTorch and safetensors files as plain tensors: no code in them is run, and what is damaged is a `DataError`."""

import pickle
import struct
import warnings
import zipfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import safetensors
import safetensors.torch
import torch
from torch import Tensor

from vitret.core.disguise import require_content
from vitret.core.errors import DataError, said

# What torch raises on damaged bytes: its documentation names UnpicklingError alone, its old format has no checks.
DAMAGE = (
    pickle.UnpicklingError,
    zipfile.BadZipFile,
    ValueError,
    TypeError,
    LookupError,
    AttributeError,
    ArithmeticError,
    AssertionError,
    RuntimeError,
    EOFError,
    OSError,
    MemoryError,
    struct.error,
)
HINT = (
    "A file that carries other objects (a scikit-learn PCA, an optimiser) must be saved again as a state dict, on a "
    "machine where its origin is trusted."
)


def load_tensors(path: Path, *, also: Sequence[Any] = (), hint: str = HINT) -> Any:
    """The value in a PyTorch file, on the CPU: tensors, numbers, texts, lists and dicts of them.

    `also` are names of other projects that rebuild plain arrays. Anything else in the file raises `DataError`, whose
    last words are the `hint`.
    """
    require_content(path)
    try:
        with torch.serialization.safe_globals(list(also)), warnings.catch_warnings():
            warnings.simplefilter("ignore")  # about old formats, which are read
            return torch.load(path, map_location="cpu", weights_only=True)
    except DAMAGE as error:
        raise DataError(f"{path}: not readable as plain tensors ({_first(error)}). {hint}") from error


def load_safetensors(path: Path) -> dict[str, Tensor]:
    """All tensors of a .safetensors file; a damaged one raises `DataError`."""
    require_content(path)
    try:
        return dict(safetensors.torch.load_file(path))
    except (safetensors.SafetensorError, OSError, MemoryError) as error:
        raise DataError(
            f"{path}: not a whole safetensors file ({said(error)}). Fetch or copy it again."
        ) from error


def _first(error: BaseException) -> str:
    """Torch's messages fill a page: their first sentence."""
    return said(error).partition(". ")[0].removesuffix(".")
