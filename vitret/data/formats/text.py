"""Lists in plain text: `path label` lines, those of SOP, CUB-200-2011, In-Shop, iNaturalist, groceries and clothes."""

import gzip
import re
import zlib
from collections.abc import Collection, Iterator, Sequence
from itertools import islice
from pathlib import Path
from typing import NamedTuple

from vitret.core.disguise import require_undisguised
from vitret.core.errors import DataError

# No line of any official list comes near this; a longer one is not a list.
LONGEST_LINE = 1 << 16


class Labelled(NamedTuple):
    """Images and the class of each as the publisher names it; the two lists run in parallel."""

    paths: list[str]
    labels: list[str]


def lines(path: Path) -> Iterator[str]:
    """Non-empty stripped lines of a text file, which may be gzipped; raises `DataError` on what is not text."""
    require_undisguised(path)
    opener = gzip.open if path.suffix == ".gz" else open
    try:
        with opener(path, "rt", encoding="utf-8") as handle:
            number = 0
            while line := handle.readline(LONGEST_LINE):
                number += 1
                if len(line) == LONGEST_LINE and not line.endswith("\n"):
                    raise DataError(
                        f"{path}:{number}: longer than {LONGEST_LINE} characters; this is not a list."
                    )
                if line := line.strip():
                    yield line
    except (UnicodeDecodeError, gzip.BadGzipFile, EOFError, zlib.error) as error:
        raise DataError(f"{path}: not readable as text ({error}). Fetch the file again.") from error


def columns(path: Path, names: Sequence[str], *, skip: int = 0) -> Iterator[list[str]]:
    """White-space separated fields of every line, `len(names)` of them; the last may hold spaces."""
    for number, line in enumerate(islice(lines(path), skip, None), start=skip + 1):
        fields = line.split(None, len(names) - 1)
        if len(fields) != len(names):
            raise DataError(f"{path}: entry {number} is {line[:80]!r}, expected {' '.join(names)}.")
        yield fields


def path_label(path: Path) -> Labelled:
    """`path label` lines, as in Gordo's landmark lists; the label is the last field."""
    out = Labelled([], [])
    for number, line in enumerate(lines(path), start=1):
        name, _, label = line.rpartition(" ")
        if not name:
            raise DataError(f"{path}: entry {number} is {line[:80]!r}, expected 'path label'.")
        out.paths.append(name.strip())
        out.labels.append(label)
    return out


def sop(path: Path) -> Labelled:
    """`Ebay_train.txt` or `Ebay_test.txt`: image_id class_id super_class_id path, with a header."""
    names = ("image_id", "class_id", "super_class_id", "path")
    rows = list(columns(path, names))
    if not rows or rows[0] != list(names):
        raise DataError(f"{path}: the header must be '{' '.join(names)}'. Is this an Ebay_*.txt of SOP?")
    return Labelled([row[3] for row in rows[1:]], [row[1] for row in rows[1:]])


def cub(images: Path, labels: Path) -> Labelled:
    """`images.txt` joined with `image_class_labels.txt` by image id, in the order of images.txt."""
    classes = dict(columns(labels, ("image_id", "class_id")))
    out = Labelled([], [])
    for image, name in columns(images, ("image_id", "path")):
        if image not in classes:
            raise DataError(f"{labels}: no class for image {image} ({name}).")
        out.paths.append(name)
        out.labels.append(classes[image])
    return out


def inshop(path: Path) -> dict[str, Labelled]:
    """`list_eval_partition.txt` by evaluation status: train, query, gallery; labels are item ids.

    The first line counts the images, the second names the columns.
    """
    head = list(islice(lines(path), 2))
    if (
        len(head) < 2
        or not re.fullmatch("[0-9]{1,9}", head[0])
        or head[1].split() != ["image_name", "item_id", "evaluation_status"]
    ):
        raise DataError(f"{path}: expected a count and 'image_name item_id evaluation_status' on top.")
    out = {status: Labelled([], []) for status in ("train", "query", "gallery")}
    for name, item, status in columns(path, ("image_name", "item_id", "evaluation_status"), skip=2):
        if status not in out:
            raise DataError(
                f"{path}: {name[:80]} has the status {status[:20]!r}; expected train, query or gallery."
            )
        out[status].paths.append(name)
        out[status].labels.append(item)
    total = sum(len(part.paths) for part in out.values())
    if total != int(head[0]):
        raise DataError(f"{path}: {total} images listed, {head[0]} announced. Is the file cut short?")
    return out


def class_folders(paths: Sequence[str]) -> Labelled:
    """The folder that holds each image is its class, as in the iNaturalist 2018 retrieval splits."""
    return Labelled(list(paths), [path.rpartition("/")[0] for path in paths])


def grocery(path: Path) -> Labelled:
    """`train.txt`, `val.txt` or `test.txt` of the Grocery Store dataset: path, class id, coarse class id.

    The label is the name of the class: the folder of the photograph.
    """
    out = Labelled([], [])
    for number, line in enumerate(lines(path), start=1):
        fields = [field.strip() for field in line.split(",")]
        folders = fields[0].split("/")
        if len(fields) != 3 or len(folders) < 2:
            raise DataError(
                f"{path}: entry {number} is {line[:80]!r}, expected 'folder/image, class, coarse class'."
            )
        out.paths.append(fields[0])
        out.labels.append(folders[-2])
    return out


def clothing(path: Path, *, leave_out: Collection[str]) -> Labelled:
    """`images.csv` of the Clothing dataset: image, sender_id, label, kids; the label is the kind of clothes."""
    names = ["image", "sender_id", "label", "kids"]
    rows = [line.split(",") for line in lines(path)]
    if not rows or rows[0] != names:
        raise DataError(
            f"{path}: the header must be '{','.join(names)}'. Is this images.csv of the Clothing dataset?"
        )
    out = Labelled([], [])
    for number, row in enumerate(rows[1:], start=2):
        if len(row) != len(names):
            raise DataError(f"{path}: entry {number} is {','.join(row)[:80]!r}, expected {','.join(names)}.")
        if row[2] not in leave_out:
            out.paths.append(f"images/{row[0]}.jpg")
            out.labels.append(row[2])
    return out
