"""Product1M, instances of cosmetics: Zhan et al., ICCV 2021; images alone, from your folder."""

from pathlib import Path

from vitret.core.errors import DataError
from vitret.data.card import Card, Licence
from vitret.data.datasets._conversion import Converter, hand_over, judged_by_labels, require
from vitret.data.datasets._sources import unconfirmed, verified
from vitret.data.formats.text import lines
from vitret.data.formats.trees import layouts, locate
from vitret.data.layout.parts import Side
from vitret.data.layout.write import LayoutWriter

FOLDERS = ("", "Poudct1M", "Product1M/Poudct1M", "product1m", "Product1M")
STATED = "stated by the organisers of its challenge"

CARD = Card(
    name="product1m",
    title="Product1M, test queries",
    kind=("eval",),
    homepage="https://github.com/zhanxlin/Product1M",
    citation="Zhan, Wu, Dong, Wei, Lu, Zhang, Xu, Liang: Product1M: towards weakly supervised instance-level product "
    "retrieval via cross-modal pretraining. ICCV 2021.",
    licence=Licence(
        text="No licence is stated; photographs of sellers, fetched from the addresses in its lists."
    ),
    gated="own-copy",
    by_hand="Fetch product1m_test_ossurl_v2.txt and product1m_gallery_ossurl_v2.txt from the homepage, and the image "
    "of each line as images/ID.jpg (ID is the line's first field, the address its third or fourth), all in one folder; "
    "then run: vitret prepare product1m --from DIR",
    tree={
        "test": layouts(["product1m_test_ossurl_v2.txt"], FOLDERS),
        "gallery": layouts(["product1m_gallery_ossurl_v2.txt"], FOLDERS),
        "images": layouts(["images", "datasets/images"], FOLDERS),
    },
    expected={
        "queries": verified(6_547, "counted in the list at commit d4befb6"),
        "database": unconfirmed(40_033, STATED),
    },
    image_set_version="own-copy",
    needs_disk=0,
    protocol="A photograph of several products asks for photographs of any one of them; mAP@100, R@1.",
    notes=(
        "Only images are compared; the method of the paper also reads the titles. Its training part has no labels and "
        "is left out, its 2,673 queries for validation too.",
        "The paper also looks at how well each product of a query is found (mAR); that number is not computed here.",
    ),
)


def build() -> Converter:
    """Lines of `id#####title#####address#####address#####label#;#label`; a gallery image shows its first label."""

    def convert(source: Path, writer: LayoutWriter) -> None:
        tree = locate(source, CARD)
        queries, gallery = (_read(tree[part]) for part in ("test", "gallery"))
        paths = [f"{name}.jpg" for name in gallery]
        asked = [f"{name}.jpg" for name in queries]
        require(tree["images"], paths + asked, "images")
        hand_over(writer, tree["images"], paths + asked)
        truth = judged_by_labels(list(queries.values()), [labels[:1] for labels in gallery.values()])
        writer.evaluation(Side(paths), Side(asked), judgements=truth)

    return convert


def _read(path: Path) -> dict[str, list[str]]:
    """Labels of each item, by its id."""
    found: dict[str, list[str]] = {}
    for number, line in enumerate(lines(path), start=1):
        fields = line.split("#####")
        if len(fields) != 5 or not fields[0].isdecimal():
            raise DataError(f"{path}: entry {number} is {line[:80]!r}, expected five fields parted by #####.")
        found[fields[0]] = fields[4].split("#;#")
    return found
