"""iNaturalist 2018, retrieval split: Van Horn et al., CVPR 2018; Brown et al., ECCV 2020; from your folder."""

from pathlib import Path

from vitret.data.card import Card, Licence
from vitret.data.datasets._conversion import Converter, add_category_set
from vitret.data.datasets._sources import unconfirmed
from vitret.data.formats.text import class_folders, lines
from vitret.data.formats.trees import layouts, locate
from vitret.data.layout.write import LayoutWriter

FOLDERS = ("", "Inat_dataset_splits", "inaturalist", "inaturalist/Inat_dataset_splits", "inaturalist2018")

CARD = Card(
    name="inaturalist2018",
    title="iNaturalist 2018, retrieval split",
    kind=("train", "eval"),
    homepage="https://github.com/visipedia/inat_comp/tree/master/2018",
    citation="Van Horn et al.: The iNaturalist species classification and detection dataset. CVPR "
    "2018. Split: Brown, Xie, "
    "Kalogeiton, Zisserman: Smooth-AP. ECCV 2020.",
    licence=Licence(
        text="Photographs of iNaturalist users, each by its own licence; non-commercial research.",
        commercial=False,
    ),
    gated="own-copy",
    by_hand="Fetch train_val2018.tar.gz from the homepage and the split (Inaturalist_train_set1.txt, "
    "Inaturalist_test_set1.txt) of "
    "Smooth-AP, unpack both in one folder, and run: vitret prepare inaturalist2018 --from DIR",
    tree={
        "train": layouts(["Inaturalist_train_set1.txt"], FOLDERS),
        "test": layouts(["Inaturalist_test_set1.txt"], FOLDERS),
        "images": ("inaturalist", "inaturalist2018", ""),
    },
    expected={
        "train": unconfirmed(325_846),
        "classes": unconfirmed(5_690),
        "queries": unconfirmed(136_093),
        "database": unconfirmed(136_093),
    },
    image_set_version="own-copy",
    needs_disk=0,
    protocol="Every test image asks the rest; R@1, 4, 16, 32.",
)


def build() -> Converter:
    """Lists of `train_val2018/<group>/<species>/<file>`; the folder is the class."""

    def convert(source: Path, writer: LayoutWriter) -> None:
        tree = locate(source, CARD)
        train, test = (class_folders(list(lines(tree[part]))) for part in ("train", "test"))
        root = tree["images"]
        add_category_set(writer, root, train, test)

    return convert
