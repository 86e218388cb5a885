"""Which database images are a query's own: equal bytes and box, by the sha256 that a prepared set holds.

The same file under another spelling (a relative and an absolute path, a link, a hard link, another case on a file
system without cases) is the query itself. A copy under another name is another image, found too easily: that is said.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vitret.core.records import Images, Int64, Truth
from vitret.data.boxes import cut
from vitret.data.layout.truth import joined

Bool = NDArray[np.bool_]


@dataclass(frozen=True, kw_only=True, eq=False)
class Twins:
    """Pairs of a query and a database row of equal bytes and box, (P,) each; `same` marks those that are one file."""

    queries: Int64
    rows: Int64
    same: Bool


def find_twins(queries: Images, database: Images, files: Mapping[str, NDArray[Any]]) -> Twins:
    """All pairs of equal bytes and box; `files` are the columns of files.parquet.

    Boxes are compared in whole pixels inside the image, no box being the whole image. Where no database image has a
    box, that of the query does not matter, as in the protocol of Oxford. Only files of equal bytes are looked at.
    """
    asked, searched = (np.searchsorted(files["path"], images.paths) for images in (queries, database))
    sha = np.ascontiguousarray(files["sha256"]).view("S32")
    # Eight of 32 bytes find the candidates, all of them decide.
    keys = np.ascontiguousarray(files["sha256"]).view(np.int64).reshape(-1, 4)[:, 0]
    found = joined(keys[asked], keys[searched])
    q, d = np.repeat(np.arange(len(queries)), found.lengths()), found.values
    equal = sha[asked[q]] == sha[searched[d]]
    if database.boxes is not None:
        equal &= (_whole(queries, files, asked)[q] == _whole(database, files, searched)[d]).all(axis=1)
    q, d = q[equal], d[equal]
    return Twins(queries=q, rows=d, same=_one_file(queries, database, q, d))


def _whole(images: Images, files: Mapping[str, NDArray[Any]], rows: Int64) -> Int64:
    """The boxes (n, 4) in whole pixels, cut to the image."""
    size = np.stack([files["width"][rows], files["height"][rows]], axis=1).astype(np.int64)
    return cut(np.full((len(images), 4), np.nan) if images.boxes is None else images.boxes, size)


def _one_file(queries: Images, database: Images, q: Int64, d: Int64) -> Bool:
    """Which pairs are one file: of one name, or of one place on the disk."""
    same: Bool = np.asarray(queries.paths[q] == database.paths[d], np.bool_)
    places: dict[Path, tuple[int, int] | None] = {}

    def place(path: Path) -> tuple[int, int] | None:
        if path not in places:
            places[path] = _place(path)
        return places[path]

    for i in np.flatnonzero(~same).tolist():
        mine = place(queries.file(int(q[i])))
        same[i] = mine is not None and mine == place(database.file(int(d[i])))
    return same


def _place(path: Path) -> tuple[int, int] | None:
    try:
        facts = path.stat()
    except OSError:
        return None  # Gone, or inside a tar.
    return (facts.st_dev, facts.st_ino) if facts.st_ino else None


def copies_sentences(twins: Twins, truth: Truth, *, advice: str = "") -> list[str]:
    """What a reader should know of queries that have copies in the database; nothing where none has.

    Rows that are junk of the query do not count.
    """
    found: dict[str, set[int]] = {"positive": set(), "other": set()}
    positive = [lists for kind, lists in truth.judgements.items() if kind != "junk"]
    junk = truth.judgements.get("junk")
    for query, row in zip(twins.queries.tolist(), twins.rows.tolist(), strict=True):
        if any(row in lists.row(query) for lists in positive):
            found["positive"].add(query)
        elif junk is None or row not in junk.row(query):
            found["other"].add(query)
    return _said(found["positive"], "they count as found", advice) + _said(
        found["other"], "they count as wrong, as their label or list is another", advice
    )


def _said(queries: set[int], what: str, advice: str) -> list[str]:
    if not queries:
        return []
    count = (
        "1 query has a byte-identical copy"
        if len(queries) == 1
        else f"{len(queries)} queries have byte-identical copies"
    )
    return [f"{count} in the database: {what}.{advice}"]


def own_sentence(count: int) -> str:
    """What is said of queries that stand in the database themselves."""
    if count == 1:
        return "1 query is itself in the database; it is ignored in its own results."
    return f"{count} queries are themselves in the database; each is ignored in its own results."
