"""UKBench: Nistér, Stewénius, CVPR 2006."""

import re
from pathlib import Path
from typing import Literal

import numpy as np

from vitret.core.errors import DataError
from vitret.core.records import Ragged, Truth
from vitret.data.card import Card, File, Licence, Terms
from vitret.data.datasets._conversion import Converter, add_self_queries, hand_over
from vitret.data.datasets._sources import unconfirmed
from vitret.data.formats.text import Labelled
from vitret.data.formats.trees import layouts, locate, walk_files
from vitret.data.layout.parts import Side
from vitret.data.layout.write import LayoutWriter

NAME = re.compile(r"ukbench[0-9]{5}\.jpg")

CARD = Card(
    name="ukbench",
    title="UKBench",
    kind=("eval",),
    homepage="https://archive.org/details/ukbench",
    citation="Nistér, Stewénius: Scalable recognition with a vocabulary tree. CVPR 2006.",
    licence=Licence(text="No licence is stated; cite."),
    terms=Terms(text="Research use; cite.", accept_required=True),
    files=(
        File(
            name="ukbench.zip",
            role="images",
            urls=("https://archive.org/download/ukbench/ukbench.zip",),
            about=2_000_000_000,
            archive="zip",
        ),
    ),
    tree={"images": layouts(["full"], ("", "ukbench", "data/ukbench"))},
    expected={
        "queries": unconfirmed(10_200, "names 00000 to 10199"),
        "database": unconfirmed(10_200, "names 00000 to 10199"),
    },
    needs_disk=4_000_000_000,
    protocol="Groups of four; every image asks, its own image counts as found: N-S score is 4 × mP@4.",
    notes=("The first release had duplicate and transposed images; use the revised one.",),
)


def build(*, own_image: Literal["positive", "junk"] = "positive") -> Converter:
    """`full/ukbenchNNNNN.jpg`, group = number // 4; the query's own image counts (N-S) or is junk."""

    def convert(source: Path, writer: LayoutWriter) -> None:
        root = locate(source, CARD)["images"]
        names = sorted(path for path in walk_files(root) if NAME.fullmatch(path))
        numbers = np.array([int(name[7:12]) for name in names], dtype=np.int64)
        groups, sizes = np.unique(numbers // 4, return_counts=True)
        if len(names) == 0 or np.any(sizes != 4):
            which = (
                f"group {groups[sizes != 4][0]} has {sizes[sizes != 4][0]} images, not 4"
                if len(names)
                else "no images"
            )
            raise DataError(f"{root}: {which}. Is this the whole, revised release?")
        if own_image == "junk":
            return add_self_queries(writer, root, Labelled(names, [str(group) for group in numbers // 4]))
        hand_over(writer, root, names)
        rows = [np.arange(start, start + 4) for start in range(0, len(names), 4) for _ in range(4)]
        return writer.evaluation(
            Side(names),
            Side(names),
            judgements=Truth(judgements={"positive": Ragged.of(rows)}),
            query_rows=np.arange(len(names)),
        )

    return convert
