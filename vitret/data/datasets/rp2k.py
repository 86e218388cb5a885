"""RP2K, products on shelves: Peng, Xiao, Li, 2020; from your folder, with a zero-shot split of ours."""

from pathlib import Path

from vitret.data.card import Card, Licence
from vitret.data.datasets._conversion import Converter, add_category_set, split_names
from vitret.data.datasets._sources import unconfirmed
from vitret.data.formats.text import Labelled
from vitret.data.formats.trees import layouts, locate, walk_files
from vitret.data.layout.write import LayoutWriter

FOLDERS = ("", "all", "rp2k/all", "rp2k_dataset/all", "RP2K/all", "images/rp2k/all", "data/images/rp2k/all")

CARD = Card(
    name="rp2k",
    title="RP2K",
    kind=("train", "eval"),
    homepage="https://www.pinlandata.com/rp2k_dataset",
    citation="Peng, Xiao, Li: RP2K: a large-scale retail product dataset for fine-grained image classification. "
    "arXiv 2006.12634, 2020.",
    licence=Licence(text="No licence could be read; ask on the homepage before any use but research."),
    gated="own-copy",
    by_hand="Fetch rp2k_dataset.zip from the homepage, unpack it (all/train and all/test, a folder a product), and "
    "run: vitret prepare rp2k --from DIR",
    tree={name: layouts([name], FOLDERS) for name in ("train", "test")},
    expected={"classes": unconfirmed(1_194, "half of about 2,388 products, as remembered")},
    image_set_version="own-copy",
    needs_disk=0,
    protocol="Every photograph of the official test part that shows one of the last half of the products asks the "
    "others; R@1, 2, 4, 8, MAP@R.",
    notes=(
        "The split is ours: product names in alphabetical order, all photographs of the first half for training. The "
        "official parts share all products and are for classification. UnED's own split of it is in `uned`.",
    ),
)


def build() -> Converter:
    """`train/<product>/…` and `test/<product>/…`; the folder is the class."""

    def convert(source: Path, writer: LayoutWriter) -> None:
        tree = locate(source, CARD)
        listed = Labelled([], [])
        for part in ("train", "test"):
            for name in sorted(walk_files(tree[part])):
                listed.paths.append(f"{part}/{name}")
                listed.labels.append(name.rpartition("/")[0])
        train, rest = split_names(listed)
        asked = [(path, label) for path, label in zip(*rest, strict=True) if path.startswith("test/")]
        test = Labelled([path for path, _ in asked], [label for _, label in asked])
        add_category_set(writer, tree["train"].parent, train, test)

    return convert
