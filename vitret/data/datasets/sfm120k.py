"""retrieval-SfM-120k, tuples from 3-D models: Radenović, Tolias, Chum, TPAMI 2018."""

from pathlib import Path

from vitret.data.card import Card
from vitret.data.datasets import _sfm
from vitret.data.datasets._conversion import Converter
from vitret.data.datasets._sources import unconfirmed

CARD = Card(
    name="sfm120k",
    title="retrieval-SfM-120k",
    kind=("train",),
    homepage=_sfm.HOME,
    citation=_sfm.CITATION,
    licence=_sfm.LICENCE,
    terms=_sfm.TERMS,
    files=(_sfm.database("retrieval-SfM-120k"), _sfm.IMAGES),
    tree=_sfm.tree("retrieval-SfM-120k"),
    expected={
        "train": unconfirmed(91_642),
        "validation": unconfirmed(6_403),
        "classes": unconfirmed(713, "a later paper's table: 551 + 162"),
        "pairs": unconfirmed(183_388, "181,697 + 1,691"),
    },
    needs_disk=70_000_000_000,
    protocol="Tuples: query and positive from the pairs, negatives mined from other clusters.",
    notes=(
        "The label of an image is its 3-D model (cluster); the official validation part is marked as validation.",
        "No hash is published; the first download records one.",
        "Photographs carry no file extension: ims/<xx>/<xx>/<xx>/<cid> by the last six characters of the cid.",
    ),
)


def wanted(tree: Path) -> frozenset[str]:
    """The photographs of the archive that the database names."""
    return _sfm.listed(tree, CARD)


def build() -> Converter:
    """Clusters as labels, (query, positive) as pairs; images of both parts in one table."""
    return _sfm.convert(CARD)
