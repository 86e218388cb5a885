"""Truth of an evaluation set: from labels in one sweep, and as the text of truth.json."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vitret.core.errors import DataError, said
from vitret.core.records import Int64, Ragged, Truth
from vitret.core.store import read_json_object


def truth_of_labels(query_labels: Int64, database_labels: Int64, query_rows: Int64 | None) -> Truth:
    """Truth of a category set: positive = same label; a query's own database row (−1: none) is junk.

    Database indices ascend within a query. Work and memory go with the number of positives.

    >>> truth = truth_of_labels(np.array([7, 7]), np.array([7, 5, 7]), np.array([0, -1]))
    >>> [truth.judgements["positive"].row(q).tolist() for q in (0, 1)]
    [[2], [0, 2]]
    """
    order = np.argsort(database_labels, kind="stable").astype(np.int64)
    ranked = database_labels[order]
    first = np.searchsorted(ranked, query_labels, side="left")
    counts = np.searchsorted(ranked, query_labels, side="right") - first
    offsets = np.concatenate([[0], np.cumsum(counts)]).astype(np.int64)
    values = order[np.arange(offsets[-1]) + np.repeat(first - offsets[:-1], counts)]
    if query_rows is None:
        return Truth(judgements={"positive": Ragged(values=values, offsets=offsets)})
    own = values == np.repeat(query_rows, counts)
    before = np.concatenate([[0], np.cumsum(own)])
    listed = query_rows >= 0
    return Truth(
        judgements={
            "positive": Ragged(values=values[~own], offsets=offsets - before[offsets]),
            "junk": Ragged(
                values=query_rows[listed].astype(np.int64),
                offsets=np.concatenate([[0], np.cumsum(listed)]).astype(np.int64),
            ),
        }
    )


def truth_to_json(truth: Truth | None) -> str:
    """The text of truth.json: one query a line; None means truth by labels."""
    if truth is None:
        return '{"kind": "labels"}\n'
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
            return truth_of_labels(queries["label"], database["label"], queries.get("database_row"))
        rows = stored["queries"]
        kinds = sorted({kind for row in rows for kind in row})
        return Truth(judgements={kind: Ragged.of([row.get(kind, []) for row in rows]) for kind in kinds})
    except (KeyError, TypeError, ValueError, AttributeError, OverflowError) as error:
        raise DataError(f"{path}: not the truth of a set ({said(error)}). {again}") from error
