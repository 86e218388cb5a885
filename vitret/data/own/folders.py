"""The user's photographs without a table: folders of classes, of database and queries, or a flat folder.

Looked at in this order: `database/` beside `queries/` (`places.py`); `train/`, `val/` and `test/` with a folder per
class in each (`splits.py`); one folder per class; a flat folder of distractors.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from vitret.core.errors import EmptyError, UserError, shortened
from vitret.data.layout.parts import Side
from vitret.data.layout.write import LayoutWriter
from vitret.data.own.listing import Listing, require_no_hold_out
from vitret.data.own.places import asked_and_searched, read_places
from vitret.data.own.record import OwnData
from vitret.data.own.splits import read_splits, split_folders

# Half of the classes evaluate where nothing else is asked for, as in CUB-200 and SOP. Of fewer classes all train.
HOLD_OUT, FEWEST = 0.5, 4


def read_folders(folder: Path, *, hold_out: float | None) -> OwnData:
    """One folder per class, images directly inside; without any such folder, a flat folder of distractors.

    `hold_out`, a fraction below 1, keeps the last of the classes in the order of their names for evaluation: there
    every image asks all the others. None keeps half where there are four classes or more, otherwise none.
    """
    if hold_out is not None and not 0 <= hold_out < 1:
        raise UserError(f"--hold-out {hold_out:g}: must be a fraction from 0 to below 1.")
    listing = Listing(root=folder)
    if sides := asked_and_searched(listing):
        require_no_hold_out(hold_out, "a folder of database and queries")
        return read_places(listing, *sides)
    if parts := split_folders(listing):
        require_no_hold_out(hold_out, "a folder of train and test")
        return read_splits(listing, parts)
    return _read_classes(listing, hold_out)


def _read_classes(listing: Listing, asked: float | None) -> OwnData:
    classes = listing.classes()
    full = [name for name, images in classes.items() if images]
    if not full:
        return _flat(listing, list(classes), listing.images(), asked)
    hold_out = (HOLD_OUT if len(full) >= FEWEST else 0.0) if asked is None else asked
    kept = round(hold_out * len(full))
    if hold_out and not 0 < kept < len(full):
        raise UserError(f"--hold-out {hold_out:g} of {len(full)} classes leaves no class on one side.")
    sides = full[: len(full) - kept], full[len(full) - kept :]
    train, test = ([image for name in side for image in classes[name]] for side in sides)
    every = [*train, *test]
    return OwnData(
        kind="one folder per class",
        root=listing.root,
        paths=every,
        names=every,
        fill=lambda writer: _fill_classes(writer, train, test),
        source={"kind": "folders", "hold_out": hold_out, "sha256": listing.digest(every)},
        remarks=[*_split(*sides), *_notes(classes)],
        left_out=listing.notes(),
    )


def _fill_classes(writer: LayoutWriter, train: Sequence[str], test: Sequence[str]) -> None:
    writer.train(train, [path.partition("/")[0] for path in train])
    if test:
        labels = [path.partition("/")[0] for path in test]
        rows = np.arange(len(test), dtype=np.int64)
        side = Side(test, labels=labels)
        writer.evaluation(side, side, query_rows=rows, unlisted=True)


def _flat(listing: Listing, subfolders: Sequence[str], images: list[str], hold_out: float | None) -> OwnData:
    if not images:
        inside = f" Its folders ({', '.join(subfolders[:3])}, …) hold none directly." if subfolders else ""
        passed = "".join(f" {note}." for note in listing.notes())
        raise EmptyError(
            f"{listing.root}: 0 images found.{inside}{passed} Accepted: gnd_NAME.pkl beside jpg/, a table with label, "
            "path and split, or one folder per class."
        )
    if hold_out:
        raise UserError(f"--hold-out needs class folders; {listing.root} holds images only.")
    return OwnData(
        kind="a flat folder of distractors",
        root=listing.root,
        paths=images,
        names=images,
        fill=lambda writer: writer.distractors(images),
        source={"kind": "flat", "sha256": listing.digest(images)},
        remarks=["no class folders: a database without queries"],
        left_out=listing.notes(),
    )


def _split(train: Sequence[str], test: Sequence[str]) -> list[str]:
    """Which classes train and which evaluate; nothing where all train."""
    if not test:
        return []
    return [f"to train: {_span(train)}; held out to measure: {_span(test)}; --hold-out changes this"]


def _span(names: Sequence[str]) -> str:
    shown = " to ".join(shortened(name, 40) for name in dict.fromkeys((names[0], names[-1])))
    return f"{len(names)} {'class' if len(names) == 1 else 'classes'} ({shown})"


def _notes(classes: dict[str, list[str]]) -> list[str]:
    if empty := [name for name, images in classes.items() if not images]:
        return [f"{len(empty)} folders hold no image and are no class; first: {empty[0]}"]
    return []
