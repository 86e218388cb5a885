"""Neural Codes landmarks (NC-noisy): Babenko et al., ECCV 2014; from a folder you have."""

from pathlib import Path

from vitret.data.card import Card, Licence
from vitret.data.datasets._conversion import Converter, add_train
from vitret.data.datasets._sources import unconfirmed
from vitret.data.formats.text import class_folders
from vitret.data.formats.trees import locate, walk_files
from vitret.data.layout.write import LayoutWriter

PHOTOGRAPHS = (".jpg", ".jpeg", ".png")

CARD = Card(
    name="nc-noisy",
    title="Neural Codes landmarks (NC-noisy)",
    kind=("train",),
    homepage="http://sites.skoltech.ru/compvision/projects/neuralcodes/",
    citation="Babenko, Slesarev, Chigorin, Lempitsky: Neural codes for image retrieval. ECCV 2014.",
    licence=Licence(
        text="Lists of addresses of other people's photographs; each keeps its own licence.",
        redistribution=False,
    ),
    gated="own-copy",
    by_hand="The set is a list of addresses that have rotted. If you have the photographs, one folder a landmark, run: "
    "vitret prepare nc-noisy --from DIR",
    tree={"images": ("images", "jpg", "landmarks", "")},
    expected={
        "train": unconfirmed(213_678, "the lists; many addresses are dead"),
        "classes": unconfirmed(672),
    },
    image_set_version="own-copy",
    needs_disk=0,
    protocol="Classification of landmarks; labels are noisy.",
)


def build() -> Converter:
    """One folder a landmark; the folder's name is the label."""

    def convert(source: Path, writer: LayoutWriter) -> None:
        root = locate(source, CARD)["images"]
        photographs = sorted(path for path in walk_files(root) if path.lower().endswith(PHOTOGRAPHS))
        paths = [path for path in photographs if "/" in path]
        writer.leave_out(len(photographs) - len(paths), "photographs lie in no landmark's folder")
        add_train(writer, root, class_folders(paths))

    return convert
