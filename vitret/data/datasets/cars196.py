"""Cars-196, zero-shot retrieval split: Krause et al., 3dRR 2013; Song et al., CVPR 2016."""

from pathlib import Path

from vitret.core.errors import DataError
from vitret.data.card import Card, File, Licence, Terms
from vitret.data.datasets._conversion import Converter, add_category_set, split_classes
from vitret.data.datasets._sources import unconfirmed
from vitret.data.formats.mat import read_cars
from vitret.data.formats.text import Labelled
from vitret.data.formats.trees import layouts, locate
from vitret.data.layout.write import LayoutWriter

FOLDERS = ("", "cars196", "stanford_cars", "cars", "data/cars196")

CARD = Card(
    name="cars196",
    title="Stanford Cars (Cars-196)",
    kind=("train", "eval"),
    homepage="http://ai.stanford.edu/~jkrause/cars/car_dataset.html",
    citation="Krause, Stark, Deng, Fei-Fei: 3D object representations for fine-grained categorization. 3dRR 2013.",
    licence=Licence(text="Research use; no licence is stated.", commercial=False, redistribution=False),
    terms=Terms(text="Research use.", accept_required=True),
    gated="withdrawn",
    by_hand="The official host is gone, and copies elsewhere rename the files. Put car_ims.tgz "
    "(1,956,628,579 bytes) and cars_annos.mat in a folder, or unpack torchvision's stanford_cars, and run: "
    "vitret prepare cars196 --from DIR --accept-terms",
    files=(
        File(
            name="car_ims.tgz",
            role="images",
            urls=("http://ai.stanford.edu/~jkrause/car196/car_ims.tgz",),
            # Read in code, confirmed by no file: for planning, and no reason to refuse another.
            about=1_956_628_579,
            archive="tar",
        ),
        File(
            name="cars_annos.mat",
            role="labels",
            urls=("http://ai.stanford.edu/~jkrause/car196/cars_annos.mat",),
        ),
    ),
    tree={
        "classes?": layouts(["cars_annos.mat"], FOLDERS),
        "images?": layouts(["car_ims"], FOLDERS),
        "train_classes?": layouts(["devkit/cars_train_annos.mat", "cars_train_annos.mat"], FOLDERS),
        "test_classes?": layouts(
            ["cars_test_annos_withlabels.mat", "devkit/cars_test_annos_withlabels.mat"], FOLDERS
        ),
        "train_images?": layouts(["cars_train"], FOLDERS),
        "test_images?": layouts(["cars_test"], FOLDERS),
    },
    expected={
        "train": unconfirmed(8_054),
        "queries": unconfirmed(8_131),
        "database": unconfirmed(8_131),
        "classes": unconfirmed(98),
    },
    needs_disk=4_000_000_000,
    protocol="Classes 1–98 train, 99–196 test; every test image asks the rest; R@1, 2, 4, 8, MAP@R.",
    notes=("Kaggle copies reorder the files: only the class of each file counts here.",),
)


def build() -> Converter:
    """`cars_annos.mat` with `car_ims/`, or torchvision's two folders; the first 98 classes train."""

    def convert(source: Path, writer: LayoutWriter) -> None:
        tree = locate(source, CARD)
        if "classes" in tree and "images" in tree:
            listed, root = read_cars(tree["classes"]), tree["images"].parent
        else:
            listed, root = _torchvision(source, tree)
        train, test = split_classes(listed, train=range(1, 99))
        add_category_set(writer, root, train, test)

    return convert


def _torchvision(source: Path, tree: dict[str, Path]) -> tuple[Labelled, Path]:
    """Both folders of torchvision's layout as one list."""
    parts = ("train", "test")
    if missing := [
        f"{part}_{what}" for part in parts for what in ("classes", "images") if f"{part}_{what}" not in tree
    ]:
        raise DataError(f"{source}: no tree of Cars-196; missing: {', '.join(missing)}. {CARD.by_hand}")
    listed = Labelled([], [])
    for part in parts:
        read = read_cars(tree[f"{part}_classes"])
        listed.paths.extend(f"cars_{part}/{path}" for path in read.paths)
        listed.labels.extend(read.labels)
    return listed, tree["train_images"].parent
