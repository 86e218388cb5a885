"""In-Shop clothes retrieval (DeepFashion): Liu et al., CVPR 2016."""

from pathlib import Path

from vitret.data.card import Card, File, Licence, Terms
from vitret.data.datasets._conversion import Converter, add_train, hand_over, numbered, require
from vitret.data.datasets._sources import verified
from vitret.data.formats.text import inshop as read_inshop
from vitret.data.formats.trees import layouts, locate
from vitret.data.layout.parts import Side
from vitret.data.layout.write import LayoutWriter

FOLDERS = ("", "In-shop Clothes Retrieval Benchmark", "InShop_Clothes", "inshop", "data/inshop")

CARD = Card(
    name="inshop",
    title="DeepFashion in-shop clothes retrieval",
    kind=("train", "eval"),
    homepage="https://mmlab.ie.cuhk.edu.hk/projects/DeepFashion/InShopRetrieval.html",
    citation="Liu, Luo, Qiu, Wang, Tang: DeepFashion: powering robust clothes recognition and retrieval. CVPR 2016.",
    licence=Licence(
        text="Non-commercial research only, under an agreement; the password of the high-resolution "
        "archive must not be passed on.",
        commercial=False,
        redistribution=False,
    ),
    terms=Terms(
        text="You have signed the DeepFashion agreement.",
        url="https://mmlab.ie.cuhk.edu.hk/projects/DeepFashion.html",
        accept_required=True,
    ),
    gated="agreement",
    by_hand="Sign the agreement on the homepage and fetch Img/img.zip and "
    "Eval/list_eval_partition.txt from its Google Drive folder "
    "into a folder, then run: vitret prepare inshop --from DIR --accept-terms",
    files=(
        File(name="img.zip", role="images", archive="zip", into="Img"),
        File(name="list_eval_partition.txt", role="labels", into="Eval"),
    ),
    tree={
        "partition": layouts(["Eval/list_eval_partition.txt", "list_eval_partition.txt"], FOLDERS),
        "images": layouts(["Img/img", "img"], FOLDERS),
    },
    expected={
        "train": verified(25_882),
        "classes": verified(3_997),
        "queries": verified(14_218),
        "database": verified(12_612),
    },
    needs_disk=1_700_000_000,
    protocol="Queries ask the gallery; both are of the test items; R@1, 10, 20, 30.",
    notes=("Photographs of img.zip; those of img_highres.zip give other numbers.",),
)


def build() -> Converter:
    """`list_eval_partition.txt` parts the images into training, queries and gallery."""

    def convert(source: Path, writer: LayoutWriter) -> None:
        tree = locate(source, CARD)
        parts = read_inshop(tree["partition"])
        root = tree["images"].parent
        add_train(writer, root, parts["train"])
        query, gallery = parts["query"], parts["gallery"]
        require(root, query.paths + gallery.paths, "test images")
        hand_over(writer, root, query.paths + gallery.paths)
        writer.evaluation(
            Side(gallery.paths, labels=numbered(gallery.labels)),
            Side(query.paths, labels=numbered(query.labels)),
        )

    return convert
