"""Oxford buildings with the original protocol: Philbin et al., CVPR 2007."""

from vitret.data.card import Card, File
from vitret.data.datasets._conversion import Converter
from vitret.data.datasets._oxford import QueryImage, convert_original
from vitret.data.datasets._sources import (
    LANDMARK_OVERLAPS,
    OXFORD_CITATION,
    OXFORD_HOME,
    OXFORD_IMAGES,
    VGG_LICENCE,
    VGG_TERMS,
    original_tree,
    verified,
)

CARD = Card(
    name="oxford5k",
    title="Oxford buildings (Oxford5k), original protocol",
    kind=("eval",),
    homepage=OXFORD_HOME,
    citation=OXFORD_CITATION,
    licence=VGG_LICENCE,
    terms=VGG_TERMS,
    files=(
        File(
            name="gt_files_170407.tgz",
            role="truth",
            urls=(
                "https://thor.robots.ox.ac.uk/oxbuildings/gt_files_170407.tgz",
                "https://www.robots.ox.ac.uk/~vgg/data/oxbuildings/gt_files_170407.tgz",
            ),
            size=8_174,
            archive="tar",
            into="gt",
            flatten=True,
        ),
        OXFORD_IMAGES,
    ),
    tree=original_tree("oxford5k", "roxford5k"),
    expected={
        "queries": verified(55),
        "database": verified(5_063, "files in the revisited lists: 4,993 + 70"),
    },
    image_set_version="v1-blurred",
    overlaps=LANDMARK_OVERLAPS,
    needs_disk=4_100_000_000,
    protocol="55 boxed queries; positives are good and ok, junk is ignored; the query's photograph is in the database.",
    notes=("The web page says 5,062 images; the lists have 5,063.",),
)


def build(*, query_image: QueryImage = "as_listed") -> Converter:
    """The query's own photograph stays as the lists judge it, or becomes junk: codes differ, so it is an option."""
    return convert_original(CARD, query_image)
