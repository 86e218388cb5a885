"""Revisited Paris: Radenović et al., CVPR 2018, on the photographs of Philbin et al., CVPR 2008."""

from pathlib import Path

from vitret.data.card import Card
from vitret.data.datasets import _oxford
from vitret.data.datasets._conversion import Converter
from vitret.data.datasets._sources import (
    LANDMARK_OVERLAPS,
    PARIS_CITATION,
    PARIS_CORRUPT,
    PARIS_IMAGES,
    REVISITED_CITATION,
    REVISITED_HOME,
    VGG_LICENCE,
    VGG_TERMS,
    oxford_tree,
    revisited_truth,
    verified,
)

CARD = Card(
    name="rparis6k",
    title="Revisited Paris (RParis6k)",
    kind=("eval",),
    homepage=REVISITED_HOME,
    citation=f"{REVISITED_CITATION} Photographs: {PARIS_CITATION}",
    licence=VGG_LICENCE,
    terms=VGG_TERMS,
    files=(
        revisited_truth(
            "rparis6k",
            size=276_508,
            md5="2feae0a8257a5c6ca1b31b8eb73c8571",
            sha256="d2e729a5293dda7dda8a15c8383424a42e4964a2c4cfea2f32fa85d11d2df499",
        ),
        *PARIS_IMAGES,
    ),
    tree=oxford_tree("rparis6k", "paris6k"),
    expected={
        "queries": verified(70),
        "database": verified(6_322),
        "easy": verified(6_874),
        "hard": verified(10_350),
        "junk": verified(7_153),
    },
    known_bad=PARIS_CORRUPT,
    image_set_version="v1-blurred",
    overlaps=LANDMARK_OVERLAPS,
    needs_disk=5_300_000_000,
    protocol="Boxed queries, easy/medium/hard; junk is taken out before ranks are counted; queries "
    "are not in the database.",
    notes=(
        "Five queries have no junk. Boxes are whole numbers in most queries.",
        "The longer side of every database photograph is 1024.",
        "None of the twenty corrupt files is asked for: the database is the list, never the folder.",
        "Published numbers before June 2022 were made on the photographs without blurred faces.",
    ),
)


def wanted(tree: Path) -> frozenset[str]:
    """The photographs of the archive that the ground truth lists."""
    return _oxford.listed(tree, CARD)


def build() -> Converter:
    """Photographs in one flat folder `jpg`, ground truth as official pickle or its JSON twin."""
    return _oxford.convert_revisited(CARD)
