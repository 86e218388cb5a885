"""Paris buildings with the original protocol: Philbin et al., CVPR 2008."""

from vitret.data.card import Card, File
from vitret.data.datasets._conversion import Converter
from vitret.data.datasets._oxford import QueryImage, convert_original
from vitret.data.datasets._sources import (
    LANDMARK_OVERLAPS,
    PARIS_CITATION,
    PARIS_CORRUPT,
    PARIS_HOME,
    PARIS_IMAGES,
    VGG_LICENCE,
    VGG_TERMS,
    original_tree,
    verified,
)

CARD = Card(
    name="paris6k",
    title="Paris buildings (Paris6k), original protocol",
    kind=("eval",),
    homepage=PARIS_HOME,
    citation=PARIS_CITATION,
    licence=VGG_LICENCE,
    terms=VGG_TERMS,
    files=(
        File(
            name="paris_120310.tgz",
            role="truth",
            urls=(
                "https://thor.robots.ox.ac.uk/parisbuildings/paris_120310.tgz",
                "https://www.robots.ox.ac.uk/~vgg/data/parisbuildings/paris_120310.tgz",
            ),
            archive="tar",
            into="gt",
            flatten=True,
        ),
        *PARIS_IMAGES,
    ),
    tree=original_tree("paris6k", "rparis6k"),
    expected={
        "queries": verified(55),
        "database": verified(6_392, "6,412 files, of which 20 are no photographs"),
    },
    known_bad=PARIS_CORRUPT,
    image_set_version="v1-blurred",
    overlaps=LANDMARK_OVERLAPS,
    needs_disk=5_300_000_000,
    protocol="55 boxed queries; positives are good and ok, junk is ignored; the query's photograph is in the database.",
    notes=(
        "The good files are empty: every positive is ok.",
        "The 55 queries are all among the 70 of RParis.",
    ),
)


def build(*, query_image: QueryImage = "as_listed") -> Converter:
    """The query's own photograph stays as the lists judge it, or becomes junk: codes differ, so it is an option."""
    return convert_original(CARD, query_image)
