"""Revisited Oxford: Radenović et al., CVPR 2018, on the photographs of Philbin et al., CVPR 2007."""

from pathlib import Path

from vitret.data.card import Card
from vitret.data.datasets import _oxford
from vitret.data.datasets._conversion import Converter
from vitret.data.datasets._sources import (
    LANDMARK_OVERLAPS,
    OXFORD_CITATION,
    OXFORD_IMAGES,
    REVISITED_CITATION,
    REVISITED_HOME,
    VGG_LICENCE,
    VGG_TERMS,
    oxford_tree,
    revisited_truth,
    verified,
)

CARD = Card(
    name="roxford5k",
    title="Revisited Oxford (ROxford5k)",
    kind=("eval",),
    homepage=REVISITED_HOME,
    citation=f"{REVISITED_CITATION} Photographs: {OXFORD_CITATION}",
    licence=VGG_LICENCE,
    terms=VGG_TERMS,
    files=(
        revisited_truth(
            "roxford5k",
            size=149_871,
            md5="f2b67579f625a587b5b0828dbf2e8eb0",
            sha256="ba7967754bd2d7d2210a5799f9c45ad5835e269a80ef9d3eba44caa35816c471",
        ),
        OXFORD_IMAGES,
    ),
    tree=oxford_tree("roxford5k", "oxford5k"),
    expected={
        "queries": verified(70),
        "database": verified(4_993),
        "easy": verified(3_029),
        "hard": verified(2_497),
        "junk": verified(1_356),
    },
    image_set_version="v1-blurred",
    overlaps=LANDMARK_OVERLAPS,
    needs_disk=4_100_000_000,
    protocol="Boxed queries, easy/medium/hard; junk is taken out before ranks are counted; queries "
    "are not in the database.",
    notes=(
        "Two queries have no easy positive (balliol_000187, hertford_000082): 68 queries count at the easy level.",
        "The longer side of every database photograph is 1024.",
        "Published numbers before June 2022 were made on the photographs without blurred faces.",
    ),
)


def wanted(tree: Path) -> frozenset[str]:
    """The photographs of the archive that the ground truth lists."""
    return _oxford.listed(tree, CARD)


def build() -> Converter:
    """Photographs in one flat folder `jpg`, ground truth as official pickle or its JSON twin."""
    return _oxford.convert_revisited(CARD)
