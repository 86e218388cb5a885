"""Landmarks-clean (NC-clean): Gordo et al., IJCV 2017, on Babenko et al., ECCV 2014; from your folder."""

from collections import defaultdict
from collections.abc import Container, Sequence
from pathlib import Path
from typing import Literal, NamedTuple

from vitret.core.errors import EmptyError
from vitret.data.card import Card, Licence
from vitret.data.datasets._conversion import Converter, add_train
from vitret.data.datasets._sources import unconfirmed
from vitret.data.formats.text import Labelled, path_label
from vitret.data.formats.trees import layouts, locate, walk_files
from vitret.data.layout.write import LayoutWriter

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
        "A list's line is 'address label' or 'path label'; a photograph is found by its path where that file exists, "
        "otherwise by the last part of its address.",
        "Listed photographs that are not there, and those whose name fits several photographs or labels, are left out "
        "and counted. CiDeR reports 27,965 images of 581 classes.",
        "The official validation part shares its classes with the training part, so it is not held "
        "out here: it is added to "
        "training unless the option validation says 'leave_out'.",
    ),
)


def build(*, validation: Literal["add", "leave_out"] = "add") -> Converter:
    """`validation` is what becomes of annotation_clean_val.txt: add, or leave_out."""

    def convert(source: Path, writer: LayoutWriter) -> None:
        tree = locate(source, CARD)
        root = tree["images"]
        listed = [
            _Line(address, label, part)
            for part in ("train", "validation")
            if part in tree
            for address, label in zip(*path_label(tree[part]), strict=True)
        ]
        used = ("train", "validation") if validation == "add" else ("train",)
        found, absent, unclear = _match(listed, set(walk_files(root)), used=used)
        writer.leave_out(absent, "listed photographs are not there")
        writer.leave_out(unclear, "listed photographs share a name, and which label is whose cannot be told")
        if not found:
            raise EmptyError(
                f"{root}: none of the listed photographs is there, or can be told from the others."
            )
        paths = sorted(found)
        add_train(writer, root, Labelled(paths, [found[path] for path in paths]))

    return convert


class _Line(NamedTuple):
    """A line of a list: where the photograph was, its landmark, and which list it is."""

    address: str
    label: str
    part: str


def _match(
    listed: Sequence[_Line], files: set[str], *, used: Container[str]
) -> tuple[dict[str, str], int, int]:
    """Label of each file that a line of the parts in `used` names, and how many of all lines name none, or not one.

    A line names the file at its own path, otherwise the only file with the last part of its address. All lists are
    matched whatever is used: a photograph of the one must not be taken for its namesake in the other.

    >>> _match([_Line("http://a/1.jpg", "owl", "train"), _Line("b/1.jpg", "ant", "train")], {"1.jpg"}, used=("train",))
    ({}, 0, 2)
    """
    own = {line.address for line in listed} & files
    by_name = defaultdict(list)
    for path in files - own:
        by_name[_last(path)].append(path)
    claims: dict[str, list[_Line]] = defaultdict(list)
    absent = unclear = 0
    for line in listed:
        candidates = [line.address] if line.address in own else by_name.get(_last(line.address), [])
        if len(candidates) == 1:
            claims[candidates[0]].append(line)
        elif candidates:
            unclear += 1
        else:
            absent += 1
    found: dict[str, str] = {}
    for path, lines in claims.items():
        if len({line.label for line in lines}) > 1:
            unclear += len(lines)
        elif any(line.part in used for line in lines):
            found[path] = lines[0].label
    return found, absent, unclear


def _last(address: str) -> str:
    return address.rpartition("/")[2]
