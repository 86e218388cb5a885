"""Lists of the Met dataset: JSON arrays of objects with a path and an exhibit (Ypsilantis et al., NeurIPS 2021)."""

from pathlib import Path
from typing import NamedTuple

import numpy as np

from vitret.core.errors import DataError
from vitret.core.records import Int64
from vitret.core.store import read_json


class Exhibits(NamedTuple):
    """Photographs and the number of the exhibit that each shows, (n,)."""

    paths: list[str]
    numbers: Int64


def read_database(path: Path) -> Exhibits:
    """`MET_database.json` or `mini_MET_database.json`."""
    return _exhibits(path, "id", every=True)


def read_queries(path: Path) -> Exhibits:
    """`testset.json` or `valset.json`; an entry without `MET_id` shows no exhibit and is left out."""
    return _exhibits(path, "MET_id", every=False)


def _exhibits(path: Path, key: str, *, every: bool) -> Exhibits:
    entries = read_json(path)
    if not isinstance(entries, list) or not all(isinstance(entry, dict) for entry in entries):
        raise DataError(f"{path}: expected a list of objects with {key} and path.")
    kept = [entry for entry in entries if every or key in entry]
    try:
        numbers = np.array([int(entry[key]) for entry in kept], dtype=np.int64)
        return Exhibits([str(entry["path"]) for entry in kept], numbers)
    except (KeyError, TypeError, ValueError, OverflowError) as error:
        raise DataError(
            f"{path}: {key} or path is missing in an entry ({type(error).__name__}: {error})."
        ) from error
