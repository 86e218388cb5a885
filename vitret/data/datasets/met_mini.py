"""The small database of The Met: Ypsilantis et al., NeurIPS 2021."""

from vitret.data.card import Card, File
from vitret.data.datasets import _met
from vitret.data.datasets._conversion import Converter
from vitret.data.datasets._sources import unconfirmed

CARD = Card(
    name="met-mini",
    title="The Met (test), small database",
    kind=("eval",),
    homepage=_met.HOME,
    citation=_met.CITATION,
    licence=_met.LICENCE,
    terms=_met.TERMS,
    files=(
        _met.TRUTH,
        _met.QUERIES,
        File(
            name="small_MET.tar.gz",
            role="images",
            urls=(f"{_met.BASE}/small_MET.tar.gz",),
            size=2_865_082_125,
            sha256="0cf5736dee3eac8598daa1a929723834abcb037d57d3f0f0f58018f4bfa9a916",
            hash_source="third party",
            archive="tar",
        ),
    ),
    tree=_met.tree("mini_MET_database.json"),
    expected={"database": unconfirmed(38_307, "read in users' pages")},
    needs_disk=6_000_000_000,
    protocol="As met; queries whose exhibit is not in the small database have no positive and are "
    "left out of every mean.",
    notes=(
        "That small_MET.tar.gz holds the photographs of mini_MET_database.json is inferred from its size.",
    ),
)


def build() -> Converter:
    """`mini_MET_database.json` and `testset.json`."""
    return _met.convert(CARD)
