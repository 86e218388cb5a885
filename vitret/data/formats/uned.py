"""Lists of UnED (Ypsilantis et al., ICCV 2023), `info_files/<domain>/<split>.json`: objects with path and class_id."""

from pathlib import Path

from vitret.core.errors import DataError
from vitret.core.store import read_json

Listed = list[tuple[str, list[str]]]
"""Path below `images/` and the classes of each image: one, or of some queries several."""


def read_info(path: Path) -> Listed:
    """One list; `class_id` is a number or a list of numbers."""
    entries = read_json(path)
    if not isinstance(entries, list) or not all(isinstance(entry, dict) for entry in entries):
        raise DataError(f"{path}: expected a list of objects with path and class_id.")
    found: Listed = []
    for number, entry in enumerate(entries):
        name, classes = entry.get("path"), entry.get("class_id")
        several = classes if isinstance(classes, list) else [classes]
        if not isinstance(name, str) or not all(isinstance(one, int | str) for one in several):
            raise DataError(f"{path}: entry {number} has no path and class_id.")
        found.append((name, [str(one) for one in several]))
    return found
