"""GPR1200, general-purpose retrieval: Schall, Barthel, Hezel, Jung, MMM 2022."""

from pathlib import Path

from vitret.core.errors import DataError
from vitret.data.card import Card, File, Licence, Terms
from vitret.data.datasets._conversion import Converter, add_self_queries
from vitret.data.datasets._sources import unconfirmed
from vitret.data.formats.text import Labelled
from vitret.data.formats.trees import layouts, locate, walk_files
from vitret.data.layout.write import LayoutWriter

SOURCE = "stated in its repository"

CARD = Card(
    name="gpr1200",
    title="GPR1200",
    kind=("eval",),
    homepage="https://github.com/Visual-Computing/GPR1200",
    citation="Schall, Barthel, Hezel, Jung: GPR1200: a benchmark for general-purpose content-based image retrieval. "
    "MMM 2022.",
    licence=Licence(
        text="Non-commercial research and education; copyright stays with the owners of the six sources.",
        commercial=False,
    ),
    terms=Terms(
        text="Non-commercial research and educational use only.",
        url="https://github.com/Visual-Computing/GPR1200#license-informations",
        accept_required=True,
    ),
    files=(
        File(
            name="GPR1200.zip",
            role="images",
            urls=("https://visual-computing.com/files/GPR1200/GPR1200.zip",),
            archive="zip",
        ),
    ),
    tree={"images": layouts(["images"], ("", "GPR1200", "gpr1200", "data/GPR1200"))},
    expected={"queries": unconfirmed(12_000, SOURCE), "database": unconfirmed(12_000, SOURCE)},
    needs_disk=2_000_000_000,
    protocol="Every image asks the rest; mAP. 1,200 categories of ten images, from landmarks, species, sketches, "
    "instances, products and faces.",
    notes=(
        "Its own code leaves each query in the ranking, where it is found first and counts as right. Here a query's "
        "own image is left out, so numbers are lower than published ones.",
        "Images were taken from Google Landmarks v2, iNaturalist, INSTRE, Stanford Online Products, ImageNet-Sketch "
        "and IMDB-WIKI: a network that was trained on one of these may have seen them.",
    ),
)


def build() -> Converter:
    """`images/<category>_<original name>.jpg`; the number before the first underscore is the category."""

    def convert(source: Path, writer: LayoutWriter) -> None:
        root = locate(source, CARD)["images"]
        listed = Labelled([], [])
        for name in sorted(walk_files(root)):
            category, _, rest = name.rpartition("/")[2].partition("_")
            if not rest or not category.isdecimal():
                raise DataError(
                    f"{root}/{name}: expected a file named CATEGORY_NAME.jpg. Is this GPR1200's folder?"
                )
            listed.paths.append(name)
            listed.labels.append(category)
        add_self_queries(writer, root, listed)

    return convert
