"""retrieval-SfM-120k as cirtorch uses it: pairs for learned whitening; Radenović, Tolias, Chum, TPAMI 2018."""

from pathlib import Path

from vitret.data.card import Card
from vitret.data.datasets import _sfm
from vitret.data.datasets._conversion import Converter

CARD = Card(
    name="sfm120k-whiten",
    title="retrieval-SfM-120k, whitening pairs",
    kind=("train",),
    homepage=_sfm.HOME,
    citation=_sfm.CITATION,
    licence=_sfm.LICENCE,
    terms=_sfm.TERMS,
    files=(_sfm.database("retrieval-SfM-120k-whiten"), _sfm.IMAGES),
    tree=_sfm.tree("retrieval-SfM-120k-whiten"),
    needs_disk=70_000_000_000,
    protocol="Pairs from which a whitening is fitted; not a training set.",
    notes=("Where the database names no clusters, images connected by pairs share a label.",),
)


def wanted(tree: Path) -> frozenset[str]:
    """The photographs of the archive that the database names."""
    return _sfm.listed(tree, CARD)


def build() -> Converter:
    """Pairs as they stand; labels are clusters, or components of the pairs where there are none."""
    return _sfm.convert(CARD)
