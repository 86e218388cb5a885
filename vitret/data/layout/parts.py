"""The rows of a training and of an evaluation part before they are written: checked, numbered, cut, as columns."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import KW_ONLY, dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vitret.core.errors import DataError, EmptyError
from vitret.core.records import Float64, Int64, Ragged, Truth
from vitret.data.layout.identity import own_sentence
from vitret.data.layout.parquet import Bytes, encoded
from vitret.data.layout.truth import Ignored, as_junk, truth_of_labels

BOX = ("x0", "y0", "x1", "y1")
Bool = NDArray[np.bool_]
Labels = Sequence[int] | Sequence[str] | NDArray[Any]
Names = list[int] | list[str]
Columns = dict[str, NDArray[Any]]


@dataclass(frozen=True, kw_only=True, eq=False)
class Train:
    """Rows of train.parquet and pairs.parquet; `names` holds the original label of each number."""

    paths: Bytes
    labels: Int64
    names: Names
    validation: Bool
    boxes: Float64 | None
    pairs: Int64 | None

    @classmethod
    def of(
        cls,
        paths: Sequence[str] | Bytes,
        labels: Labels,
        *,
        validation: Bool | None,
        boxes: Float64 | None,
        pairs: Int64 | None,
        label_map: Mapping[int, Any] | Sequence[Any] | None,
    ) -> Train:
        """Labels, whole numbers or words with any gaps, become 0…C−1 in sorted order; no class may be on both sides."""
        coded = encoded(paths)
        _same_length(coded, labels=labels, validation=validation, boxes=boxes)
        if len(coded) == 0:
            raise EmptyError("0 training images were found. Nothing is prepared.")
        numbers, names = number_labels(labels)
        if label_map is not None:
            names = [label_map[int(name)] for name in names]
        mask = np.zeros(len(coded), np.bool_) if validation is None else np.asarray(validation, np.bool_)
        both = np.intersect1d(numbers[mask], numbers[~mask])
        if len(both):
            raise DataError(
                f"{len(both)} classes are both in training and in validation; first: {names[both[0]]}. "
                "Validation needs classes of its own."
            )
        return cls(paths=coded, labels=numbers, names=names, validation=mask, boxes=boxes, pairs=pairs)

    def keep(self, rows: Int64) -> Train:
        """Only these rows (ascending): classes are renumbered, pairs that lose an image go."""
        if len(rows) == len(self.paths):
            return self
        left, labels = np.unique(self.labels[rows], return_inverse=True)
        pairs = None
        if self.pairs is not None:
            moved = _new_rows(rows, len(self.paths))[self.pairs]
            pairs = moved[(moved >= 0).all(axis=1)]
        return replace(
            self,
            paths=self.paths[rows],
            labels=labels.astype(np.int64),
            names=[self.names[label] for label in left],
            validation=self.validation[rows],
            boxes=None if self.boxes is None else self.boxes[rows],
            pairs=pairs,
        )

    def columns(self) -> Columns:
        return {
            "path": self.paths,
            "label": self.labels,
            "validation": self.validation,
            **_box_columns(self.boxes),
        }

    def pair_columns(self) -> Columns:
        if self.pairs is None:
            return {}
        return {"query": self.pairs[:, 0].astype(np.int64), "positive": self.pairs[:, 1].astype(np.int64)}


@dataclass(frozen=True, eq=False)
class Side:
    """One side of an evaluation, its database or its queries: paths, with a label and a box each where there are any.

    `boxes` (n, 4) are pixels of the stored image, NaN rows for whole images. `sequences` (n,) are numbers of what was
    taken in one go, −1 for none: a query ignores its own. Both sides have them, or none has. `groups` (n,) of queries
    number what each asks about, −1 for a query that stands alone.
    """

    paths: Sequence[str] | Bytes
    _: KW_ONLY
    labels: Labels | None = None
    boxes: Float64 | None = None
    sequences: Int64 | None = None
    groups: Int64 | None = None


@dataclass(frozen=True, kw_only=True, eq=False)
class Evaluation:
    """Rows of database.parquet and queries.parquet and the truth; no truth means truth by labels.

    `sequences` are those of queries and database; `junk` are database rows that a query of a labelled set ignores
    besides. `groups` (Q,) are what the user says that queries ask about. `notes` are for the user. `unlisted` images
    were found in folders: no list says that they belong to the measure.
    """

    database: Bytes
    queries: Bytes
    boxes: Float64 | None
    database_boxes: Float64 | None
    truth: Truth | None
    database_labels: Int64 | None
    query_labels: Int64 | None
    names: Names
    query_rows: Int64 | None
    sequences: tuple[Int64, Int64] | None = None
    junk: Ragged | None = None
    groups: Int64 | None = None
    notes: tuple[str, ...] = ()
    unlisted: bool = False

    @classmethod
    def of(
        cls,
        database: Side,
        queries: Side,
        *,
        judgements: Truth | None,
        query_rows: Int64 | None,
        unlisted: bool = False,
    ) -> Evaluation:
        """Checks lengths, repeated database rows, indices of the truth; a query in the database is its own row."""
        stored, asked = encoded(database.paths), encoded(queries.paths)
        _same_length(
            stored,
            database_labels=database.labels,
            database_boxes=database.boxes,
            sequences=database.sequences,
        )
        _same_length(
            asked,
            query_labels=queries.labels,
            boxes=queries.boxes,
            query_rows=query_rows,
            sequences=queries.sequences,
            groups=queries.groups,
        )
        if len(asked) == 0 or len(stored) == 0:
            raise EmptyError(
                f"{len(asked)} queries and {len(stored)} database images were found: both are needed."
            )
        names: Names = []
        numbered: tuple[Int64, Int64] | None = None
        if database.labels is not None and queries.labels is not None:
            joint, names = number_labels([*database.labels, *queries.labels])
            numbered = joint[: len(stored)], joint[len(stored) :]
        if judgements is None and numbered is None:
            raise ValueError("an evaluation needs judgements or labels of queries and database")
        made = cls(
            database=stored,
            queries=asked,
            boxes=queries.boxes,
            database_boxes=database.boxes,
            truth=judgements,
            database_labels=None if numbered is None else numbered[0],
            query_labels=None if numbered is None else numbered[1],
            names=names,
            query_rows=None if query_rows is None else np.asarray(query_rows, np.int64),
            sequences=None
            if queries.sequences is None or database.sequences is None
            else (queries.sequences, database.sequences),
            groups=queries.groups,
            unlisted=unlisted,
        )
        own = made._rows_by_name()
        made._check_truth()
        found = np.flatnonzero(own >= 0)
        return made.ignoring(found, own[found], own=True)

    def _rows_by_name(self) -> Int64:
        """The database row of each query's name, and box where the database has boxes; −1 for none."""
        stored, asked = _keys(self.database, self.database_boxes, self.queries, self.boxes)
        values, first, counts = np.unique(stored, return_index=True, return_counts=True)
        if len(values) < len(stored):
            name = self.database[first[counts > 1][0]].decode()
            raise DataError(f"{(counts > 1).sum()} images are in the database more than once; first: {name}.")
        at = np.minimum(np.searchsorted(values, asked), len(values) - 1)
        if self.query_rows is not None and np.any(
            (self.query_rows < -1) | (self.query_rows >= len(self.database))
        ):
            raise DataError("a query's database row lies outside the database.")
        return np.where(values[at] == asked, first[at], -1)

    def ignoring(self, queries: Int64, rows: Int64, *, own: bool) -> Evaluation:
        """With database rows (P,) as junk of queries (P,) ascending: with `own` they are the query itself.

        A row that was declared a query's own stays as it was judged, and what is junk already is left alone.
        """
        known = np.full(len(self.queries), -1, np.int64) if self.query_rows is None else self.query_rows
        fresh = known[queries] != rows
        junk = None if self.truth is None else self.truth.judgements.get("junk")
        if junk is not None:
            pairs = zip(queries.tolist(), rows.tolist(), strict=True)
            fresh &= ~np.array([row in junk.row(query) for query, row in pairs], np.bool_)
        if not fresh.any():
            return self
        made = self
        if own:
            given, first = np.unique(queries, return_index=True)
            known = known.copy()
            known[given] = np.where(known[given] >= 0, known[given], rows[first])
            sentence = own_sentence(len(np.unique(queries[fresh])))
            made = replace(self, query_rows=known, notes=(*self.notes, sentence))
        if self.truth is not None:
            return replace(made, truth=as_junk(self.truth, _lists(queries[fresh], rows[fresh], len(known))))
        fresh &= known[queries] != rows
        if not fresh.any():
            return made
        more = _lists(queries[fresh], rows[fresh], len(known))
        if self.junk is not None:
            more = [np.union1d(self.junk.row(q), row) for q, row in enumerate(more)]
        return replace(made, junk=Ragged.of(more))

    def _check_truth(self) -> None:
        if self.truth is None:
            return
        if self.truth.queries != len(self.queries):
            raise DataError(f"{len(self.queries)} queries but judgements for {self.truth.queries}.")
        for kind, rows in self.truth.judgements.items():
            bad = (rows.values < 0) | (rows.values >= len(self.database))
            if bad.any():
                at = int(np.flatnonzero(bad)[0])
                query = self.queries[int(np.searchsorted(rows.offsets, at, side="right")) - 1].decode()
                raise DataError(
                    f"'{kind}' of query {query} names database image {rows.values[at]}, but there are "
                    f"{len(self.database)}, counted from 0."
                )

    def judged(self) -> Bool:
        """Which database images are a positive of some query, (M,)."""
        if self.truth is None:
            assert self.database_labels is not None
            assert self.query_labels is not None
            return np.isin(self.database_labels, self.query_labels)
        mask = np.zeros(len(self.database), np.bool_)
        for kind, rows in self.truth.judgements.items():
            if kind != "junk":
                mask[rows.values] = True
        return mask

    def known_truth(self) -> Truth:
        """The judgements, or what the labels say."""
        if self.truth is not None:
            return self.truth
        assert self.database_labels is not None
        assert self.query_labels is not None
        ignored = None
        if self.sequences is not None or self.junk is not None:
            ignored = Ignored(sequences=self.sequences, rows=self.junk)
        return truth_of_labels(self.query_labels, self.database_labels, self.query_rows, ignored=ignored)

    def positives_by_label(self) -> int:
        """How many (query, database image) pairs share a label, without what the query ignores."""
        assert self.database_labels is not None
        assert self.query_labels is not None
        if self.sequences is not None or self.junk is not None:
            return len(self.known_truth().judgements["positive"].values)
        pairs = np.bincount(self.database_labels, minlength=len(self.names))[self.query_labels].sum()
        if self.query_rows is None:
            return int(pairs)
        listed = self.query_rows >= 0
        own = self.database_labels[self.query_rows[listed]] == self.query_labels[listed]
        return int(pairs - own.sum())

    def asked_by(self, rows: Int64) -> Evaluation:
        """Only these queries (ascending) of a set with labels."""
        if len(rows) == len(self.queries):
            return self
        assert self.truth is None
        assert self.query_labels is not None
        return replace(
            self,
            queries=self.queries[rows],
            boxes=None if self.boxes is None else self.boxes[rows],
            query_labels=self.query_labels[rows],
            query_rows=None if self.query_rows is None else self.query_rows[rows],
            sequences=None if self.sequences is None else (self.sequences[0][rows], self.sequences[1]),
            junk=None if self.junk is None else Ragged.of([self.junk.row(row) for row in rows.tolist()]),
            groups=None if self.groups is None else self.groups[rows],
        )

    def keep(self, rows: Int64) -> Evaluation:
        """Only these database rows (ascending); whatever points at a row follows it."""
        if len(rows) == len(self.database):
            return self
        moved = _new_rows(rows, len(self.database))
        truth = self.truth
        if truth is not None:
            truth = Truth(judgements={kind: _move(old, moved) for kind, old in truth.judgements.items()})
        # A number of `own` −1 marks no database row and stays −1.
        own = self.query_rows
        return replace(
            self,
            database=self.database[rows],
            database_boxes=None if self.database_boxes is None else self.database_boxes[rows],
            database_labels=None if self.database_labels is None else self.database_labels[rows],
            truth=truth,
            query_rows=None if own is None else np.where(own >= 0, moved[own], -1),
            sequences=None if self.sequences is None else (self.sequences[0], self.sequences[1][rows]),
            junk=None if self.junk is None else _move(self.junk, moved),
        )

    def database_columns(self) -> Columns:
        labels = {} if self.database_labels is None else {"label": self.database_labels}
        sequence = {} if self.sequences is None else {"sequence": self.sequences[1]}
        return {"path": self.database, **labels, **_box_columns(self.database_boxes), **sequence}

    def query_columns(self) -> Columns:
        labels = {} if self.query_labels is None else {"label": self.query_labels}
        rows = {} if self.query_rows is None else {"database_row": self.query_rows}
        sequence = {} if self.sequences is None else {"sequence": self.sequences[0]}
        groups = {} if self.groups is None else {"group": self.groups}
        return {"path": self.queries, **_box_columns(self.boxes), **labels, **rows, **sequence, **groups}


def number_labels(labels: Labels) -> tuple[Int64, Names]:
    """Labels as 0…C−1 in sorted order, and the original label of each number.

    >>> number_labels(["owl", "ant", "owl"])
    (array([1, 0, 1]), ['ant', 'owl'])
    """
    values, numbers = np.unique(np.asarray(labels), return_inverse=True)
    if values.dtype.kind == "S":
        return numbers.astype(np.int64), [value.decode() for value in values.tolist()]
    if values.dtype.kind not in "iuU":
        raise ValueError(f"labels must be whole numbers or words, not {values.dtype}")
    return numbers.astype(np.int64), values.tolist()


def _same_length(paths: Bytes, **columns: Any) -> None:
    for name, values in columns.items():
        if values is not None and len(values) != len(paths):
            raise ValueError(f"{len(paths)} paths but {len(values)} {name}")


def _keys(
    database: Bytes, database_boxes: Float64 | None, queries: Bytes, query_boxes: Float64 | None
) -> tuple[Int64, Int64]:
    """One number per database image and per query, equal where the images are: with database boxes, box and all."""
    _, keys = np.unique(np.concatenate([database, queries]), return_inverse=True)
    if database_boxes is not None:
        whole = np.full((len(queries), 4), np.nan)
        boxes = np.concatenate([database_boxes, whole if query_boxes is None else query_boxes])
        _, box_keys = np.unique(np.nan_to_num(boxes, nan=-1.0), axis=0, return_inverse=True)
        keys = keys * len(boxes) + box_keys
    keys = keys.astype(np.int64)
    return keys[: len(database)], keys[len(database) :]


def _lists(queries: Int64, rows: Int64, count: int) -> list[Int64]:
    """The rows (P,) of each of `count` queries; `queries` (P,) ascend."""
    bounds = np.searchsorted(queries, np.arange(count + 1))
    return [np.unique(rows[bounds[q] : bounds[q + 1]]) for q in range(count)]


def _box_columns(boxes: Float64 | None) -> Columns:
    return {} if boxes is None else {side: boxes[:, i].astype(np.float64) for i, side in enumerate(BOX)}


def _new_rows(kept: Int64, total: int) -> Int64:
    """Where each old row went, (total,); −1 where it is gone."""
    moved = np.full(total, -1, np.int64)
    moved[kept] = np.arange(len(kept))
    return moved


def _move(rows: Ragged, moved: Int64) -> Ragged:
    values = moved[rows.values]
    before = np.concatenate([[0], np.cumsum(values >= 0)])
    return Ragged(values=values[values >= 0], offsets=before[rows.offsets])
