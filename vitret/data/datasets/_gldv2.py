"""What the GLDv2 sets share: Google's bucket, lists, shards with published md5, folders users have."""

from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc

from vitret.core.errors import DataError
from vitret.core.records import Ragged, Truth
from vitret.data.card import Card, File, Licence, Overlap, Shards, Terms
from vitret.data.datasets._conversion import Converter, among, hand_over_folder
from vitret.data.datasets._sources import unconfirmed, verified
from vitret.data.formats.gldv2 import (
    Usage,
    image_paths,
    read_clean,
    read_exclusions,
    read_ids,
    read_solution,
    read_train,
    without_landmarks,
)
from vitret.data.formats.trees import first_existing, layouts, locate
from vitret.data.layout.parquet import text_column
from vitret.data.layout.parts import Side
from vitret.data.layout.write import LayoutWriter

BASE = "https://s3.amazonaws.com/google-landmark"
HOME = "https://github.com/cvdfoundation/google-landmark"
CITATION = (
    "Weyand, Araujo, Cao, Sim: Google Landmarks Dataset v2: a large-scale benchmark for instance-level recognition and "
    "retrieval. CVPR 2020."
)
TRAIN_LICENCE = Licence(
    text="Annotations CC BY 4.0; photographs under CC BY licences without the no-derivatives clause, each named in "
    "train_attribution.csv, which must travel with any subset. Google gives no warranty.",
    spdx="CC-BY-4.0",
    commercial=True,
    redistribution=True,
)
INDEX_LICENCE = Licence(
    text="Annotations CC BY 4.0; index and test photographs CC0 or in the public domain. Google gives no warranty.",
    spdx="CC-BY-4.0",
    commercial=True,
    redistribution=True,
)
TERMS = Terms(
    text="Attribution: keep train_attribution.csv beside the photographs.", url=HOME, accept_required=True
)
OVERLAPS = tuple(
    Overlap(
        set=name,
        what=f"{share} queries have a near duplicate or the same landmark here",
        source="RGLDv2, CVPR 2024",
    )
    for name, share in (("roxford5k", "38 of 70"), ("rparis6k", "36 of 70"))
)
FOLDERS = ("", "gldv2", "google-landmark", "google_landmarks_v2", "data/gldv2", "landmark")


def list_file(path: str, *, role: str = "labels") -> File:
    """A csv of the bucket, kept under its own name."""
    name = path.rpartition("/")[2]
    return File.model_validate({"name": name, "role": role, "urls": (f"{BASE}/{path}",)})


def shards(split: str, count: int, bytes_each: int) -> Shards:
    """The tars of a split: three digits, an md5 file each, members `a/b/c/<id>.jpg`."""
    return Shards(
        name=split + "_images_{n:03d}.tar",
        url=f"{BASE}/{split}/images_{{n:03d}}.tar",
        md5_url=f"{BASE}/md5sum/{split}/md5.images_{{n:03d}}.txt",
        first=0,
        count=count,
        bytes_each=bytes_each,
        into=split,
    )


TRAIN_SHARDS = (shards("train", 500, 1_000_000_000),)
ATTRIBUTION = list_file("metadata/train_attribution.csv", role="attribution")
TRAIN_TREE = {
    "images": layouts(["train"], FOLDERS),
    "attribution?": layouts(["train_attribution.csv", "metadata/train_attribution.csv"], FOLDERS),
}
TRAIN_LIST = layouts(["train.csv", "metadata/train.csv"], FOLDERS)
CLEAN_LIST = layouts(["train_clean.csv", "metadata/train_clean.csv"], FOLDERS)
RETRIEVAL_TREE = {
    "index": layouts(["index"], FOLDERS),
    "test": layouts(["test"], FOLDERS),
    "list": layouts(["index.csv", "metadata/index.csv"], FOLDERS),
    "truth": layouts(
        [
            "retrieval_solution_v2.1.csv",
            "ground_truth/retrieval_solution_v2.1.csv",
            "metadata/retrieval_solution_v2.1.csv",
        ],
        FOLDERS,
    ),
}


def clean_paths(tree: Path, card: Card) -> frozenset[str]:
    """Paths `a/b/c/<id>.jpg` of all photographs of train_clean.csv."""
    path = first_existing(tree, card.tree["clean"])
    if path is None:
        raise DataError(f"{tree}: train_clean.csv is not there.")
    return frozenset(image_paths(read_clean(path).ids).to_pylist())


def convert_train(card: Card, *, exclude: Path | None = None) -> Converter:
    """The clean or the whole list, as far as its photographs are there; the rest belongs to shards not fetched."""

    def convert(source: Path, writer: LayoutWriter) -> None:
        tree = locate(source, card)
        listed = read_clean(tree["clean"]) if "clean" in tree else read_train(tree["train"])
        if exclude is not None:
            listed = without_landmarks(listed, read_exclusions(exclude))
        paths = text_column(image_paths(listed.ids))
        rows, places = among(tree["images"], paths, "photographs")
        writer.train(hand_over_folder(writer, tree["images"], places, "train"), listed.landmarks[rows])
        if "attribution" in tree:
            writer.attach(tree["attribution"])

    return convert


def retrieval_card(name: str, usage: Usage, queries: int) -> Card:
    """The card of the index and the queries of one usage, whose number is stated by others and not confirmed."""
    return Card(
        name=name,
        title=f"Google Landmarks v2 retrieval, {usage} queries",
        kind=("eval",),
        homepage=HOME,
        citation=CITATION,
        licence=INDEX_LICENCE,
        terms=TERMS,
        files=(
            list_file("metadata/index.csv"),
            list_file("ground_truth/retrieval_solution_v2.1.csv", role="truth"),
        ),
        shards=(shards("index", 100, 850_000_000), shards("test", 20, 500_000_000)),
        tree=RETRIEVAL_TREE,
        expected={"queries": unconfirmed(queries), "database": verified(761_757, "README of the publisher")},
        image_set_version="v2.1",
        needs_disk=100_000_000_000,
        protocol=f"mAP@100, divided by min(number of positives, 100); {usage} queries only.",
        notes=(
            "Rows marked Ignored ask nothing and are left out. Public and private queries are scored apart.",
            "Landmark ids of the index are another numbering than those of the training part.",
        ),
    )


def convert_retrieval(card: Card, usage: Usage) -> Converter:
    """Queries of one usage from test/, the index as far as it is there; positives that are not there are lost.

    The official measure divides by all queries of the solution: with fewer, it is a subset.
    """

    def convert(source: Path, writer: LayoutWriter) -> None:
        tree = locate(source, card)
        solution = read_solution(tree["truth"], usage)
        index = read_ids(tree["list"])
        paths = text_column(image_paths(index))
        rows, searched = among(tree["index"], paths, "index photographs")
        row_of = dict(zip(pc.take(index, pa.array(rows)).to_pylist(), range(len(rows)), strict=True))
        known = set(index.to_pylist())
        if stray := [i for positives in solution.positives for i in positives if i not in known]:
            raise DataError(f"{tree['truth']}: names {stray[0]}, which {tree['list'].name} does not have.")
        asked = text_column(image_paths(pa.array(solution.queries, pa.string())))
        there, asking = among(tree["test"], asked, "queries")
        writer.note_missing(len(there), len(asked), "queries")
        positives = [sorted(row_of[i] for i in solution.positives[q] if i in row_of) for q in there.tolist()]
        database = hand_over_folder(writer, tree["index"], searched, "index")
        queries = hand_over_folder(writer, tree["test"], asking, "test")
        writer.evaluation(
            Side(database), Side(queries), judgements=Truth(judgements={"positive": Ragged.of(positives)})
        )

    return convert
