"""Landmarks-clean (NC-clean): Gordo et al., IJCV 2017, on Babenko et al., ECCV 2014; from your folder."""

from pathlib import Path
from typing import Literal

from vitret.core.errors import EmptyError
from vitret.data.card import Card, Licence
from vitret.data.datasets._conversion import Converter, add_train
from vitret.data.datasets._sources import unconfirmed
from vitret.data.formats.text import Labelled, path_label
from vitret.data.formats.trees import layouts, locate, walk_files
from vitret.data.writer import LayoutWriter

FOLDERS = ("", "landmarks", "annotations_landmarks", "landmarks/annotations", "annotations")

CARD = Card(
    name="landmarks-clean",
    title="Landmarks-clean (NC-clean)",
    kind=("train",),
    homepage="https://europe.naverlabs.com/research/computer-vision/learning-visual-representations/deep-image-retrieval/",
    citation="Gordo, Almazán, Revaud, Larlus: End-to-end learning of deep visual representations for image retrieval. "
    "IJCV 2017. Babenko, Slesarev, Chigorin, Lempitsky: Neural codes for image retrieval. ECCV 2014.",
    licence=Licence(
        text="Lists of addresses of other people's photographs; each keeps its own licence.",
        redistribution=False,
    ),
    gated="own-copy",
    by_hand="The set is a list of addresses, of which about four in ten are dead, and no archive is "
    "maintained. If you have the "
    "photographs and annotation_clean_train.txt and annotation_clean_val.txt, run: vitret prepare "
    "landmarks-clean --from DIR",
    tree={
        "train": layouts(["annotation_clean_train.txt"], FOLDERS),
        "validation?": layouts(["annotation_clean_val.txt"], FOLDERS),
        "images": ("images", "landmarks/images", "jpg", "landmarks/jpg", "landmarks", ""),
    },
    expected={
        "train": unconfirmed(42_410, "the lists; about 28,000 photographs could be had in 2018"),
        "validation": unconfirmed(6_382),
        "classes": unconfirmed(586),
    },
    image_set_version="own-copy",
    needs_disk=0,
    protocol="Classification of landmarks.",
    notes=(
        "A list's line is 'address label' or 'path label'; a photograph is found by the last part of its address.",
        "Listed photographs that are not there are left out and counted. CiDeR reports 27,965 images of 581 classes.",
        "The official validation part shares its classes with the training part, so it is not held "
        "out here: it is added to "
        "training unless the option validation says 'leave_out'.",
    ),
)


def build(*, validation: Literal["add", "leave_out"] = "add") -> Converter:
    """`validation` is what becomes of annotation_clean_val.txt: add, or leave_out."""

    def convert(source: Path, writer: LayoutWriter) -> None:
        tree = locate(source, CARD)
        parts = ("train", "validation") if validation == "add" else ("train",)
        root = tree["images"]
        there = {path.rpartition("/")[2]: path for path in walk_files(root)}
        found: dict[str, str] = {}
        for part in parts:
            if part in tree:
                listed = path_label(tree[part])
                for address, label in zip(listed.paths, listed.labels, strict=True):
                    name = address.rpartition("/")[2]
                    if name in there:
                        found[there[name]] = label
        if not found:
            raise EmptyError(f"{root}: none of the listed photographs is there.")
        paths = sorted(found)
        add_train(writer, root, Labelled(paths, [found[path] for path in paths]))

    return convert
