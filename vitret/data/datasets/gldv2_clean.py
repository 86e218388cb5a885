"""GLDv2-clean, the labels of team smlyaka: Yokoo et al., CVPRW 2020, on Weyand et al., CVPR 2020."""

from pathlib import Path

from vitret.data.card import Card
from vitret.data.datasets import _gldv2
from vitret.data.datasets._conversion import Converter
from vitret.data.datasets._sources import verified

CARD = Card(
    name="gldv2-clean",
    title="Google Landmarks v2, clean",
    kind=("train",),
    homepage=_gldv2.HOME,
    citation=f"{_gldv2.CITATION} Clean labels: Yokoo, Ozaki, Simo-Serra, Iizuka: Two-stage "
    "discriminative re-ranking for "
    "large-scale landmark retrieval. CVPRW 2020.",
    licence=_gldv2.TRAIN_LICENCE,
    terms=_gldv2.TERMS,
    files=(_gldv2.list_file("metadata/train_clean.csv"), _gldv2.ATTRIBUTION),
    shards=_gldv2.TRAIN_SHARDS,
    tree={**_gldv2.TRAIN_TREE, "clean": _gldv2.CLEAN_LIST},
    expected={
        "train": verified(1_580_470, "table of RGLDv2"),
        "classes": verified(81_313, "table of RGLDv2"),
    },
    overlaps=_gldv2.OVERLAPS,
    needs_disk=210_000_000_000,
    protocol="Classification of landmarks; sparse landmark ids are numbered 0…C−1 and the map is kept.",
    notes=("Photographs of other landmarks in the shards are thrown away while unpacking.",),
)


def wanted(tree: Path) -> frozenset[str]:
    """The photographs of the shards that belong to the clean part, as paths below train/."""
    return _gldv2.clean_paths(tree, CARD)


def build() -> Converter:
    """`train_clean.csv` and `train/a/b/c/<id>.jpg`; any subset of the shards is a valid state."""
    return _gldv2.convert_train(CARD)
