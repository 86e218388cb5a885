"""GLDv2, the whole noisy training part: Weyand et al., CVPR 2020."""

from vitret.data.card import Card
from vitret.data.datasets import _gldv2
from vitret.data.datasets._conversion import Converter
from vitret.data.datasets._sources import unconfirmed, verified

CARD = Card(
    name="gldv2-noisy",
    title="Google Landmarks v2, noisy",
    kind=("train",),
    homepage=_gldv2.HOME,
    citation=_gldv2.CITATION,
    licence=_gldv2.TRAIN_LICENCE,
    terms=_gldv2.TERMS,
    files=(_gldv2.list_file("metadata/train.csv"), _gldv2.ATTRIBUTION),
    shards=_gldv2.TRAIN_SHARDS,
    tree={**_gldv2.TRAIN_TREE, "train": _gldv2.TRAIN_LIST},
    expected={"train": verified(4_132_914, "README of the publisher"), "classes": unconfirmed(203_094)},
    overlaps=_gldv2.OVERLAPS,
    needs_disk=510_000_000_000,
    protocol="Classification of landmarks; labels are noisy and many classes have one photograph.",
)


def build() -> Converter:
    """`train.csv` and `train/a/b/c/<id>.jpg`; any subset of the shards is a valid state."""
    return _gldv2.convert_train(CARD)
