"""One million distractors of the revisited benchmark (R1M): Radenović et al., CVPR 2018."""

from pathlib import Path

from vitret.data.card import Card, File, Licence, Shards, Terms
from vitret.data.datasets._conversion import Converter, among, hand_over_folder
from vitret.data.datasets._sources import REVISITED_CITATION, REVISITED_HOME, unconfirmed
from vitret.data.formats.text import lines
from vitret.data.formats.trees import layouts, locate
from vitret.data.layout.parquet import encoded
from vitret.data.layout.write import LayoutWriter

BASE = "http://ptak.felk.cvut.cz/revisitop/revisitop1m"
FOLDERS = ("", "revisitop1m", "datasets/revisitop1m", "data/datasets/revisitop1m", "test/revisitop1m")

CARD = Card(
    name="revisitop1m",
    title="Revisited distractors (R1M)",
    kind=("distractors",),
    homepage=REVISITED_HOME,
    citation=REVISITED_CITATION,
    licence=Licence(
        text="Flickr photographs (YFCC100M); each keeps its own licence. No redistribution; cite.",
        redistribution=False,
    ),
    terms=Terms(text="Photographs of Flickr users, for research; do not pass them on.", accept_required=True),
    files=(File(name="revisitop1m.txt", role="labels", urls=(f"{BASE}/revisitop1m.txt",)),),
    shards=(
        Shards(
            name="revisitop1m.{n}.tar.gz",
            url=BASE + "/jpg/revisitop1m.{n}.tar.gz",
            first=1,
            count=100,
            bytes_each=4_200_000_000,
            into="jpg",
        ),
    ),
    tree={"images": layouts(["jpg"], FOLDERS), "list": layouts(["revisitop1m.txt"], FOLDERS)},
    expected={"database": unconfirmed(1_001_001)},
    needs_disk=430_000_000_000,
    protocol="Database images that no query asks for; added to ROxford or RParis.",
    notes=(
        "No hash is published; the first download records one.",
        "Some JPEG files are cut short; they are kept out and listed in the manifest.",
    ),
)


def build() -> Converter:
    """Photographs by the official list, in hexadecimal folders; any subset of the shards is a valid state."""

    def convert(source: Path, writer: LayoutWriter) -> None:
        tree = locate(source, CARD)
        listed = encoded(list(lines(tree["list"])))
        _, there = among(tree["images"], listed, "photographs")
        writer.distractors(hand_over_folder(writer, tree["images"], there, "jpg"))

    return convert
