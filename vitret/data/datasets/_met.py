"""What the two Met sets share: Ypsilantis et al., NeurIPS Datasets and Benchmarks 2021."""

from pathlib import Path

from vitret.data.card import Card, File, Licence, Terms
from vitret.data.datasets._conversion import Converter, hand_over, require
from vitret.data.formats.met import read_database, read_queries
from vitret.data.formats.trees import layouts, locate
from vitret.data.layout.parts import Side
from vitret.data.layout.write import LayoutWriter

BASE = "http://ptak.felk.cvut.cz/met/dataset"
HOME = "http://cmp.felk.cvut.cz/met/"
CITATION = (
    "Ypsilantis, Garcia, Han, Ibrahimi, van Noord, Tolias: The Met dataset: instance-level "
    "recognition for artworks. NeurIPS 2021."
)
LICENCE = Licence(
    text="Annotations CC BY 4.0; photographs of The Met under its open-access terms, visitors' by their own licences.",
    spdx="CC-BY-4.0",
)
TERMS = Terms(text="Cite; visitors' photographs keep their own licences.", url=HOME, accept_required=True)
FOLDERS = ("", "met", "met_dataset", "met-dataset", "MET_dataset")
QUERIES = File(
    name="test_met.tar.gz",
    role="images",
    urls=(f"{BASE}/test_met.tar.gz",),
    size=34_048_842,
    sha256="2bc9b2e906d5fc69c4c136860b42604ef867b69ada10f1e08aa49175cbe08a35",
    hash_source="third party",
    archive="tar",
)
TRUTH = File(
    name="ground_truth.tar.gz",
    role="truth",
    urls=(f"{BASE}/ground_truth.tar.gz",),
    archive="tar",
    into="ground_truth",
    flatten=True,
)


def tree(database: str) -> dict[str, tuple[str, ...]]:
    """Lists beside the folders MET and test_met, or in ground_truth/; photographs at the root or in images/."""
    lists = [f"{folder}{{}}" for folder in ("ground_truth/", "", "data/ground_truth/")]
    return {
        "database": layouts([name.format(database) for name in lists], FOLDERS),
        "queries": layouts([name.format("testset.json") for name in lists], FOLDERS),
        "images": (
            "images",
            *layouts(["images"], FOLDERS[1:]),
            "met",
            "met_dataset",
            "met-dataset",
            "MET_dataset",
            "",
        ),
    }


def convert(card: Card) -> Converter:
    """Database and queries by exhibit; a query without `MET_id` shows none and is left out."""

    def from_tree(source: Path, writer: LayoutWriter) -> None:
        found = locate(source, card)
        root = found["images"]
        paths, labels = read_database(found["database"])
        asked, exhibits = read_queries(found["queries"])
        require(root, paths + asked, "photographs")
        hand_over(writer, root, paths + asked)
        writer.evaluation(Side(paths, labels=labels), Side(asked, labels=exhibits))

    return from_tree
