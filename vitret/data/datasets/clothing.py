"""Clothing dataset: Grigorev, 2020; with a zero-shot split of ours."""

from pathlib import Path

from vitret.data.card import Card, File, Licence
from vitret.data.datasets._conversion import Converter, add_category_set, split_names
from vitret.data.datasets._sources import verified
from vitret.data.formats.text import clothing as read_clothing
from vitret.data.formats.trees import layouts, locate
from vitret.data.layout.write import LayoutWriter

COMMIT = "7ed86a9cc56763b6acb35e41cb35184e43a5d218"
FOLDERS = (f"clothing-dataset-{COMMIT}", "clothing-dataset-master", "clothing-dataset", "")
# No kind of clothes: what a volunteer could not or would not name.
LEFT_OUT = ("Not sure", "Other", "Skip")
SOURCE = "counted in the repository at this commit"

CARD = Card(
    name="clothing",
    title="Clothing dataset",
    kind=("train", "eval"),
    homepage="https://github.com/alexeygrigorev/clothing-dataset",
    citation="Grigorev: Clothing dataset. 2020.",
    licence=Licence(
        text="CC0 1.0 Universal: free for any purpose.", spdx="CC0-1.0", commercial=True, redistribution=True
    ),
    files=(
        File(
            name="clothing-dataset.tar.gz",
            role="images",
            urls=(
                f"https://codeload.github.com/alexeygrigorev/clothing-dataset/tar.gz/{COMMIT}",
                f"https://github.com/alexeygrigorev/clothing-dataset/archive/{COMMIT}.tar.gz",
            ),
            # The photographs alone have 160,823,620 bytes; the archive itself was never fetched.
            about=161_000_000,
            archive="tar",
        ),
    ),
    tree={"list": layouts(["images.csv"], FOLDERS)},
    expected={
        "train": verified(2_532, SOURCE),
        "classes": verified(9, SOURCE),
        "queries": verified(2_564, SOURCE),
        "database": verified(2_564, SOURCE),
    },
    needs_disk=450_000_000,
    protocol="Every photograph of the last 8 kinds asks the rest; R@1, 2, 4, 8, MAP@R.",
    notes=(
        "The split is ours: the 17 kinds in alphabetical order, the first 9 for training. 'Not sure', 'Other' and "
        "'Skip' are left out.",
        "A photograph is right if it shows the same kind of clothes, so this is category retrieval, not retrieval of "
        "one thing.",
        "GitHub makes the archive on demand and promises no hash of it: the hash of your first download is recorded.",
    ),
)


def build() -> Converter:
    """`images.csv` without the labels that are no kind of clothes; the first half of the kinds for training."""

    def convert(source: Path, writer: LayoutWriter) -> None:
        listed = locate(source, CARD)["list"]
        add_category_set(writer, listed.parent, *split_names(read_clothing(listed, leave_out=LEFT_OUT)))

    return convert
