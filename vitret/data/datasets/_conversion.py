"""Steps that many conversions share: find what is there, hand images over, classes 1…C split into training and test."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from vitret.core.errors import DataError, EmptyError
from vitret.core.records import Int64, Ragged, Truth
from vitret.data.fetch.tar_index import loose_and_packed
from vitret.data.formats.text import Labelled
from vitret.data.formats.trees import walk_files
from vitret.data.layout.parquet import Bytes, text_column
from vitret.data.layout.parts import Side
from vitret.data.layout.write import LayoutWriter

Converter = Callable[[Path, LayoutWriter], None]
"""Reads the official tree of a set in a folder and hands images, rows and truth to the writer."""


def numbered(labels: Sequence[str]) -> Sequence[str] | Int64:
    """Labels as whole numbers where all of them are, so that class 10 comes after class 2.

    >>> numbered(["10", "2"]).tolist()
    [10, 2]
    """
    if labels and all(label.isdecimal() for label in labels):
        return np.array([int(label) for label in labels], dtype=np.int64)
    return labels


def require(root: Path, paths: Sequence[str], what: str) -> None:
    """Raise `DataError` with the number and the first of the files that are not there."""
    missing = [path for path in paths if not (root / path).is_file()]
    if missing:
        raise DataError(
            f"{root}: {len(missing)} of {len(paths)} {what} are not there; first: {missing[0]}. Is the download or the "
            "copy complete?"
        )


def among(root: Path, paths: Bytes, what: str) -> tuple[Int64, Bytes]:
    """Rows of the paths that are there below a folder, and where: as listed, or inside a packed tar. One walk.

    Raises `EmptyError` when none is there.
    """
    there, places = loose_and_packed(walk_files(root), root)
    # Arrow hashes where numpy would sort: seconds instead of half a minute for four million names.
    known = pa.array(there, pa.large_string()).cast(pa.large_binary())
    found = pc.index_in(pa.array(paths, pa.large_binary()), value_set=known)
    rows = np.flatnonzero(np.asarray(found.is_valid()))
    if len(rows) == 0:
        raise EmptyError(f"{root}: none of the {len(paths)} listed {what} is there.")
    return rows, text_column(pc.take(pa.array(places, pa.large_string()), found.drop_null()))


def hand_over(writer: LayoutWriter, root: Path, paths: Sequence[str]) -> None:
    """Give files to the set under their own relative names."""
    writer.images(root, paths, paths)


def hand_over_folder(writer: LayoutWriter, folder: Path, paths: Bytes, name: str) -> Bytes:
    """Give a folder to the set as one, for sets of millions; returns the paths inside images/, below `name`."""
    writer.link(folder, name)
    return np.strings.add(f"{name}/".encode(), paths)


def add_train(writer: LayoutWriter, root: Path, listed: Labelled, **more: Any) -> None:
    """The training part: every listed image with its label."""
    require(root, listed.paths, "training images")
    hand_over(writer, root, listed.paths)
    writer.train(listed.paths, numbered(listed.labels), **more)


def add_self_queries(writer: LayoutWriter, root: Path, listed: Labelled) -> None:
    """The evaluation part in which every image asks all the others; its own image is junk."""
    require(root, listed.paths, "test images")
    hand_over(writer, root, listed.paths)
    labels = numbered(listed.labels)
    rows = np.arange(len(listed.paths), dtype=np.int64)
    writer.evaluation(Side(listed.paths, labels=labels), Side(listed.paths, labels=labels), query_rows=rows)


def add_category_set(writer: LayoutWriter, root: Path, train: Labelled, test: Labelled) -> None:
    """A metric-learning set: a training part, and test images that ask each other."""
    add_train(writer, root, train)
    add_self_queries(writer, root, test)


def judged_by_labels(asked: Sequence[Sequence[str]], searched: Sequence[Sequence[str]]) -> Truth:
    """Truth where an image may have several labels: positive is each database image that shares one with the query.

    >>> judged_by_labels([["cup", "jar"]], [["jar"], ["tin"], ["cup"]]).judgements["positive"].row(0).tolist()
    [0, 2]
    """
    rows: dict[str, list[int]] = {}
    for row, labels in enumerate(searched):
        for label in labels:
            rows.setdefault(label, []).append(row)
    found = [np.unique([row for label in labels for row in rows.get(label, ())]) for labels in asked]
    return Truth(judgements={"positive": Ragged.of(found)})


def split_classes(listed: Labelled, *, train: range) -> tuple[Labelled, Labelled]:
    """Images of the classes numbered in `train`, and all others: the zero-shot split by class number.

    >>> split_classes(Labelled(["a", "b"], ["1", "101"]), train=range(1, 101))[1].paths
    ['b']
    """
    rows = list(zip(listed.paths, listed.labels, strict=True))
    inside = [row for row in rows if int(row[1]) in train]
    outside = [row for row in rows if int(row[1]) not in train]
    return tuple(Labelled([p for p, _ in part], [c for _, c in part]) for part in (inside, outside))  # type: ignore[return-value]


def split_names(listed: Labelled) -> tuple[Labelled, Labelled]:
    """Images of the first half of the class names in alphabetical order, and all others: a zero-shot split.

    With an odd number of classes the first half has one more.

    >>> [part.paths for part in split_names(Labelled(["1", "2", "3"], ["plum", "fig", "kiwi"]))]
    [['2', '3'], ['1']]
    """
    names = sorted(set(listed.labels))
    first = set(names[: (len(names) + 1) // 2])
    parts = (Labelled([], []), Labelled([], []))
    for path, label in zip(listed.paths, listed.labels, strict=True):
        part = parts[label not in first]
        part.paths.append(path)
        part.labels.append(label)
    return parts
