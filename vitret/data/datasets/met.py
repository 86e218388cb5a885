"""The Met, visitors' photographs of exhibits against the whole catalogue: Ypsilantis et al., NeurIPS 2021."""

from vitret.data.card import Card, File
from vitret.data.datasets import _met
from vitret.data.datasets._conversion import Converter
from vitret.data.datasets._sources import unconfirmed

CARD = Card(
    name="met",
    title="The Met (test)",
    kind=("eval",),
    homepage=_met.HOME,
    citation=_met.CITATION,
    licence=_met.LICENCE,
    terms=_met.TERMS,
    files=(
        _met.TRUTH,
        _met.QUERIES,
        File(name="MET.tar.gz", role="images", urls=(f"{_met.BASE}/MET.tar.gz",), archive="tar"),
    ),
    tree=_met.tree("MET_database.json"),
    expected={
        "queries": unconfirmed(1_003, "read in users' pages"),
        "database": unconfirmed(397_121, "read in users' pages"),
    },
    needs_disk=70_000_000_000,
    protocol="Queries that show an exhibit, asked as retrieval; the official GAP and ACC are of another kind.",
    notes=("Queries without an exhibit (other art, no art) ask nothing here: ranks know no rejection.",),
)


def build() -> Converter:
    """`MET_database.json` and `testset.json`; an exhibit's number is the label of its photographs."""
    return _met.convert(CARD)
