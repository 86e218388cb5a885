"""Files of bare descriptors of any framework, measured on a prepared set or on a ground-truth file alone."""

from __future__ import annotations

import posixpath
import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vitret.core.approximate import IndexSpec
from vitret.core.config import validate
from vitret.core.errors import EmptyError, UserError, did_you_mean
from vitret.core.protocol import Protocol, RerankSpec
from vitret.core.records import EvalSet, Images, Int64, Truth
from vitret.core.shares import Share
from vitret.measure.evaluate import Measurement, evaluate, measure, require_names
from vitret.measure.files import read_rows
from vitret.measure.reranking_shortlist import Evidence
from vitret.measure.scoring import Rows
from vitret.measure.shared_counts import count_share

# What is measured when nothing is asked for: the revisited protocol's numbers, and those of category retrieval.
REVISITED = ("mAP", "mP@1", "mP@5", "mP@10")
# How a query that is itself in the database counts, and the sets whose own protocol leaves it as it is listed.
CONVENTIONS = ("junk", "as_listed")
ORIGINALS = ("oxford5k", "paris6k")
CATEGORY = ("mAP", "R@1", "R@10", "R-precision", "MAP@R")


@dataclass(frozen=True, kw_only=True, eq=False)
class Scored:
    """A measurement with what was done to the files, and the number of distractors among the database."""

    measurement: Measurement
    dim: int
    distractors: int
    notes: tuple[str, ...]


@dataclass(frozen=True, kw_only=True, eq=False)
class KnownTruth:
    """An evaluation set without images, and what a reader of its numbers should know, a sentence each."""

    evalset: EvalSet
    notes: tuple[str, ...]


def truth_of_file(path: Path, *, query_image: str = "") -> EvalSet:
    """An evaluation set without images: the lists and judgements of a `gnd_NAME.pkl` or `.json`; see `read_truth`."""
    return read_truth(path, query_image=query_image).evalset


def read_truth(path: Path, *, query_image: str = "") -> KnownTruth:
    """The lists and judgements of a `gnd_NAME.pkl` or `.json`.

    A query that is in imlist too is junk for itself (`query_image` "junk", the rule of `vitret prepare`), or counts as
    its lists judge it ("as_listed"). The latter is the convention of the original Oxford and Paris sets (Philbin et
    al., CVPR 2007 and 2008), whose own lists hold the query, and what "" means for them. Another word raises
    `UserError`.
    """
    from vitret.data.formats.revisited import read_revisited
    from vitret.data.layout.groups import groups_of

    require_convention(query_image)
    known = read_revisited(path)
    name = path.stem.removeprefix("gnd_")
    convention = query_image or ("as_listed" if name in ORIGINALS else "junk")
    rows = own_rows(known.database, known.queries)
    judgements, notes = _own_images(known.judgements, rows, convention)
    groups, rule = groups_of(judgements, None)
    evalset = EvalSet(
        name=name,
        queries=Images.of(path.parent, known.queries),
        database=Images.of(path.parent, known.database),
        truth=judgements,
        query_rows=rows if (rows >= 0).any() else None,
        groups=groups,
        groups_rule=rule,
    )
    return KnownTruth(evalset=evalset, notes=(*notes, *_other_case(known.database, known.queries, rows)))


def require_convention(query_image: str) -> None:
    """Raise `UserError` for a word that is no convention."""
    if query_image not in ("", *CONVENTIONS):
        raise UserError(
            f"--query-image: there is no '{query_image}'. {did_you_mean(query_image, CONVENTIONS)}"
        )


def own_rows(database: Sequence[str], queries: Sequence[str]) -> Int64:
    """The database row of each query's own name, (Q,); −1 for none.

    Names are equal where they spell one path: `./a`, `b/../a` and, where only one can be meant, `a` and `a.jpg`.

    >>> own_rows(["a", "b.jpg"], ["./b", "c", "x/../a"]).tolist()
    [1, -1, 0]
    """
    plain = {_spelling(name): row for row, name in enumerate(database)}
    stems: dict[str, int] = {}
    for name, row in plain.items():
        stem = _stem(name)
        stems[stem] = -1 if stem in stems else row

    def found(query: str) -> int:
        name = _spelling(query)
        if name in plain:
            return plain[name]
        return stems.get(name, -1) if _stem(name) == name else plain.get(_stem(name), -1)

    return np.array([found(query) for query in queries], dtype=np.int64).reshape(-1)


def _spelling(name: str) -> str:
    return posixpath.normpath(unicodedata.normalize("NFC", name))


def _stem(name: str) -> str:
    from vitret.data.formats.pictures import SUFFIXES

    stem, suffix = posixpath.splitext(name)
    return stem if suffix.lower() in SUFFIXES else name


def _own_images(truth: Truth, rows: Int64, convention: str) -> tuple[Truth, list[str]]:
    """The judgements under a convention, and what is said of it where it changes something."""
    from vitret.data.layout.identity import own_sentence
    from vitret.data.layout.truth import as_junk

    junk = truth.judgements.get("junk")
    fresh = [
        q for q, row in enumerate(rows.tolist()) if row >= 0 and (junk is None or row not in junk.row(q))
    ]
    if not fresh:
        return truth, []
    if convention == "as_listed":
        return truth, [
            f"{len(fresh)} queries are themselves in the database and count as their lists judge them, as in the "
            "original protocol of Oxford and Paris. To ignore them: --query-image junk"
        ]
    chosen = set(fresh)
    judged = as_junk(truth, [rows[q : q + 1] if q in chosen else rows[:0] for q in range(len(rows))])
    return judged, [
        f"{own_sentence(len(fresh))} The original protocol of Oxford and Paris counts it as its lists judge it: "
        "--query-image as_listed"
    ]


def _other_case(database: Sequence[str], queries: Sequence[str], rows: Int64) -> list[str]:
    """What is said of queries whose name differs from a database image's in upper and lower case alone."""
    folded = {_spelling(name).casefold() for name in database}
    alike = [q for q, name in enumerate(queries) if rows[q] < 0 and _spelling(name).casefold() in folded]
    if not alike:
        return []
    return [
        f"{len(alike)} queries differ from a database image in upper and lower case alone and count as other images; "
        f"first: {queries[alike[0]]}. If they are the same, write them alike."
    ]


@dataclass(frozen=True, kw_only=True)
class Files:
    """Files of descriptors, one row an image in the order of the set's lists; FILE or FILE:NAME, see `read_rows`."""

    queries: str
    database: str
    distractors: tuple[str, ...] = ()


@dataclass(frozen=True, kw_only=True, eq=False)
class ReadFiles:
    """Unit rows of queries and database, distractors behind the database; and what was done to the files."""

    queries: NDArray[Any]
    database: Rows
    notes: tuple[str, ...]


def read_files(files: Files, evalset: EvalSet, *, share: Share | None = None) -> ReadFiles:
    """Read files of descriptors for a set's lists; raises as `read_rows` does, which says what a share looks at."""
    asked = read_rows(files.queries, role="queries", count=len(evalset.queries), images=evalset.queries.paths)
    searched = read_rows(
        files.database,
        role="database",
        count=len(evalset.database),
        images=evalset.database.paths,
        share=share,
    )
    found = [searched]
    dim = searched.rows.shape[1]
    found += [read_rows(file, role="distractors", dim=dim, share=share) for file in files.distractors]
    return ReadFiles(
        queries=asked.rows,
        database=Rows.of(*(one.rows for one in found)),
        notes=asked.notes + tuple(note for one in found for note in one.notes),
    )


def score_files(
    files: Files,
    evalset: EvalSet,
    *,
    metrics: Sequence[str] = (),
    levels: Sequence[str] = (),
    rerank: RerankSpec | None = None,
    search: IndexSpec | None = None,
    engine: str = "numpy",
    device: str | None = None,
) -> Scored:
    """Measure files of descriptors with the official metrics.

    Without `metrics` or `levels` all usual ones are measured. `rerank` is a re-ranker that needs descriptors alone,
    `search` an approximate index in place of exact search.
    Raises `EmptyError` where no query has a positive at any level.
    """
    read = read_files(files, evalset)
    measurement = evaluate(
        Evidence(queries=read.queries, database=read.database),
        evalset,
        protocol=validate(
            Protocol, {"rerank": rerank or RerankSpec(), "search": search or "exact"}, "the protocol"
        ),
        metrics=metrics or usual_metrics(evalset),
        levels=levels or None,
        engine=engine,
        device=device,
    )
    return _scored(measurement, read, evalset)


def score_share(
    files: Files,
    evalset: EvalSet,
    *,
    share: Share,
    folder: Path,
    metrics: Sequence[str] = (),
    levels: Sequence[str] = (),
    engine: str = "numpy",
    device: str | None = None,
) -> Scored | tuple[int, ...]:
    """As `score_files` by several machines that share only files: the numbers where this share is the last to end.

    Else the shares, from 0, whose counts are not in `folder` yet. The other arguments are the same in every share.
    """
    require_names(evalset, metrics=metrics, levels=levels)
    read = read_files(files, evalset, share=share)
    found = count_share(
        read.queries,
        read.database,
        evalset.truth,
        share=share,
        folder=folder,
        levels=levels or None,
        engine=engine,
        device=device,
    )
    if found.ranks is None:
        return found.missing
    return _scored(measure(found.ranks, metrics or usual_metrics(evalset)), read, evalset)


def usual_metrics(evalset: EvalSet) -> tuple[str, ...]:
    """What is measured on a set when nothing is asked for."""
    return CATEGORY if "all" in evalset.truth.levels else REVISITED


def _scored(measurement: Measurement, read: ReadFiles, evalset: EvalSet) -> Scored:
    if not any(measurement.n_effective(level) for level in measurement.ranks):
        raise EmptyError(f"{evalset.name}: no query has a positive at {', '.join(measurement.ranks)}.")
    return Scored(
        measurement=measurement,
        dim=read.database.dim,
        distractors=len(read.database) - len(evalset.database),
        notes=read.notes,
    )
