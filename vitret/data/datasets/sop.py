"""Stanford Online Products: Song et al., CVPR 2016."""

from pathlib import Path

from vitret.data.card import Card, File, Licence, Terms
from vitret.data.datasets._conversion import Converter, add_category_set
from vitret.data.datasets._sources import verified
from vitret.data.formats.text import sop as read_sop
from vitret.data.formats.trees import layouts, locate
from vitret.data.layout.write import LayoutWriter

FOLDERS = ("", "Stanford_Online_Products", "sop", "SOP", "data/Stanford_Online_Products")

CARD = Card(
    name="sop",
    title="Stanford Online Products (SOP)",
    kind=("train", "eval"),
    homepage="https://cvgl.stanford.edu/projects/lifted_struct/",
    citation="Song, Xiang, Jegelka, Savarese: Deep metric learning via lifted structured feature embedding. CVPR 2016.",
    licence=Licence(
        text="eBay photographs without a data licence; research use.", commercial=False, redistribution=False
    ),
    terms=Terms(text="Photographs of eBay sellers, for research; do not pass them on.", accept_required=True),
    files=(
        File(
            name="Stanford_Online_Products.zip",
            role="images",
            urls=(
                "http://ftp.cs.stanford.edu/cs/cvgl/Stanford_Online_Products.zip",
                "ftp://cs.stanford.edu/cs/cvgl/Stanford_Online_Products.zip",
            ),
            size=3_083_860_082,
            md5="7f73d41a2f44250d4779881525aea32e",
            sha256="b04fa78210e69fab050ce73939550e1cd0f96890bdd98ec9fee732c3b756ef48",
            hash_source="third party",
            archive="zip",
        ),
    ),
    tree={
        "train": layouts(["Ebay_train.txt", "Info_Files/Ebay_train.txt"], FOLDERS),
        "test": layouts(["Ebay_test.txt", "Info_Files/Ebay_test.txt"], FOLDERS),
        "images": (
            "Stanford_Online_Products",
            "sop/images",
            "sop",
            "SOP",
            "data/Stanford_Online_Products",
            "images",
            "",
        ),
    },
    expected={
        "train": verified(59_551),
        "classes": verified(11_318),
        "queries": verified(60_502),
        "database": verified(60_502),
    },
    needs_disk=6_300_000_000,
    protocol="Every test image asks the rest; R@1, 10, 100, 1000.",
    notes=(
        "The authors also give a Google Drive copy (1TclrpQOF_ullUP99wk_gjGN8pKvtErG8), which needs "
        "a browser: unpack it and "
        "use --from DIR.",
    ),
)


def build() -> Converter:
    """`Ebay_train.txt` for training, `Ebay_test.txt` as queries and database at once."""

    def convert(source: Path, writer: LayoutWriter) -> None:
        tree = locate(source, CARD)
        add_category_set(writer, tree["images"], read_sop(tree["train"]), read_sop(tree["test"]))

    return convert
