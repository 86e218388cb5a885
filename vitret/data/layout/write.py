"""Writes a set in the layout of this folder: built beside its place, checked, then renamed; whole or absent."""

from __future__ import annotations

import contextlib
import os
import re
import shutil
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path, PurePosixPath
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vitret.core.errors import DataError, EmptyError, MachineError, UserError
from vitret.core.locks import locked
from vitret.core.records import Float64, Truth
from vitret.core.store import file_sha256, machine_error, read_json_object, write_json
from vitret.data.layout.assemble import Contents
from vitret.data.layout.image_check import take_inventory
from vitret.data.layout.leftovers import remove_leftovers
from vitret.data.layout.links import copy_whole, hard_link_or_copy, symlink_or_copy
from vitret.data.layout.parquet import Bytes, encoded
from vitret.data.layout.parts import Evaluation, Side, Train
from vitret.data.layout.stamps import take_stamps, write_stamps

VERSION = 1
UNFINISHED = (".part", ".old")
JOURNAL = "checked.jsonl"
NAME = re.compile(r"[a-z0-9][a-z0-9._-]*")


def exists(data_root: Path, name: str) -> bool:
    """True where the whole set is there: the manifest is in its place only when everything else is."""
    return (data_root / name / "manifest.json").is_file() and not name.endswith(UNFINISHED)


def _again(name: str) -> str:
    return f"Prepare it again: vitret prepare {name} --replace"


class AlreadyThereError(DataError):
    """The set is prepared; nothing was touched."""


class LayoutWriter:
    """Builds a set in `<set>.part` beside its place and renames it when all is checked: whole or absent.

    ```
    with LayoutWriter(data_root, "my-set") as writer:
        writer.link(photo, "owl/1.jpg")                          # or writer.write_image("owl/1.jpg", data)
        writer.train(["owl/1.jpg"], ["owl"])
        writer.card({"title": "My owls"})
        writer.finish()
    ```

    Leaving the block without `finish` (a kill, an error) leaves the part folder: links, images and the journal of
    checked files are used by the next attempt, and what that does not name is removed, so the result is the same.
    A lock makes a second process wait; it then finds the set and gets `AlreadyThereError`, unless `replace` is given,
    or `grow` and the set is a subset of its shards.
    """

    def __init__(
        self,
        data_root: Path,
        name: str,
        replace: bool = False,
        *,
        grow: bool = False,
        workers: int | None = None,
        report: Callable[[str], None] = lambda _: None,
        hard: bool = False,
    ) -> None:
        if not NAME.fullmatch(name) or name.endswith(UNFINISHED):
            raise UserError(
                f"'{name}' cannot name a set: use lower-case letters, digits, '-', '_' and '.', beginning with a "
                "letter or digit."
            )
        self.name = name
        self.final = data_root / name
        self.part = data_root / f"{name}.part"
        self._old = data_root / f"{name}.old"
        self._replace, self._grow = replace, grow
        self.replaced: Mapping[str, Any] = {}
        self._workers = os.cpu_count() or 1 if workers is None else workers
        self._report = report
        self._hard = hard
        self._lock = contextlib.ExitStack()
        self._train: Train | None = None
        self._evaluation: Evaluation | None = None
        self._distractors: Bytes | None = None
        self._card: Mapping[str, Any] = {}
        self._source: Mapping[str, Any] = {}
        self._folders: set[Path] = set()
        self._attached: set[str] = set()
        self._left_out: dict[str, int] = {}
        self._tell_apart: bool | None = None
        self.missing: list[str] = []

    def __enter__(self) -> LayoutWriter:
        self._lock.enter_context(locked(self.final.parent / f".{self.name}.lock"))
        try:
            if self._old.exists() and not self.final.exists():
                self._old.rename(self.final)  # A kill between the two renames of a replacement.
        except OSError as error:
            raise machine_error(self.final, error) from error
        if exists(self.final.parent, self.name):
            self.replaced = self._before()
            if not (self._replace or (self._grow and self.replaced.get("shards"))):
                self._lock.close()
                raise AlreadyThereError(f"{self.final}: is already prepared. To build it again: --replace")
        return self

    def _before(self) -> Mapping[str, Any]:
        """The manifest of the set that is there; a damaged one may be replaced, and is empty then."""
        try:
            return read_json_object(self.final / "manifest.json", advice=_again(self.name))
        except DataError:
            if self._replace:
                return {}
            self._lock.close()
            raise

    def __exit__(self, *_: object) -> None:
        self._lock.close()

    def has(self, relative: str) -> bool:
        """True where this image is already in place, perhaps from an interrupted attempt."""
        return self._place(relative).exists()

    def link(self, source: Path, relative: str) -> None:
        """Link images/`relative` to a file, or to a folder whose files the tables then name; copy where links fail.

        A writer made with `hard` gives the file itself a second name, so that the source can be removed afterwards.
        """
        place = self._place(relative)
        target = source.absolute()
        if not target.exists():
            raise DataError(f"{source}: no such file.")
        try:
            self._make_folder(place.parent)
            if self._hard:
                self._hard_link(target, place)
            else:
                symlink_or_copy(target, place)
        except OSError as error:
            raise machine_error(place, error) from error

    def _hard_link(self, target: Path, place: Path) -> None:
        if not target.is_dir():
            hard_link_or_copy(target, place)
            return
        for folder, _, files in os.walk(target):
            inside = place / Path(folder).relative_to(target)
            self._make_folder(inside)
            for name in files:
                hard_link_or_copy(Path(folder) / name, inside / name)

    def attach(self, source: Path) -> None:
        """Keep a file (an attribution list of a gigabyte) beside the tables, under its own name: linked, or a copy."""
        place = self.part / source.name
        try:
            self._make_folder(self.part)
            if self._hard:
                hard_link_or_copy(source, place)
            else:
                copy_whole(source, place)
        except OSError as error:
            raise machine_error(place, error) from error
        self._attached.add(source.name)

    def images(self, root: Path, paths: Sequence[str], names: Sequence[str]) -> None:
        """Link images/`names[i]` to `root/paths[i]` for every i."""
        for path, name in zip(paths, names, strict=True):
            self.link(root / path, name)

    def write_image(self, relative: str, data: bytes) -> None:
        """Put a new image file at images/`relative`."""
        place = self._place(relative)
        fresh = place.with_name(f".{place.name}.new")
        try:
            self._make_folder(place.parent)
            fresh.write_bytes(data)
            fresh.replace(place)
        except OSError as error:
            raise machine_error(place, error) from error

    def train(
        self,
        paths: Sequence[str] | Bytes,
        labels: Sequence[int] | Sequence[str] | NDArray[Any],
        *,
        validation: NDArray[np.bool_] | None = None,
        boxes: Float64 | None = None,
        pairs: NDArray[np.int64] | None = None,
        label_map: Mapping[int, Any] | Sequence[Any] | None = None,
    ) -> None:
        """Set the training part.

        `labels` (n,) are whole numbers or words with any gaps; they become 0…C−1 in sorted order and their originals
        go to labels.json (`label_map[label]`, where given). `validation` (n,), `boxes` (n, 4) with NaN rows for whole
        images, `pairs` (P, 2) rows (query, positive).
        """
        self._train = Train.of(
            paths, labels, validation=validation, boxes=boxes, pairs=pairs, label_map=label_map
        )

    def evaluation(
        self,
        database: Side,
        queries: Side,
        *,
        judgements: Truth | None = None,
        query_rows: NDArray[np.int64] | None = None,
        unlisted: bool = False,
    ) -> None:
        """Set the evaluation part: judgements, or labels for both sides. Boxes of queries crop them.

        `query_rows` (Q,) is each query's own database row, −1 for none; its judgement stays as it is. A query that is
        in the database without being said so here is junk for itself. `unlisted` says that labelled images were found
        in folders: there a broken one is left out even where it asks or is a positive.
        """
        self._evaluation = Evaluation.of(
            database, queries, judgements=judgements, query_rows=query_rows, unlisted=unlisted
        )

    def distractors(self, paths: Sequence[str] | Bytes) -> None:
        """Set the database of a set that nobody asks about."""
        self._distractors = np.unique(encoded(paths))
        if len(self._distractors) == 0:
            raise EmptyError(f"{self.name}: 0 images were found. Nothing is prepared.")

    def tell_apart(self, *, without_copies: bool = False) -> None:
        """Compare queries and database by bytes when the set is finished.

        A query's own file is junk for it under any name; with `without_copies` so is every copy of its bytes.
        """
        self._tell_apart = without_copies

    def leave_out(self, number: int, what: str) -> None:
        """Say, and write into the manifest, that so many images have no place in the set, and why."""
        if number:
            self._left_out[what] = number
            self._report(f"{self.name}: left out: {number:,} {what}")

    def note_missing(self, found: int, listed: int, what: str) -> None:
        """Note how many of the listed are there: a set of which some are missing is a subset, or is refused."""
        if found < listed:
            self.missing.append(f"{found:,} of {listed:,} {what}")

    def card(self, facts: Mapping[str, Any]) -> None:
        """Set what is known about the set; `image_set_version` and `shards` also go to the manifest."""
        self._card = facts

    def source(self, facts: Mapping[str, Any]) -> None:
        """Set what the set was made from, by which the same request is recognised: digests and options, no places."""
        self._source = facts

    def counts(self) -> dict[str, int]:
        """What the tables hold so far, before broken images are left out: train, classes, queries, database, …."""
        return self._contents().counts()

    def _contents(self) -> Contents:
        return Contents(
            name=self.name, train=self._train, evaluation=self._evaluation, distractors=self._distractors
        )

    def finish(self) -> Path:
        """Check and hash every image, write the tables, and put the set in its place; returns the set's folder.

        A broken image that nobody asks about is left out and listed in the manifest under "failed". One that a list
        names as a query or a positive would change the measure: it raises `DataError`, and so does a set of broken
        images only.
        """
        if self._evaluation is not None and self._distractors is not None:
            raise ValueError("a set has an evaluation or distractors, not both")
        contents = self._contents()
        paths = contents.paths()
        if len(paths) == 0:
            raise EmptyError(f"{self.name}: 0 images were found. Nothing is prepared.")
        try:
            before = take_stamps(self.part / "images", paths)
            inventory = take_inventory(
                self.part / "images",
                paths,
                self.part / JOURNAL,
                workers=self._workers,
                report=self._report,
            )
            contents = contents.without_broken(inventory)
            boxes = contents.check_boxes(inventory)
            if self._tell_apart is not None:
                images = self.part / "images"
                contents = contents.told_apart(images, inventory, without_copies=self._tell_apart)
            for note in [*boxes, *contents.notes()]:
                self._report(f"{self.name}: {note}")
            kept = contents.write(self.part, inventory)
            write_json(self.part / "card.json", dict(self._card))
            beside = sorted({*kept, *self._attached, "card.json"})
            files = {name: file_sha256(self.part / name) for name in beside}
            facts = {"version": VERSION, "set": self.name, **_facts(self._card), "source": dict(self._source)}
            if self._left_out:
                facts["left_out"] = self._left_out
            write_json(self.part / "manifest.json", {**facts, **contents.manifest(inventory), "files": files})
            remove_leftovers(self.part, {*beside, "manifest.json"}, inventory.files["path"])
            self._rename()
            # The set is whole: without stamps its images are held to the time of the manifest.
            with contextlib.suppress(MachineError):
                write_stamps(self.final, before[np.isin(paths, inventory.files["path"])])
        except OSError as error:
            raise machine_error(self.part, error) from error
        return self.final

    def _place(self, relative: str) -> Path:
        pure = PurePosixPath(relative)
        if pure.is_absolute() or ".." in pure.parts or not pure.parts or "\0" in relative:
            raise DataError(
                f"'{relative}' leads out of the set's images. Paths are relative and go downwards only."
            )
        return self.part / "images" / pure

    def _make_folder(self, folder: Path) -> None:
        if folder not in self._folders:
            folder.mkdir(parents=True, exist_ok=True)
            self._folders.add(folder)

    def _rename(self) -> None:
        shutil.rmtree(self._old, ignore_errors=True)
        if self.final.exists():
            self.final.rename(self._old)
        self.part.rename(self.final)
        shutil.rmtree(self._old, ignore_errors=True)


def _facts(card: Mapping[str, Any]) -> dict[str, Any]:
    return {"image_set_version": card.get("image_set_version", "1"), "shards": card.get("shards")}
