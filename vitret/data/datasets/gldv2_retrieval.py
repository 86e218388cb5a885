"""GLDv2 retrieval, private queries against the index: Weyand et al., CVPR 2020."""

from vitret.data.card import Card
from vitret.data.datasets import _gldv2
from vitret.data.datasets._conversion import Converter
from vitret.data.datasets._sources import unconfirmed, verified

CARD = Card(
    name="gldv2-retrieval",
    title="Google Landmarks v2 retrieval, private queries",
    kind=("eval",),
    homepage=_gldv2.HOME,
    citation=_gldv2.CITATION,
    licence=_gldv2.INDEX_LICENCE,
    terms=_gldv2.TERMS,
    files=(
        _gldv2.list_file("metadata/index.csv"),
        _gldv2.list_file("ground_truth/retrieval_solution_v2.1.csv", role="truth"),
    ),
    shards=(_gldv2.shards("index", 100, 850_000_000), _gldv2.shards("test", 20, 500_000_000)),
    tree=_gldv2.RETRIEVAL_TREE,
    expected={"queries": unconfirmed(750), "database": verified(761_757, "README of the publisher")},
    image_set_version="v2.1",
    needs_disk=100_000_000_000,
    protocol="mAP@100, divided by min(number of positives, 100); private queries only.",
    notes=(
        "Rows marked Ignored ask nothing and are left out. Public and private queries are scored apart.",
        "Landmark ids of the index are another numbering than those of the training part.",
    ),
)


def build() -> Converter:
    """`index/a/b/c/<id>.jpg` as database, the private rows of the solution as queries from `test/`."""
    return _gldv2.convert_retrieval(CARD, "private")
