"""CUB-200-2011, zero-shot retrieval split: Wah et al., 2011; Song et al., CVPR 2016."""

from pathlib import Path

from vitret.data.card import Card, File, Licence, Terms
from vitret.data.datasets._conversion import Converter, add_category_set, split_classes
from vitret.data.datasets._sources import verified
from vitret.data.formats.text import cub as read_cub
from vitret.data.formats.trees import layouts, locate
from vitret.data.layout.write import LayoutWriter

FOLDERS = ("", "CUB_200_2011", "cub200", "cub", "CUB", "data/CUB_200_2011")

CARD = Card(
    name="cub200",
    title="Caltech-UCSD Birds (CUB-200-2011)",
    kind=("train", "eval"),
    homepage="https://data.caltech.edu/records/65de6-vp158",
    citation="Wah, Branson, Welinder, Perona, Belongie: The Caltech-UCSD Birds-200-2011 dataset. "
    "Technical report, 2011.",
    licence=Licence(
        text="Non-commercial research and educational purposes (as remembered; confirm on the homepage).",
        commercial=False,
    ),
    terms=Terms(
        text="Non-commercial research and educational use; the photographs belong to their photographers.",
        url="https://data.caltech.edu/records/65de6-vp158",
        accept_required=True,
    ),
    files=(
        File(
            name="CUB_200_2011.tgz",
            role="images",
            urls=("https://data.caltech.edu/records/65de6-vp158/files/CUB_200_2011.tgz",),
            about=1_150_000_000,
            md5="97eceeb196236b17998738112f37df78",
            hash_source="third party",
            archive="tar",
        ),
    ),
    tree={
        "images": layouts(["images"], ("CUB_200_2011", *FOLDERS)),
        "list": layouts(["images.txt"], ("CUB_200_2011", *FOLDERS)),
        "classes": layouts(["image_class_labels.txt"], ("CUB_200_2011", *FOLDERS)),
    },
    expected={
        "train": verified(5_864),
        "queries": verified(5_924),
        "database": verified(5_924),
        "classes": verified(100),
    },
    needs_disk=2_400_000_000,
    protocol="Classes 1–100 train, 101–200 test; every test image asks the rest; R@1, 2, 4, 8, MAP@R.",
    notes=("train_test_split.txt is another split (classification, 5,994/5,794) and is not used.",),
)


def build() -> Converter:
    """The first hundred classes for training, the others as queries and database at once."""

    def convert(source: Path, writer: LayoutWriter) -> None:
        tree = locate(source, CARD)
        train, test = split_classes(read_cub(tree["list"], tree["classes"]), train=range(1, 101))
        add_category_set(writer, tree["images"], train, test)

    return convert
