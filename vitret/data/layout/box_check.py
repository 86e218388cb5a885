"""Whether the boxes of a set lie in their images, checked when the set is prepared: a wrong box shows other pixels."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from vitret.core.errors import DataError
from vitret.core.records import Float64, Int64
from vitret.data.boxes import TURNED, cut, shown
from vitret.data.layout.image_check import Inventory
from vitret.data.layout.parquet import Bytes

Bool = NDArray[np.bool_]
UPRIGHT = (
    "Boxes are pixels of the stored image: give them so, or store the images upright (exiftran -ai *.jpg)."
)


def check_boxes(name: str, paths: Bytes, boxes: Float64, inventory: Inventory) -> list[str]:
    """Notes about boxes that hang over the border; one that holds no pixel raises `DataError`.

    A box that hangs over its stored image but lies in the same image turned upright by EXIF was probably drawn on the
    upright one.
    """
    rows = inventory.rows(paths)
    sizes = np.stack([inventory.files[side][rows].astype(np.int64) for side in ("width", "height")], axis=1)
    turned = inventory.files["orientation"][rows] >= TURNED
    corners, rounded = cut(boxes, sizes), np.round(boxes)
    empty: Bool = np.asarray((corners[:, :2] >= corners[:, 2:]).any(axis=1))
    over = ~np.isnan(boxes[:, 0]) & (rounded != corners).any(axis=1)
    upright = over & turned & _inside(rounded, sizes[:, ::-1])

    first = _Words(paths=paths, boxes=boxes, sizes=sizes, upright=upright).first
    if empty.any():
        why = "Boxes are x0, y0, x1, y1 in pixels of the stored image."
        if (empty & upright).any():
            empty, why = empty & upright, f"They lie in it as EXIF turns it upright. {UPRIGHT}"
        raise DataError(f"{name}: {empty.sum()} boxes hold no pixel of their image; {first(empty)}. {why}")
    notes = []
    if upright.any():
        where = "hang over their image, but lie in it as EXIF turns it upright"
        notes.append(f"{upright.sum()} boxes {where}; {first(upright)}. {UPRIGHT}")
    rest = over & ~upright
    if rest.any():
        many = f"{rest.sum()} boxes hang over their image and are"
        hanging = "1 box hangs over its image and is" if rest.sum() == 1 else many
        notes.append(f"{hanging} cut to it; {first(rest)}.")
    return notes


@dataclass(frozen=True, kw_only=True, eq=False)
class _Words:
    """What is said about a box: paths (n,), boxes (n, 4), stored sizes (n, 2), and which fit upright only (n,)."""

    paths: Bytes
    boxes: Float64
    sizes: Int64
    upright: Bool

    def first(self, chosen: Bool) -> str:
        """The first of the chosen boxes, with its image and that image's size."""
        i = int(np.flatnonzero(chosen)[0])
        width, height = self.sizes[i].tolist()
        size = f"stored as {width}×{height}" + (f", upright {height}×{width}" if self.upright[i] else "")
        return f"first: ({shown(tuple(self.boxes[i]))}) in {self.paths[i].decode()}, which is {size}"


def _inside(boxes: Float64, sizes: Int64) -> Bool:
    return np.asarray(((boxes[:, :2] >= 0) & (boxes[:, 2:] <= sizes)).all(axis=1))
