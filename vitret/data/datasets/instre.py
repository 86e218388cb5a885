"""INSTRE: Wang, Jiang, TOMM 2015; queries and judgements of Iscen et al., CVPR 2017."""

from pathlib import Path
from typing import Literal

from vitret.core.errors import DataError
from vitret.core.records import Ragged, Truth
from vitret.data.card import Card, File, Licence, Terms
from vitret.data.datasets._conversion import Converter, hand_over, require
from vitret.data.datasets._sources import unconfirmed
from vitret.data.formats.mat import InstreTruth, read_instre
from vitret.data.formats.trees import layouts, locate
from vitret.data.layout.parts import Side
from vitret.data.layout.write import LayoutWriter

BASE = "ftp://ftp.irisa.fr/local/texmex/corpus/instre"
FOLDERS = ("", "instre", "INSTRE", "INSTRE_release", "data/instre", "test/instre", "data/test/instre")

CARD = Card(
    name="instre",
    title="INSTRE",
    kind=("eval",),
    homepage="https://cmp.felk.cvut.cz/~iscenahm/",
    citation="Wang, Jiang: INSTRE: a new benchmark for instance-level object retrieval and "
    "recognition. TOMM 2015. Protocol: "
    "Iscen, Tolias, Avrithis, Furon, Chum: Efficient diffusion on region manifolds. CVPR 2017.",
    licence=Licence(text="No licence is stated; research use; cite."),
    terms=Terms(text="Research use; cite.", accept_required=True),
    files=(
        File(name="gnd_instre.mat", role="truth", urls=(f"{BASE}/gnd_instre.mat",)),
        File(
            name="instre.tar.gz",
            role="images",
            urls=(f"{BASE}/instre.tar.gz",),
            about=2_300_000_000,
            archive="tar",
        ),
    ),
    tree={
        "truth": layouts(["gnd_instre.mat"], FOLDERS),
        "images": ("", "instre", "INSTRE_release", "INSTRE", "data/instre"),
    },
    expected={
        "queries": unconfirmed(1_250, "read in users' code"),
        "database": unconfirmed(27_293, "read in users' code"),
    },
    needs_disk=5_000_000_000,
    protocol="Boxed queries, five an object; mAP; no junk; queries are not in the database.",
    notes=(
        "Codes disagree on the query boxes of the mat file; here they are corners x0 y0 x1 y1 unless "
        "the option boxes says xywh.",
        "The original distribution is a rar archive (INSTRE_release.rar), which is not unpacked here: use --from DIR.",
    ),
)


def build(*, boxes: Literal["xyxy", "xywh"] = "xyxy") -> Converter:
    """`gnd_instre.mat` beside the folders INSTRE-S1, INSTRE-S2, INSTRE-M; indices of the mat file count from one."""

    def convert(source: Path, writer: LayoutWriter) -> None:
        tree = locate(source, CARD)
        truth = read_instre(tree["truth"])
        root = (
            tree["truth"].parent
            if (tree["truth"].parent / truth.database[0]).is_file()
            else _root(source, truth)
        )
        require(root, truth.database + truth.queries, "images")
        hand_over(writer, root, truth.database + truth.queries)
        corners = truth.boxes.copy()
        if boxes == "xywh":
            corners[:, 2:] += corners[:, :2]
        writer.evaluation(
            Side(truth.database),
            Side(truth.queries, boxes=corners),
            judgements=Truth(judgements={"positive": Ragged.of(truth.positives)}),
        )

    return convert


def _root(source: Path, truth: InstreTruth) -> Path:
    """The folder from which the first database image of the list is found."""
    for folder in CARD.tree["images"]:
        if (source / folder / truth.database[0]).is_file():
            return source / folder
    raise DataError(
        f"{source}: {truth.database[0]} is not there (looked in {', '.join(CARD.tree['images'])})."
    )
