"""All tables of one set on their way to disk: freed of broken images, boxes checked, digests taken, files written."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vitret.core.errors import DataError
from vitret.core.records import Float64, Images
from vitret.core.store import write_json, write_text
from vitret.data.layout.box_check import check_boxes
from vitret.data.layout.identity import Twins, find_twins
from vitret.data.layout.image_check import Inventory
from vitret.data.layout.parquet import Bytes, digest_columns, write_table
from vitret.data.layout.parts import Columns, Evaluation, Train
from vitret.data.layout.truth import truth_to_json


@dataclass(frozen=True, kw_only=True, eq=False)
class Contents:
    """What a set holds; distractors are a database without queries, so never beside an evaluation."""

    name: str
    train: Train | None = None
    evaluation: Evaluation | None = None
    distractors: Bytes | None = None

    def paths(self) -> Bytes:
        """Every image named, sorted, once."""
        named: list[Bytes] = [] if self.train is None else [self.train.paths]
        if self.evaluation is not None:
            named += [self.evaluation.database, self.evaluation.queries]
        if self.distractors is not None:
            named.append(self.distractors)
        return np.unique(np.concatenate(named)) if named else np.empty(0, "S1")

    def without_broken(self, inventory: Inventory) -> Contents:
        """The contents without images that cannot be read; a listed query or positive among them raises `DataError`."""
        if not inventory.problems:
            return self
        train, evaluation, distractors = self.train, self.evaluation, self.distractors
        if evaluation is not None:
            evaluation = _readable(self.name, evaluation, inventory)
        if train is not None:
            train = train.keep(np.flatnonzero(inventory.rows(train.paths) >= 0))
        if distractors is not None:
            distractors = distractors[inventory.rows(distractors) >= 0]
        parts = [] if train is None else [train.paths]
        parts += [] if evaluation is None else [evaluation.queries, evaluation.database]
        parts += [] if distractors is None else [distractors]
        if any(len(part) == 0 for part in parts):
            shown = _listing(sorted(inventory.problems), inventory.problems)
            raise DataError(f"{self.name}: no image can be read: {shown}")
        return replace(self, train=train, evaluation=evaluation, distractors=distractors)

    def told_apart(self, images: Path, inventory: Inventory, *, without_copies: bool) -> Contents:
        """The contents in which no query finds its own file under another name; nor, if asked for, a copy of it."""
        if self.evaluation is None:
            return self
        found, twins = self.evaluation, self._twins(images, inventory)
        found = found.ignoring(twins.queries[twins.same], twins.rows[twins.same], own=True)
        if without_copies:
            found = found.ignoring(twins.queries, twins.rows, own=False)
        return replace(self, evaluation=found)

    def notes(self) -> list[str]:
        """What the user should know of the queries, apart from copies, which `load_eval` counts."""
        return [] if self.evaluation is None else list(self.evaluation.notes)

    def _twins(self, images: Path, inventory: Inventory) -> Twins:
        assert self.evaluation is not None
        asked = Images(root=images, paths=self.evaluation.queries, boxes=self.evaluation.boxes)
        searched = Images(root=images, paths=self.evaluation.database, boxes=self.evaluation.database_boxes)
        return find_twins(asked, searched, inventory.files)

    def check_boxes(self, inventory: Inventory) -> list[str]:
        """Notes about boxes that hang over their image; one that holds no pixel of it raises `DataError`."""
        boxed: list[tuple[Bytes, Float64 | None]] = []
        if self.train is not None:
            boxed.append((self.train.paths, self.train.boxes))
        if self.evaluation is not None:
            boxed.append((self.evaluation.queries, self.evaluation.boxes))
            boxed.append((self.evaluation.database, self.evaluation.database_boxes))
        notes = [
            note
            for paths, boxes in boxed
            if boxes is not None
            for note in check_boxes(self.name, paths, boxes, inventory)
        ]
        return list(dict.fromkeys(notes))  # queries that are the database have its notes

    def manifest(self, inventory: Inventory) -> dict[str, Any]:
        """Counts, failed images and digests: the part of the manifest that follows from the contents."""
        return {
            "images": len(inventory.files["path"]),
            "bytes": int(inventory.files["size"].sum()),
            "failed": [{"path": path, "reason": why} for path, why in sorted(inventory.problems.items())],
            "complete": not inventory.problems,
            "counts": self.counts(),
            "digests": self._digests(inventory),
            **({"notes": self.notes()} if self.notes() else {}),
        }

    def counts(self) -> dict[str, int]:
        """Rows of every table, classes, pairs, and judgements by kind; of labels, the positives that follow."""
        counts: dict[str, int] = {}
        if self.train is not None:
            counts["train"] = int((~self.train.validation).sum())
            counts["validation"] = int(self.train.validation.sum())
            counts["classes"] = len(self.train.names)
            if self.train.pairs is not None:
                counts["pairs"] = len(self.train.pairs)
        if self.evaluation is not None:
            counts["queries"] = len(self.evaluation.queries)
            counts["database"] = len(self.evaluation.database)
            if self.evaluation.truth is not None:
                kinds = self.evaluation.truth.judgements
                counts.update({kind: len(rows.values) for kind, rows in kinds.items()})
            else:
                counts["positive"] = self.evaluation.positives_by_label()
        if self.distractors is not None:
            counts["database"] = len(self.distractors)
        return counts

    def _digests(self, inventory: Inventory) -> dict[str, str]:
        return part_digests(
            inventory,
            train=self.train.columns() if self.train is not None else {},
            pairs=self.train.pair_columns() if self.train is not None else {},
            database=self._database_columns(),
            queries=self.evaluation.query_columns() if self.evaluation is not None else {},
            truth=self._truth_text().encode(),
        )

    def _truth_text(self) -> str:
        return "" if self.evaluation is None else truth_to_json(self.evaluation.truth, self.evaluation.junk)

    def _database_columns(self) -> Columns:
        if self.evaluation is not None:
            return self.evaluation.database_columns()
        return {} if self.distractors is None else {"path": self.distractors}

    def write(self, folder: Path, inventory: Inventory) -> list[str]:
        """Write every table below `folder`; returns the names of the files."""
        tables: dict[str, Mapping[str, NDArray[Any]]] = {"files.parquet": inventory.files}
        labels: dict[str, Any] = {}
        if self.train is not None:
            tables["train.parquet"] = self.train.columns()
            tables["pairs.parquet"] = self.train.pair_columns()
            labels["train"] = self.train.names
        tables["database.parquet"] = self._database_columns()
        if self.evaluation is not None:
            tables["queries.parquet"] = self.evaluation.query_columns()
            if self.evaluation.names:
                labels["evaluation"] = self.evaluation.names
            write_text(folder / "truth.json", self._truth_text())
        written = [name for name, columns in tables.items() if columns]
        for name in written:
            write_table(folder / name, tables[name])
        if labels:
            write_json(folder / "labels.json", labels)
        return [*written, *(["labels.json"] if labels else []), *(["truth.json"] if self.evaluation else [])]


def _readable(name: str, evaluation: Evaluation, inventory: Inventory) -> Evaluation:
    """An evaluation without broken images; in a list, one that is a query or a positive raises `DataError`."""
    usable, asks = (inventory.rows(paths) >= 0 for paths in (evaluation.database, evaluation.queries))
    if evaluation.unlisted:
        return evaluation.asked_by(np.flatnonzero(asks)).keep(np.flatnonzero(usable))
    needed = np.concatenate([evaluation.queries[~asks], evaluation.database[~usable & evaluation.judged()]])
    if len(needed):
        shown = _listing(sorted({path.decode() for path in needed.tolist()}), inventory.problems)
        raise DataError(
            f"{name}: images that are queries or positives are broken, and leaving them out would change the measure. "
            f"Fix them or take them out of the list: {shown}"
        )
    return evaluation.keep(np.flatnonzero(usable))


def part_digests(
    inventory: Inventory, *, train: Columns, pairs: Columns, database: Columns, queries: Columns, truth: bytes
) -> dict[str, str]:
    """The digests by which the parts of a set are known: the columns of its tables and the bytes of their images."""

    def seen(columns: Columns) -> Columns:
        return {**columns, "sha256": inventory.files["sha256"][inventory.rows(columns["path"])]}

    digests: dict[str, str] = {}
    if train:
        digests["train"] = digest_columns(
            {**seen(train), **{f"pair {key}": values for key, values in pairs.items()}}
        )
    if database:
        digests["database"] = digest_columns(seen(database))
    if queries:
        asked = {f"query {key}": values for key, values in seen(queries).items()}
        digests["evaluation"] = digest_columns(
            {**seen(database), **asked, "truth": np.frombuffer(truth, np.uint8)}
        )
    return digests


def _listing(names: Sequence[str], problems: Mapping[str, str]) -> str:
    more = f" … and {len(names) - 3} more" if len(names) > 3 else ""
    return "; ".join(f"{name} {problems[name].rstrip('.')}" for name in names[:3]) + more + "."
