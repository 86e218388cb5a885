"""ILIAS, core: Kordopatis-Zilos et al., CVPR 2025."""

from pathlib import Path

import numpy as np

from vitret.core.errors import DataError
from vitret.data.card import Card, File, Licence, Terms
from vitret.data.datasets._conversion import Converter, hand_over, require
from vitret.data.datasets._sources import verified
from vitret.data.formats.text import lines
from vitret.data.formats.trees import layouts, locate
from vitret.data.layout.parts import Side
from vitret.data.layout.write import LayoutWriter

BASE = "https://vrg.fel.cvut.cz/ilias_data"
FOLDERS = ("", "ilias", "download/ilias", "ilias/download/ilias")

CARD = Card(
    name="ilias",
    title="ILIAS, core without distractors",
    kind=("eval",),
    homepage="https://vrg.fel.cvut.cz/ilias/",
    citation="Kordopatis-Zilos, Stojnić, Manko, Šuma, Ypsilantis, Efthymiadis, Laskar, Matas, Chum, Tolias: ILIAS: "
    "instance-level image retrieval at scale. CVPR 2025.",
    licence=Licence(text="Own captures CC BY 4.0; web images by their own licences.", spdx="CC-BY-4.0"),
    terms=Terms(
        text="Cite; web images keep their own licences.",
        url="https://vrg.fel.cvut.cz/ilias/",
        accept_required=True,
    ),
    files=(
        File(
            name="image_query_ids.txt",
            role="truth",
            urls=(f"{BASE}/image_ids/image_query_ids.txt",),
            into="image_ids",
        ),
        File(
            name="positive_ids.txt",
            role="truth",
            urls=(f"{BASE}/image_ids/positive_ids.txt",),
            into="image_ids",
        ),
        File(
            name="ilias_core.tar",
            role="images",
            urls=(f"{BASE}/ilias_core.tar",),
            hash_url=f"{BASE}/checksums.txt",
            archive="tar",
        ),
    ),
    tree={
        "queries": layouts(["image_ids/image_query_ids.txt"], FOLDERS),
        "positives": layouts(["image_ids/positive_ids.txt"], FOLDERS),
        "images": layouts(["ilias_core"], FOLDERS),
    },
    expected={"queries": verified(1_232), "database": verified(4_715)},
    needs_disk=20_000_000_000,
    protocol="Boxed image queries; mAP@1000. Without the hundred million distractors the numbers are "
    "far above the paper's.",
    notes=(
        "Boxes stand in <image>_bbox.txt as 'x y w h'; a query with several lines is cropped to the "
        "box around all of them.",
    ),
)


def build() -> Converter:
    """`ilias_core/<object>/…`, ids in `image_ids/*.txt` with comma-separated remarks; the object is the label."""

    def convert(source: Path, writer: LayoutWriter) -> None:
        tree = locate(source, CARD)
        root = tree["images"]
        queries, positives = (sorted(_ids(tree[part])) for part in ("queries", "positives"))
        require(root, queries + positives, "images")
        hand_over(writer, root, queries + positives)
        writer.evaluation(
            Side(positives, labels=[name.partition("/")[0] for name in positives]),
            Side(
                queries,
                labels=[name.partition("/")[0] for name in queries],
                boxes=np.array([_box(root / name) for name in queries]),
            ),
        )

    return convert


def _ids(path: Path) -> list[str]:
    """The first comma-separated field of each line: a path below ilias_core."""
    return [line.partition(",")[0].strip() for line in lines(path)]


def _box(image: Path) -> tuple[float, float, float, float]:
    """Corners around all boxes of an image, NaN where it has none."""
    path = image.with_name(f"{image.stem}_bbox.txt")
    if not path.is_file():
        return (np.nan,) * 4
    try:
        boxes = np.array([[float(part) for part in line.replace(",", " ").split()] for line in lines(path)])
        x, y, w, h = boxes.reshape(-1, 4).T
        return float(x.min()), float(y.min()), float((x + w).max()), float((y + h).max())
    except ValueError as error:
        raise DataError(f"{path}: not lines of x y w h ({error}).") from error
