"""Files of bare descriptors of any framework, measured on a prepared set or on a ground-truth file alone."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from vitret.core.errors import EmptyError
from vitret.core.protocol import Protocol, RerankSpec
from vitret.core.records import EvalSet, Images
from vitret.measure.evaluate import Measurement, evaluate
from vitret.measure.files import read_rows
from vitret.measure.reranking_shortlist import Evidence
from vitret.measure.scoring import Rows

# What is measured when nothing is asked for: the revisited protocol's numbers, and those of category retrieval.
REVISITED = ("mAP", "mP@1", "mP@5", "mP@10")
CATEGORY = ("mAP", "R@1", "R@10", "R-precision", "MAP@R")


@dataclass(frozen=True, kw_only=True, eq=False)
class Scored:
    """A measurement with what was done to the files, and the number of distractors among the database."""

    measurement: Measurement
    dim: int
    distractors: int
    notes: tuple[str, ...]


def truth_of_file(path: Path) -> EvalSet:
    """An evaluation set without images: the lists and judgements of a `gnd_NAME.pkl` or `.json`."""
    from vitret.data.formats.revisited import read_revisited

    known = read_revisited(path)
    return EvalSet(
        name=path.stem.removeprefix("gnd_"),
        queries=Images.of(path.parent, known.queries),
        database=Images.of(path.parent, known.database),
        truth=known.judgements,
    )


@dataclass(frozen=True, kw_only=True)
class Files:
    """Files of descriptors, one row an image in the order of the set's lists; FILE or FILE:NAME, see `read_rows`."""

    queries: str
    database: str
    distractors: str | None = None


def score_files(
    files: Files,
    evalset: EvalSet,
    *,
    metrics: Sequence[str] = (),
    levels: Sequence[str] = (),
    rerank: RerankSpec | None = None,
    engine: str = "numpy",
    device: str | None = None,
) -> Scored:
    """Measure files of descriptors with the official metrics.

    Without `metrics` or `levels` all usual ones are measured. `rerank` is a re-ranker that needs descriptors alone.
    Raises `EmptyError` where no query has a positive at any level.
    """
    asked = read_rows(files.queries, role="queries", count=len(evalset.queries), images=evalset.queries.paths)
    searched = read_rows(
        files.database, role="database", count=len(evalset.database), images=evalset.database.paths
    )
    dim = searched.rows.shape[1]
    added = None if files.distractors is None else read_rows(files.distractors, role="distractors", dim=dim)
    parts = [searched.rows] if added is None else [searched.rows, added.rows]
    measurement = evaluate(
        Evidence(queries=asked.rows, database=Rows.of(*parts)),
        evalset,
        protocol=Protocol(rerank=rerank or RerankSpec()),
        metrics=metrics or (CATEGORY if "all" in evalset.truth.levels else REVISITED),
        levels=levels or None,
        engine=engine,
        device=device,
    )
    if not any(measurement.n_effective(level) for level in measurement.ranks):
        raise EmptyError(f"{evalset.name}: no query has a positive at {', '.join(measurement.ranks)}.")
    return Scored(
        measurement=measurement,
        dim=dim,
        distractors=0 if added is None else len(added.rows),
        notes=asked.notes + searched.notes + (() if added is None else added.notes),
    )
