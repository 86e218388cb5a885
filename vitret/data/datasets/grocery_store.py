"""Grocery Store dataset: Klasson, Zhang, Kjellström, WACV 2019; with a zero-shot split of ours."""

from pathlib import Path

from vitret.data.card import Card, File, Licence
from vitret.data.datasets._conversion import Converter, add_category_set, split_names
from vitret.data.datasets._sources import verified
from vitret.data.formats.text import Labelled
from vitret.data.formats.text import grocery as read_grocery
from vitret.data.formats.trees import layouts, locate
from vitret.data.layout.write import LayoutWriter

COMMIT = "fc80ba90f803d79d0383df52c5a4ac5de99ff6fc"
FOLDERS = (
    f"GroceryStoreDataset-{COMMIT}/dataset",
    "GroceryStoreDataset-master/dataset",
    "GroceryStoreDataset/dataset",
    "dataset",
    "",
)
SOURCE = "counted in the repository at this commit"

CARD = Card(
    name="grocery-store",
    title="Grocery Store dataset",
    kind=("train", "eval"),
    homepage="https://github.com/marcusklasson/GroceryStoreDataset",
    citation="Klasson, Zhang, Kjellström: A hierarchical grocery store image dataset with visual and "
    "semantic labels. WACV 2019.",
    licence=Licence(
        text="MIT, Copyright (c) 2019 Marcus Klasson.", spdx="MIT", commercial=True, redistribution=True
    ),
    files=(
        File(
            name="GroceryStoreDataset.tar.gz",
            role="images",
            urls=(
                f"https://codeload.github.com/marcusklasson/GroceryStoreDataset/tar.gz/{COMMIT}",
                f"https://github.com/marcusklasson/GroceryStoreDataset/archive/{COMMIT}.tar.gz",
            ),
            # The photographs alone have 121,525,298 bytes; the archive itself was never fetched.
            about=140_000_000,
            archive="tar",
        ),
    ),
    tree={name: layouts([f"{name}.txt"], FOLDERS) for name in ("train", "val", "test")},
    expected={
        "train": verified(2_544, SOURCE),
        "classes": verified(41, SOURCE),
        "queries": verified(2_877, SOURCE),
        "database": verified(2_877, SOURCE),
    },
    needs_disk=350_000_000,
    protocol="Every photograph of the last 40 classes asks the rest; R@1, 2, 4, 8, MAP@R.",
    notes=(
        "The split is ours: the 81 class names in alphabetical order, the first 41 for training. The authors' lists "
        "(train, val, test) share all classes, are for classification and are read together.",
        "GitHub makes the archive on demand and promises no hash of it: the hash of your first download is recorded.",
    ),
)


def build() -> Converter:
    """The three official lists together; the first half of the class names for training."""

    def convert(source: Path, writer: LayoutWriter) -> None:
        tree = locate(source, CARD)
        listed = Labelled([], [])
        for name in ("train", "val", "test"):
            read = read_grocery(tree[name])
            listed.paths.extend(read.paths)
            listed.labels.extend(read.labels)
        add_category_set(writer, tree["train"].parent, *split_names(listed))

    return convert
