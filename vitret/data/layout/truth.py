"""Truth of an evaluation set: from labels in one sweep, and as the text of truth.json."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vitret.core.errors import DataError, said
from vitret.core.records import Int64, Ragged, Truth
from vitret.core.store import read_json_object


@dataclass(frozen=True, kw_only=True, eq=False)
class Ignored:
    """What else is junk of a query of a category set: its own sequence, and rows that are named.

    `sequences` are the numbers of the queries (Q,) and of the database (M,), −1 for no sequence; `rows` has one list of
    database rows a query.
    """

    sequences: tuple[Int64, Int64] | None = None
    rows: Ragged | None = None


def truth_of_labels(
    query_labels: Int64,
    database_labels: Int64,
    query_rows: Int64 | None,
    *,
    ignored: Ignored | None = None,
) -> Truth:
    """Truth of a category set: positive = same label; a query's own row (−1: none) and what is `ignored` is junk.

    Database indices ascend within a query. Work and memory go with the number of positives.

    >>> truth = truth_of_labels(np.array([7, 7]), np.array([7, 5, 7]), np.array([0, -1]))
    >>> [truth.judgements["positive"].row(q).tolist() for q in (0, 1)]
    [[2], [0, 2]]
    """
    same = joined(query_labels, database_labels)
    if ignored is not None:
        return _without(same, _junk_of(query_rows, ignored), len(database_labels))
    if query_rows is None:
        return Truth(judgements={"positive": same})
    values, offsets = same.values, same.offsets
    own = values == np.repeat(query_rows, same.lengths())
    before = np.concatenate([[0], np.cumsum(own)])
    return Truth(
        judgements={
            "positive": Ragged(values=values[~own], offsets=offsets - before[offsets]),
            "junk": _own_lists(query_rows),
        }
    )


def joined(query_keys: Int64, database_keys: Int64) -> Ragged:
    """The database rows of each query's key, ascending.

    >>> joined(np.array([7, 9]), np.array([7, 5, 7])).row(0).tolist()
    [0, 2]
    """
    order = np.argsort(database_keys, kind="stable").astype(np.int64)
    ranked = database_keys[order]
    first = np.searchsorted(ranked, query_keys, side="left")
    counts = np.searchsorted(ranked, query_keys, side="right") - first
    offsets = np.concatenate([[0], np.cumsum(counts)]).astype(np.int64)
    values = order[np.arange(offsets[-1]) + np.repeat(first - offsets[:-1], counts)]
    return Ragged(values=values, offsets=offsets)


def _own_lists(query_rows: Int64) -> Ragged:
    listed = query_rows >= 0
    return Ragged(
        values=query_rows[listed].astype(np.int64),
        offsets=np.concatenate([[0], np.cumsum(listed)]).astype(np.int64),
    )


def _junk_of(query_rows: Int64 | None, ignored: Ignored) -> list[Ragged]:
    lists = [] if query_rows is None else [_own_lists(query_rows)]
    if ignored.rows is not None:
        lists.append(ignored.rows)
    if ignored.sequences is not None:
        asked, searched = ignored.sequences
        # Two images without a sequence are not of one.
        lists.append(joined(np.where(asked < 0, -2, asked), searched))
    return lists


def _without(same: Ragged, junk: Sequence[Ragged], rows: int) -> Truth:
    """The positives without junk, and the junk, each once."""

    def codes(lists: Ragged) -> Int64:
        return np.repeat(np.arange(len(lists)), lists.lengths()) * rows + lists.values

    def lists(codes: Int64) -> Ragged:
        counts = np.bincount(codes // rows, minlength=len(same))
        return Ragged(values=codes % rows, offsets=np.concatenate([[0], np.cumsum(counts)]).astype(np.int64))

    spoilt = np.unique(np.concatenate([np.empty(0, np.int64), *(codes(one) for one in junk)]))
    good = codes(same)
    kept = good[~np.isin(good, spoilt)]
    return Truth(judgements={"positive": lists(kept), "junk": lists(spoilt)})


def as_junk(truth: Truth, rows: Sequence[Int64]) -> Truth:
    """Judgements in which some database rows of each query are junk, whatever they were before."""
    kinds = {
        kind: [
            np.setdiff1d(lists.row(q), rows[q]) if len(rows[q]) else lists.row(q) for q in range(len(rows))
        ]
        for kind, lists in truth.judgements.items()
        if kind != "junk"
    }
    old = truth.judgements.get("junk")
    kinds["junk"] = [
        np.union1d(np.empty(0, np.int64) if old is None else old.row(q), rows[q])
        if len(rows[q]) or old is None
        else old.row(q)
        for q in range(len(rows))
    ]
    return Truth(judgements={kind: Ragged.of(lists) for kind, lists in kinds.items()})


def truth_to_json(truth: Truth | None, junk: Ragged | None = None) -> str:
    """The text of truth.json: one query a line; None means truth by labels, with rows that are `junk` besides."""
    if truth is None and junk is None:
        return '{"kind": "labels"}\n'
    if truth is None:
        assert junk is not None
        rows = {str(q): junk.row(q).tolist() for q in np.flatnonzero(junk.lengths()).tolist()}
        return json.dumps({"kind": "labels", "junk": rows}) + "\n"
    kinds = sorted(truth.judgements)
    lines = [
        json.dumps({kind: truth.judgements[kind].row(q).tolist() for kind in kinds}, sort_keys=True)
        for q in range(truth.queries)
    ]
    return '{"kind": "judgements", "queries": [\n' + ",\n".join(lines) + "\n]}\n"


def read_truth(
    path: Path, queries: Mapping[str, NDArray[Any]], database: Mapping[str, NDArray[Any]]
) -> Truth:
    """The truth that truth.json and the label columns of queries and database tell."""
    again = f"Prepare it again: vitret prepare {path.parent.name} --replace"
    stored = read_json_object(path, advice=again)
    try:
        if stored["kind"] == "labels":
            own = queries.get("database_row")
            ignored = _ignored(stored, queries, database)
            return truth_of_labels(queries["label"], database["label"], own, ignored=ignored)
        rows = stored["queries"]
        kinds = sorted({kind for row in rows for kind in row})
        return Truth(judgements={kind: Ragged.of([row.get(kind, []) for row in rows]) for kind in kinds})
    except (KeyError, TypeError, ValueError, AttributeError, OverflowError) as error:
        raise DataError(f"{path}: not the truth of a set ({said(error)}). {again}") from error


def _ignored(
    stored: Mapping[str, Any], queries: Mapping[str, NDArray[Any]], database: Mapping[str, NDArray[Any]]
) -> Ignored | None:
    """What truth.json and the columns say is ignored; None for most sets."""
    named = stored.get("junk")
    if named is None and "sequence" not in queries:
        return None
    count = len(queries["label"])
    return Ignored(
        sequences=(queries["sequence"], database["sequence"]) if "sequence" in queries else None,
        rows=None if named is None else Ragged.of([named.get(str(q), []) for q in range(count)]),
    )
