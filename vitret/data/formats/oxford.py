"""Original Oxford and Paris ground truth: Philbin et al., CVPR 2007 and 2008; `gt_files_170407`, `paris_120310`.

Per query four text files: `<query>_query.txt` (image and box), `_good.txt`, `_ok.txt`, `_junk.txt` (image names).
"""

from pathlib import Path
from typing import NamedTuple

from vitret.core.errors import DataError
from vitret.data.formats.text import columns, lines


class OxfordQuery(NamedTuple):
    """One query: its name, image and box (x0 y0 x1 y1), and the names of its good, ok and junk images."""

    name: str
    image: str
    box: tuple[float, float, float, float]
    good: list[str]
    ok: list[str]
    junk: list[str]


def read_oxford(folder: Path) -> list[OxfordQuery]:
    """All queries of a folder of ground-truth files, sorted by name."""
    queries = sorted(folder.glob("*_query.txt"))
    if not queries:
        raise DataError(
            f"{folder}: no *_query.txt here. This folder should hold the unpacked ground-truth files."
        )
    return [_read_one(folder, path.name.removesuffix("_query.txt")) for path in queries]


def _read_one(folder: Path, name: str) -> OxfordQuery:
    path = folder / f"{name}_query.txt"
    rows = list(columns(path, ("image", "x0", "y0", "x1", "y1")))
    if len(rows) != 1:
        raise DataError(f"{path}: {len(rows)} lines, expected one: 'image x0 y0 x1 y1'.")
    image, *corners = rows[0]
    try:
        x0, y0, x1, y1 = (float(corner) for corner in corners)
    except ValueError as error:
        raise DataError(f"{path}: the box {' '.join(corners)} is not four numbers.") from error
    # Oxford's query lines carry the name of the corpus before the image; Paris's do not.
    image = image.removeprefix("oxc1_")
    # Paris's good files are empty: all its positives are ok.
    good, ok, junk = (list(lines(folder / f"{name}_{kind}.txt")) for kind in ("good", "ok", "junk"))
    return OxfordQuery(name, image, (x0, y0, x1, y1), good, ok, junk)
