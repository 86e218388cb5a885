"""GLDv2 retrieval, public queries against the index: Weyand et al., CVPR 2020."""

from vitret.data.datasets import _gldv2
from vitret.data.datasets._conversion import Converter

CARD = _gldv2.retrieval_card("gldv2-retrieval-public", "public", 379)


def build() -> Converter:
    """`index/a/b/c/<id>.jpg` as database, the public rows of the solution as queries from `test/`."""
    return _gldv2.convert_retrieval(CARD, "public")
