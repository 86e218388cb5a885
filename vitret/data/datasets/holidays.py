"""INRIA Holidays: Jégou, Douze, Schmid, ECCV 2008."""

from pathlib import Path

import numpy as np

from vitret.core.errors import DataError
from vitret.data.card import Card, File, Licence, Terms
from vitret.data.datasets._conversion import Converter, hand_over
from vitret.data.datasets._sources import verified
from vitret.data.formats.trees import layouts, locate, walk_files
from vitret.data.layout.parts import Side
from vitret.data.layout.write import LayoutWriter

BASE = "ftp://ftp.inrialpes.fr/pub/lear/douze/data"

CARD = Card(
    name="holidays",
    title="INRIA Holidays",
    kind=("eval",),
    homepage="https://lear.inrialpes.fr/~jegou/data.php",
    citation="Jégou, Douze, Schmid: Hamming embedding and weak geometric consistency for large scale "
    "image search. ECCV 2008.",
    licence=Licence(text="INRIA holds the copyright; given as is; cite.", redistribution=False),
    terms=Terms(text="INRIA's copyright; research use; cite.", accept_required=True),
    files=tuple(
        File(
            name=f"jpg{part}.tar.gz",
            role="images",
            urls=(f"{BASE}/jpg{part}.tar.gz",),
            about=about,
            archive="tar",
        )
        for part, about in ((1, 1_100_000_000), (2, 1_600_000_000))
    ),
    tree={"images": layouts(["jpg"], ("", "holidays", "INRIA_Holidays", "data/holidays"))},
    expected={"queries": verified(500), "database": verified(1_491), "positive": verified(991)},
    needs_disk=5_500_000_000,
    protocol="Trapezoidal AP; a query's own photograph is taken out of its ranking.",
    notes=(
        "Several photographs need turning: papers report 'upright' and original apart; these are the original files.",
        "Queries are the images whose number is a multiple of one hundred; number // 100 is the group.",
    ),
)


def build() -> Converter:
    """`jpg/NNNNNN.jpg`: the group is the number without its last two digits, the query its first image."""

    def convert(source: Path, writer: LayoutWriter) -> None:
        root = locate(source, CARD)["images"]
        names = sorted(path for path in walk_files(root) if path.endswith(".jpg"))
        if odd := [name for name in names if not name.removesuffix(".jpg").isdecimal()]:
            raise DataError(f"{root / odd[0]}: is not named by a number, as every photograph of Holidays is.")
        number = np.array([int(name.removesuffix(".jpg")) for name in names], dtype=np.int64)
        asks = np.flatnonzero(number % 100 == 0)
        hand_over(writer, root, names)
        writer.evaluation(
            Side(names, labels=number // 100),
            Side([names[i] for i in asks], labels=number[asks] // 100),
            query_rows=asks,
        )

    return convert
