"""Folders `train/`, `val/` and `test/` with one folder per class in each, as image classification keeps its sets."""

from __future__ import annotations

import numpy as np

from vitret.core.errors import DataError, EmptyError
from vitret.data.layout.parts import Side
from vitret.data.layout.write import LayoutWriter
from vitret.data.own.listing import Listing
from vitret.data.own.places import SIDES
from vitret.data.own.record import OwnData

NAMES = {
    **dict.fromkeys(("train", "training"), "train"),
    **dict.fromkeys(("val", "valid", "validation"), "val"),
    **dict.fromkeys(("test", "testing"), "test"),
}


def split_folders(listing: Listing) -> dict[str, str] | None:
    """The folder of each part, when there are two at least and nothing else; None for any other folder.

    Class folders of these names hold images themselves, no folders of images, and are classes. Parts that hold
    database and queries raise `DataError`: each is a set of its own.
    """
    folders = listing.folders()
    parts = {NAMES.get(name.lower(), ""): name for name in folders}
    if len(parts) < max(2, len(folders)) or "" in parts:
        return None
    # Looked at by a listing of its own, which is thrown away with what it passed over.
    look = Listing(root=listing.root)
    if any(look.images(name) for name in folders) and not any(
        look.images(f"{name}/{inner}") for name in folders for inner in look.folders(name)
    ):
        return None
    for name in folders:
        if {SIDES.get(inner.lower()) for inner in look.folders(name)} >= {"database", "queries"}:
            raise DataError(
                f"{listing.root}: its folders hold database and queries, each a set of its own. Give one: --from "
                f"{listing.root / name}"
            )
    return parts


def read_splits(listing: Listing, parts: dict[str, str]) -> OwnData:
    """Classes of `train` train, those of `test` evaluate: there every image asks all the others.

    Without `test`, `val` evaluates. Beside it, `val` is for validation while training, if its classes are its own.
    """
    images = {part: _classes(listing, folder) for part, folder in parts.items()}
    empty = [folder for part, folder in parts.items() if not images[part]]
    if empty:
        raise EmptyError(
            f"{listing.root / empty[0]}: 0 images found in its folders; it needs one folder per class."
        )
    test = images.get("test") or images["val"]
    train = dict(images.get("train", {}))
    notes = [
        "test asks: every image all the others"
        if "test" in images
        else "val asks: every image all the others"
    ]
    validation: set[str] = set()
    unused: list[str] = []
    if "val" in images and "test" in images:
        own = set(images["val"].values()).isdisjoint(train.values())
        if own and train:
            train |= images["val"]
            validation = set(images["val"])
        else:
            unused = [f"{len(images['val'])} images of {parts['val']} are left out: no classes of their own"]
    both = set(train.values()) & set(test.values())
    if both:
        notes.append(f"{len(both)} classes are both in train and in the test: the test is not zero-shot")
    every = [*train, *test]

    def fill(writer: LayoutWriter) -> None:
        if train:
            mask = np.array([path in validation for path in train], dtype=np.bool_)
            writer.train(list(train), list(train.values()), validation=mask)
        side = Side(list(test), labels=list(test.values()))
        rows = np.arange(len(test), dtype=np.int64)
        writer.evaluation(side, side, query_rows=rows, unlisted=True)

    return OwnData(
        kind="train and test, one folder per class",
        root=listing.root,
        paths=every,
        names=every,
        fill=fill,
        source={"kind": "splits", "sha256": listing.digest(every)},
        remarks=notes,
        left_out=[*unused, *listing.notes()],
    )


def _classes(listing: Listing, part: str) -> dict[str, str]:
    """The class of each image."""
    return {image: name for name, images in listing.classes(part).items() for image in images}
