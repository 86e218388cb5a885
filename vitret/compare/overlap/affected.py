"""The queries that overlap concerns, as a file of overlap tells them: `--without-overlap FILE` or `auto`."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from pydantic import BaseModel

from vitret.compare.overlap.evidence import Evaluated, Trained
from vitret.compare.overlap.known import FOLDER, measured_files
from vitret.core.config import validate
from vitret.core.errors import DataError, UserError
from vitret.core.pairs import advice, counted, read_pairs_file, unjudged, unjudged_words

if TYPE_CHECKING:
    from vitret.compare.results import Result
    from vitret.core.records import Int64

AUTO = "auto"


class _Sets(BaseModel):
    """The sets that a file of overlap is about."""

    train: Trained
    evaluation: Evaluated


@dataclass(frozen=True, kw_only=True, eq=False)
class Affected:
    """Rows of the queries of an evaluation set, (n,) ascending, that a training set concerns; of one file.

    `unjudged` is how many of the file's pairs are proposals without a verdict.
    """

    train: str
    evaluation: str
    manifest: str
    queries: int
    rows: Int64
    file: Path
    unjudged: int = 0

    @property
    def words(self) -> str:
        """What is left out, or that nothing is.

        >>> Affected(train="t", evaluation="e", manifest="", queries=9, rows=np.array([1, 4]), file=Path("f")).words
        '2 of 9 queries of e, which overlap with t'
        """
        if not len(self.rows):
            return f"no query of {self.evaluation} overlaps with {self.train}; the numbers stay as they are"
        open_words = f" ({unjudged_words(self.unjudged)})" if self.unjudged else ""
        return (
            f"{len(self.rows)} of {self.queries} queries of {self.evaluation}, which overlap with "
            f"{self.train}{open_words}"
        )

    def concerns(self, row: Result) -> bool:
        """Whether a row was trained on that set, or stands beside such rows, and was measured on those queries."""
        return bool(len(self.rows)) and (self.train, self.evaluation, self.manifest) == (
            row.training.set,
            row.data.set,
            row.data.manifest,
        )


def read_affected(file: Path) -> Affected:
    """The queries that a file's pairs concern: evidence, verdicts of its page, or a record below results/overlap.

    Raises `UserError` for a file of another kind and for a wrong value, `DataError` for a file that is not there.
    """
    if not file.is_file():
        raise DataError(f"{file}: is not there. Write it: vitret overlap TRAINSET EVALSET")
    value = read_pairs_file(file)
    pairs = counted(value["pairs"])
    about = validate(_Sets, value, str(file), advice=advice(value))
    rows = np.array(sorted({query for pair in pairs for query in pair["queries"]}), np.int64)
    queries = about.evaluation.queries
    if len(rows) and rows[-1] >= queries:
        raise UserError(f"{file}: names query {rows[-1]} of {queries}. {advice(value)}")
    return Affected(
        train=about.train.name,
        evaluation=about.evaluation.name,
        manifest=about.evaluation.digest,
        queries=queries,
        rows=rows,
        file=file,
        unjudged=unjudged(pairs),
    )


def affected_by(choice: str, results: Path) -> list[Affected]:
    """What `--without-overlap` means: one file, or with `auto` every record below a results folder.

    Raises `DataError` where there is no record.
    """
    if choice != AUTO:
        return [read_affected(Path(choice))]
    found = [read_affected(path) for path in measured_files(results)]
    if not found:
        raise DataError(
            f"{results / FOLDER}: no overlap was recorded. Run: vitret overlap TRAINSET EVALSET --record"
        )
    return found


def said_of(affected: Sequence[Affected], rows: Sequence[Result]) -> list[str]:
    """For each file what it leaves out of these rows, in a sentence.

    Raises `UserError` where no file is about them.
    """
    about = require_about(affected, {(row.training.set, row.data.set) for row in rows}, where="here")
    return [_sentence(one, rows) for one in about]


def require_about(
    affected: Sequence[Affected], sets: Collection[tuple[str, str]], *, where: str
) -> list[Affected]:
    """The files that are about one of these pairs of a training and an evaluation set.

    Raises `UserError` where there is none; `where` says where no row is.
    """
    about = [one for one in affected if (one.train, one.evaluation) in sets]
    if not about:
        names = ", ".join(f"{one.file} ({one.train}, {one.evaluation})" for one in affected)
        raise UserError(
            f"--without-overlap: no row {where} is of the training and evaluation set of {names}."
        )
    return about


def _sentence(one: Affected, rows: Sequence[Result]) -> str:
    if not len(one.rows):
        return f"{one.file}: {one.words}."
    if not any(one.concerns(row) for row in rows):
        return f"{one.file}: is of other bytes of {one.evaluation} than these rows; nothing is left out."
    return f"{one.file}: {one.words}, are left out below."
