"""MATLAB ground truth, read by scipy: INSTRE (Iscen et al., CVPR 2017) and Cars-196 (Krause et al., 2013)."""

import os
import zlib
from pathlib import Path
from typing import Any, Literal, NamedTuple

import numpy as np
import scipy.io
from numpy.typing import NDArray
from scipy.io.matlab import MatReadError

from vitret.core.disguise import require_content
from vitret.core.errors import DataError, said
from vitret.data.formats.mat_elements import require_sound
from vitret.data.formats.text import Labelled

# The largest official file, cars_annos.mat, has less than a megabyte.
LARGEST = 128 << 20
COMPRESSED = 15
# What scipy raises on damaged bytes, found by feeding it thousands of them.
DAMAGE = (
    MatReadError,
    ValueError,
    TypeError,
    LookupError,
    ArithmeticError,
    AttributeError,
    NotImplementedError,
    EOFError,
    OSError,
    MemoryError,
    zlib.error,
)


class InstreTruth(NamedTuple):
    """Database and query image names, query boxes (Q, 4) as stored, positives as 0-based database indices."""

    database: list[str]
    queries: list[str]
    boxes: NDArray[np.float64]
    positives: list[list[int]]


def load_mat(path: Path) -> dict[str, Any]:
    """Variables of a MATLAB 5 file; raises `DataError` when it is none, or unpacks to more than `LARGEST` bytes."""
    require_content(path)
    try:
        _check_size(path)
        require_sound(path, largest=LARGEST)
        return dict(scipy.io.loadmat(path, squeeze_me=False, struct_as_record=True))
    except DAMAGE as error:
        raise DataError(
            f"{path}: not readable as a MATLAB file ({said(error)}). Fetch the file again."
        ) from error


def _check_size(path: Path) -> None:
    """Add up what the variables say they unpack to, before scipy makes room for them (MAT-file format, 1-2 and 1-3)."""
    with path.open("rb") as handle:
        header = handle.read(128)
        order: Literal["little", "big"] = "big" if header[126:128] == b"MI" else "little"
        total = 0
        while len(tag := handle.read(8)) == 8:
            kind, size = int.from_bytes(tag[:4], order), int.from_bytes(tag[4:], order)
            total += size
            if kind == COMPRESSED:
                inner = zlib.decompressobj().decompress(handle.read(min(size, 1 << 16)), 8)
                handle.seek(size - min(size, 1 << 16), os.SEEK_CUR)
                total += int.from_bytes(inner[4:8], order)
            else:
                handle.seek(size, os.SEEK_CUR)
            if total > LARGEST:
                raise DataError(
                    f"{path}: unpacks to more than {LARGEST:,} bytes, no ground truth does: refused."
                )


def _names(cells: NDArray[Any]) -> list[str]:
    return [str(cell.ravel()[0]) if isinstance(cell, np.ndarray) else str(cell) for cell in cells.ravel()]


def read_instre(path: Path) -> InstreTruth:
    """`gnd_instre.mat`: cells imlist and qimlist, struct gnd with `ok` (1-based) and `bbx`."""
    variables = load_mat(path)
    try:
        database, queries = _names(variables["imlist"]), _names(variables["qimlist"])
        gnd = variables["gnd"].ravel()
        boxes = np.array([np.asarray(row["bbx"], float).ravel() for row in gnd]).reshape(len(gnd), 4)
        # MATLAB counts from one.
        positives = [(np.asarray(row["ok"]).ravel().astype(np.int64) - 1).tolist() for row in gnd]
    except (KeyError, ValueError, IndexError, TypeError) as error:
        raise DataError(f"{path}: not the ground truth of INSTRE ({error}).") from error
    if len(queries) != len(gnd) or any(i < 0 or i >= len(database) for row in positives for i in row):
        raise DataError(f"{path}: queries and ground truth do not fit together.")
    return InstreTruth(database, queries, boxes, positives)


def read_cars(path: Path) -> Labelled:
    """`cars_annos.mat` (relative_im_path) or `cars_{train,test}_annos*.mat` (fname); labels are classes 1…196."""
    annotations = load_mat(path).get("annotations")
    if annotations is None or annotations.dtype.names is None or "class" not in annotations.dtype.names:
        raise DataError(
            f"{path}: no annotations with classes here. The test list must be the one *with* labels."
        )
    field = "relative_im_path" if "relative_im_path" in annotations.dtype.names else "fname"
    rows = annotations.ravel()
    try:
        labels = [str(int(np.asarray(row["class"]).ravel()[0])) for row in rows]
        return Labelled([str(np.asarray(row[field]).ravel()[0]) for row in rows], labels)
    except (KeyError, ValueError, IndexError, TypeError, OverflowError) as error:
        raise DataError(f"{path}: not the annotations of Cars-196 ({error}).") from error
