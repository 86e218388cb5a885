"""OwnData photographs without a table: one folder per class, or a flat folder of distractors."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path

import numpy as np

from vitret.core.errors import DataError, EmptyError, UserError
from vitret.core.store import digest
from vitret.data.formats.pictures import SUFFIXES
from vitret.data.layout.parts import Side
from vitret.data.layout.write import LayoutWriter
from vitret.data.own.record import OwnData


def read_folders(folder: Path, *, hold_out: float) -> OwnData:
    """One folder per class, images directly inside; without any such folder, a flat folder of distractors.

    All classes train, unless `hold_out`, a fraction below 1, keeps the last of them in the order of their names for
    evaluation: there every image asks all the others.
    """
    if not 0 <= hold_out < 1:
        raise UserError(f"--hold-out {hold_out:g}: must be a fraction from 0 to below 1.")
    classes = {sub.name: _images_in(sub) for sub in sorted(_subfolders(folder))}
    full = [name for name, images in classes.items() if images]
    notes = _notes(folder, classes)
    if not full:
        return _flat(folder, list(classes), hold_out)
    if loose := _images_in(folder):
        raise DataError(
            f"{folder}: {len(loose)} images lie beside the class folders; first: {loose[0]}. Move them into one."
        )
    kept = round(hold_out * len(full))
    if hold_out and not 0 < kept < len(full):
        raise UserError(f"--hold-out {hold_out:g} of {len(full)} classes leaves no class on one side.")
    sides = full[: len(full) - kept], full[len(full) - kept :]
    train, test = ([f"{name}/{image}" for name in side for image in classes[name]] for side in sides)
    every = [*train, *test]
    return OwnData(
        kind="one folder per class",
        root=folder,
        paths=every,
        names=every,
        fill=lambda writer: _fill_classes(writer, train, test),
        source={"kind": "folders", "hold_out": hold_out, "sha256": _listing_digest(folder, every)},
        notes=notes,
    )


def _fill_classes(writer: LayoutWriter, train: Sequence[str], test: Sequence[str]) -> None:
    writer.train(train, [path.partition("/")[0] for path in train])
    if test:
        labels = [path.partition("/")[0] for path in test]
        rows = np.arange(len(test), dtype=np.int64)
        writer.evaluation(Side(test, labels=labels), Side(test, labels=labels), query_rows=rows)


def _flat(folder: Path, subfolders: Sequence[str], hold_out: float) -> OwnData:
    images = _images_in(folder)
    if not images:
        inside = f" Its folders ({', '.join(subfolders[:3])}, …) hold none directly." if subfolders else ""
        raise EmptyError(
            f"{folder}: 0 images found.{inside} Accepted: gnd_NAME.pkl beside jpg/, a table with label, path and "
            "split, or one folder per class."
        )
    if hold_out:
        raise UserError(f"--hold-out needs class folders; {folder} holds images only.")
    return OwnData(
        kind="a flat folder of distractors",
        root=folder,
        paths=images,
        names=images,
        fill=lambda writer: writer.distractors(images),
        source={"kind": "flat", "sha256": _listing_digest(folder, images)},
        notes=["no class folders: a database without queries"],
    )


def _subfolders(folder: Path) -> Iterable[Path]:
    return (path for path in folder.iterdir() if path.is_dir() and not path.name.startswith("."))


def _images_in(folder: Path) -> list[str]:
    entries = (path for path in folder.iterdir() if not path.name.startswith("."))
    return sorted(path.name for path in entries if path.suffix.lower() in SUFFIXES and path.is_file())


def _notes(folder: Path, classes: dict[str, list[str]]) -> list[str]:
    empty = [name for name, images in classes.items() if not images]
    if not empty:
        return []
    return [f"{len(empty)} folders hold no image and are no class; first: {empty[0]}"]


def _listing_digest(root: Path, paths: Sequence[str]) -> str:
    return digest([[path, (root / path).stat().st_size] for path in paths])
