"""GLDv2 retrieval, private queries against the index: Weyand et al., CVPR 2020."""

from vitret.data.datasets import _gldv2
from vitret.data.datasets._conversion import Converter

CARD = _gldv2.retrieval_card("gldv2-retrieval", "private", 750)


def build() -> Converter:
    """`index/a/b/c/<id>.jpg` as database, the private rows of the solution as queries from `test/`."""
    return _gldv2.convert_retrieval(CARD, "private")
