"""UnED, eight domains in one: Ypsilantis et al., "Towards Universal Image Embeddings", ICCV 2023; from your folders."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pyarrow as pa

from vitret.data.card import Card, Licence
from vitret.data.datasets._conversion import Converter, hand_over_folder, judged_by_labels, require
from vitret.data.datasets._sources import unconfirmed
from vitret.data.formats.trees import layouts, locate
from vitret.data.formats.uned import Listed, read_info
from vitret.data.layout.parquet import text_column
from vitret.data.layout.parts import Side
from vitret.data.layout.write import LayoutWriter

# Domains whose test images ask each other, and those whose test images ask an index of their own.
AMONG_THEMSELVES = ("cars", "sop", "inat", "food2k", "rp2k")
WITH_INDEX = ("inshop", "met", "gldv2")
FOLDERS = ("", "data", "uned", "Universal-Image-Embeddings/data")
SOURCE = "dataset_infos.py of its code at commit 3768d3e"

CARD = Card(
    name="uned",
    title="UnED, eight domains merged",
    kind=("train", "eval"),
    homepage="https://cmp.felk.cvut.cz/univ_emb/",
    citation="Ypsilantis, Chen, Cao, Lipovský, Dogan-Schönberger, Makosa, Bluntschli, Seyedhosseini, Chum, Araujo: "
    "Towards universal image embeddings: a large-scale dataset and challenge for generic image representations. "
    "ICCV 2023.",
    licence=Licence(
        text="Splits without a stated licence; each of the eight image sets has its own.", commercial=False
    ),
    gated="own-copy",
    by_hand="Fetch info_files.zip from the homepage and the eight image sets from the addresses it lists, lay the "
    "images out as images/cars, images/food2k, … as the README of nikosips/Universal-Image-Embeddings shows, and run: "
    "vitret prepare uned --from DIR",
    tree={"info": layouts(["info_files"], FOLDERS), "images": layouts(["images"], FOLDERS)},
    expected={
        "train": unconfirmed(2_831_222, SOURCE),
        "validation": unconfirmed(293_280, SOURCE),
        "queries": unconfirmed(241_986, SOURCE),
        "database": unconfirmed(225_636 + 1_171_490, SOURCE),
    },
    image_set_version="own-copy",
    needs_disk=0,
    protocol="The test queries of all eight domains ask the merged index of all; R@1 and mP@5.",
    notes=(
        "The paper's main number merges the eight indices: an image of another domain is wrong, as here.",
        "Its descriptors have at most 64 dimensions: `vitret bench --dims 64` measures so.",
        "The index of the Met domain is its training part, as in Met itself.",
    ),
)


def build() -> Converter:
    """`info_files/<domain>/{train,val,test,index}.json` with paths below `images/`; classes count within a domain."""

    def convert(source: Path, writer: LayoutWriter) -> None:
        tree = locate(source, CARD)
        every = (*AMONG_THEMSELVES, *WITH_INDEX)
        learned = _read(tree["info"], every, "train")
        # The Met's queries for validation ask for exhibits of its training part.
        held = _read(tree["info"], [domain for domain in every if domain != "met"], "val")
        asking = _read(tree["info"], every, "test")
        index = _read(tree["info"], AMONG_THEMSELVES, "test") + _read(tree["info"], WITH_INDEX, "index")
        parts = [learned + held, asking, index]
        require(tree["images"], [path for part in parts for path, _ in part], "images")
        # One link for the whole folder: four million single ones would take hours.
        paths = text_column(pa.array([path for part in parts for path, _ in part], pa.large_string()))
        placed = hand_over_folder(writer, tree["images"], paths, "uned")
        trained, asked, searched = np.split(placed, np.cumsum([len(part) for part in parts])[:-1])
        validation = np.arange(len(trained)) >= len(learned)
        writer.train(trained, [classes[0] for _, classes in parts[0]], validation=validation)
        truth = judged_by_labels([classes for _, classes in asking], [classes for _, classes in index])
        writer.evaluation(Side(searched), Side(asked), judgements=truth)

    return convert


def _read(folder: Path, domains: Sequence[str], split: str) -> Listed:
    """One split of some domains end to end; a class is named with its domain."""
    return [
        (path, [f"{domain}/{one}" for one in classes])
        for domain in domains
        for path, classes in read_info(folder / domain / f"{split}.json")
    ]
