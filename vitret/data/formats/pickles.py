"""Other people's pickles without their power: plain values and numpy arrays, read once, nothing else called by name.

A pickle is a program. Its opcodes are looked through before it runs (Python's `pickletools`), and only the few names
that rebuild a numpy array are known to it.
"""

import importlib
import io
import pickle
import pickletools
from pathlib import Path
from typing import Any

import numpy as np

from vitret.core.errors import DataError

# The largest official file, the database of SfM-120k, has some ten million bytes.
LARGEST = 512 << 20
_ARRAY_PARTS = {
    ("numpy", "ndarray"): np.ndarray,
    ("numpy", "dtype"): np.dtype,
    **{
        (module, name): getattr(importlib.import_module("numpy._core.multiarray"), name)
        for module in ("numpy.core.multiarray", "numpy._core.multiarray")
        for name in ("_reconstruct", "scalar")
    },
}
_REFUSED = {"EXT1", "EXT2", "EXT4", "INST", "OBJ", "PERSID", "BINPERSID", "NEXT_BUFFER", "READONLY_BUFFER"}


class _Plain(pickle.Unpickler):
    def find_class(self, module: str, name: str) -> Any:
        try:
            return _ARRAY_PARTS[module, name]
        except KeyError as error:
            raise pickle.UnpicklingError(f"it names {module}.{name}, which data never needs") from error


def read_pickle(path: Path) -> Any:
    """The value in a pickle of numbers, texts, lists, dicts and numpy arrays; anything else raises `DataError`."""
    try:
        if path.stat().st_size > LARGEST:
            raise DataError(f"{path}: larger than any official pickle ({LARGEST >> 20} MiB); it is not read.")
        data = path.read_bytes()
        _look_through(data)
        return _Plain(io.BytesIO(data)).load()
    except FileNotFoundError as error:
        raise DataError(f"{path}: no such file.") from error
    except (
        pickle.UnpicklingError,
        ValueError,
        TypeError,
        KeyError,
        IndexError,
        AttributeError,
        EOFError,
        RecursionError,
        MemoryError,
        OverflowError,
    ) as error:
        raise DataError(
            f"{path}: refused as a pickle of data ({error}). Fetch it from the official address."
        ) from error


def _look_through(data: bytes) -> None:
    """Raise for opcodes that data does not need and for places in the memo beyond the length of the file."""
    for opcode, argument, _ in pickletools.genops(data):
        if opcode.name in _REFUSED:
            raise pickle.UnpicklingError(f"it uses the opcode {opcode.name}")
        if "PUT" in opcode.name and int(argument or 0) > len(data):
            raise pickle.UnpicklingError("its memo is larger than the file")
