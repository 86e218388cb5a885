"""What the three retrieval-SfM sets share: one archive of photographs, pickled databases, cirtorch's folders."""

from pathlib import Path

import numpy as np

from vitret.core.errors import DataError
from vitret.data.card import Card, File, Licence, Terms
from vitret.data.datasets._conversion import Converter, hand_over, require
from vitret.data.formats.sfm import cid_path, read_sfm
from vitret.data.formats.trees import first_existing, layouts, locate
from vitret.data.layout.write import LayoutWriter

BASE = "http://cmp.felk.cvut.cz/cnnimageretrieval/data/train"
HOME = "http://cmp.felk.cvut.cz/cnnimageretrieval/"
CITATION = "Radenović, Tolias, Chum: Fine-tuning CNN image retrieval with no human annotation. TPAMI 2018."
LICENCE = Licence(
    text="Flickr photographs; no licence is stated. Research use; cite; do not pass them on.",
    redistribution=False,
)
TERMS = Terms(text="Photographs of Flickr users, for research; do not pass them on.", accept_required=True)
IMAGES = File(name="ims.tar.gz", role="images", urls=(f"{BASE}/ims/ims.tar.gz",), archive="tar")


def database(name: str) -> File:
    """One pickled database."""
    return File(name=f"{name}.pkl", role="labels", urls=(f"{BASE}/dbs/{name}.pkl",))


def tree(pickle: str) -> dict[str, tuple[str, ...]]:
    """Where cirtorch and its descendants keep photographs and a database."""
    sets = ("retrieval-SfM-120k", "retrieval-SfM-30k")
    folders = ("", *(f"{above}{name}" for name in sets for above in ("", "train/", "data/train/")))
    return {
        "images": layouts(["ims"], folders),
        "database": layouts([f"{pickle}.pkl"], (*folders, "dbs", "train/dbs")),
    }


def listed(tree: Path, card: Card) -> frozenset[str]:
    """Paths `ims/…` of all photographs that a database names."""
    found = first_existing(tree, card.tree["database"])
    if found is None:
        raise DataError(f"{tree}: the database of {card.name} is not there.")
    return frozenset(f"ims/{cid_path(cid)}" for part in read_sfm(found).values() for cid in part.cids)


def convert(card: Card) -> Converter:
    """Labels are clusters (of both parts, numbered together), the official validation part is marked so."""

    def from_tree(source: Path, writer: LayoutWriter) -> None:
        found = locate(source, card)
        parts = read_sfm(found["database"])
        paths: list[str] = []
        labels: list[str] = []
        validation: list[bool] = []
        pairs = []
        boxes = []
        for name, part in parts.items():
            pairs.append(part.pairs + len(paths))
            boxes.append(part.boxes if part.boxes is not None else np.full((len(part.cids), 4), np.nan))
            paths += [cid_path(cid) for cid in part.cids]
            # Cluster numbers of the two parts may be the same numbers for different models.
            labels += [f"{name}/{cluster:06d}" for cluster in part.clusters.tolist()]
            validation += [name == "val"] * len(part.cids)
        require(found["images"], paths, "photographs")
        if len(set(paths)) < len(paths):
            raise DataError(f"{found['database']}: an image id is listed twice.")
        hand_over(writer, found["images"], paths)
        all_boxes = np.concatenate(boxes)
        writer.train(
            paths,
            labels,
            validation=np.array(validation),
            boxes=None if np.isnan(all_boxes).all() else all_boxes,
            pairs=np.concatenate(pairs),
        )

    return from_tree
