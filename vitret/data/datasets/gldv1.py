"""Google Landmarks 2018 (v1): Noh et al., ICCV 2017; withdrawn by its publisher, adopted from a folder you have."""

from pathlib import Path

import pyarrow.compute as pc

from vitret.data.card import Card, Licence
from vitret.data.datasets._conversion import Converter, among, hand_over_folder
from vitret.data.datasets._sources import unconfirmed
from vitret.data.formats.gldv2 import read_train
from vitret.data.formats.trees import layouts, locate
from vitret.data.layout.parquet import text_column
from vitret.data.layout.write import LayoutWriter

FOLDERS = ("", "gldv1", "GL18", "train/gldv1", "data/train/gldv1", "landmarks18")

CARD = Card(
    name="gldv1",
    title="Google Landmarks v1 (2018), noisy",
    kind=("train",),
    homepage="https://www.kaggle.com/google/google-landmarks-dataset",
    citation="Noh, Araujo, Sim, Weyand, Han: Large-scale image retrieval with attentive deep local "
    "features. ICCV 2017.",
    licence=Licence(
        text="Lists of addresses of other people's photographs; each keeps its own licence.",
        redistribution=False,
    ),
    gated="withdrawn",
    by_hand="The set was withdrawn from Kaggle. If you have a copy (SOLAR's GL18_TRAIN.tar.gz "
    "unpacked, with train.csv beside "
    "it), run: vitret prepare gldv1 --from DIR",
    tree={
        "labels": layouts(["train.csv"], FOLDERS),
        "images": layouts(["jpg", "train", "images"], FOLDERS),
    },
    expected={
        "train": unconfirmed(1_225_029, "rows of train.csv; addresses have died since"),
        "classes": unconfirmed(14_951),
    },
    image_set_version="own-copy",
    needs_disk=0,
    protocol="Classification of landmarks; labels are noisy.",
    notes=("Photographs that are listed and not there are left out and counted in the report.",),
)


def build() -> Converter:
    """`train.csv` (id, url, landmark_id) and a folder of `<id>.jpg`; missing photographs are left out."""

    def convert(source: Path, writer: LayoutWriter) -> None:
        tree = locate(source, CARD)
        listed = read_train(tree["labels"])
        paths = text_column(pc.binary_join_element_wise(listed.ids, "jpg", "."))
        rows, places = among(tree["images"], paths, "photographs")
        writer.train(hand_over_folder(writer, tree["images"], places, "train"), listed.landmarks[rows])

    return convert
