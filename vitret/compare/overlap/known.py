"""What is known of the overlap of a training and an evaluation set: measured, declared with its source, or nothing.

Measured: results/overlap/TRAIN--EVAL.json, of `vitret overlap --record`. Declared: configs/overlap.yaml. Both are read
when tables are made, so rows that were written before anybody knew stay as they are.
"""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import numpy as np
from pydantic import Field, model_validator

from vitret.compare.overlap.evidence import Evaluated, Trained
from vitret.compare.results import Result
from vitret.core.config import Strict, location, read_yaml, validate
from vitret.core.errors import DataError, VitretError
from vitret.core.networks import RANDOM_WEIGHTS
from vitret.core.pairs import PHOTOGRAPH, PLACE, Proposal, Row, Verdict, advice, counted, unjudged
from vitret.core.store import digest, read_json_object, write_json

FOLDER = "overlap"
MEASURED, LITERATURE, CONSTRUCTION = "measured", "known from literature", "known by construction"
UNKNOWN, NOTHING_TRAINED = "unknown", "nothing trained"
# Of several evaluation sets the one of which the least is known speaks.
_WORDS = (UNKNOWN, LITERATURE, CONSTRUCTION, MEASURED, NOTHING_TRAINED)


class Fact(Strict):
    """A declared fact: how many of an evaluation set's queries ask about something that the training set shows."""

    train: str
    evaluation: str
    affected: int = Field(ge=0)
    queries: int | None = Field(default=None, gt=0, description="left out where none is affected")
    basis: Literal["literature", "construction"]
    source: str

    @property
    def clean(self) -> float:
        """The share of queries that nothing is known against."""
        return 1.0 if not self.affected else 1 - self.affected / (self.queries or self.affected)


class Facts(Strict):
    """A file of declared facts, as configs/overlap.yaml."""

    facts: tuple[Fact, ...]


class Shared(Strict):
    """A pair that counts as overlap, without photographs: the training image, the evaluation image, the queries."""

    id: str
    train: str
    image: str
    role: str
    queries: tuple[Row, ...]
    proposal: Proposal
    verdict: Verdict | None


class Measured(Strict):
    """The summary of an audit. `judged` is true where there are verdicts and no proposal is without one."""

    train: Trained
    evaluation: Evaluated
    descriptors: tuple[str, ...]
    compared: int
    proposed: dict[str, int]
    judged: bool
    unjudged: int | None = Field(
        default=None, ge=0, description="proposals without a verdict, which count; left out in older records"
    )
    pairs: tuple[Shared, ...]
    commit: str
    settings: dict[str, int | float]

    @model_validator(mode="after")
    def _of_its_queries(self) -> "Measured":
        last = max((query for pair in self.pairs for query in pair.queries), default=-1)
        if last >= self.evaluation.queries:
            raise ValueError(f"names query {last} of {self.evaluation.queries}")
        return self

    @property
    def clean(self) -> float:
        """The share of queries that overlap does not concern."""
        return 1 - len({query for pair in self.pairs for query in pair.queries}) / self.evaluation.queries

    @property
    def names_digest(self) -> str:
        """Of the training images that overlap, as `--exclude` records them."""
        return digest(sorted({pair.train for pair in self.pairs}))


@dataclass(frozen=True, kw_only=True)
class Status:
    """What is known of one row: a word, and the shares of queries known to be in neither training nor pre-training.

    A share is None where nothing is known.
    """

    word: str
    training: float | None
    pretraining: float | None

    @property
    def cell(self) -> str:
        """Both shares in per cent, training / pre-training, "?" where nothing is known.

        >>> Status(word="measured", training=0.5, pretraining=None).cell
        '50 / ?'
        """
        shares = ("?" if one is None else f"{100 * one:.0f}" for one in (self.training, self.pretraining))
        return " / ".join(shares)


@dataclass(frozen=True, kw_only=True)
class Known:
    """All that is known: measured by (training set, evaluation set), and declared."""

    measured: dict[tuple[str, str], Measured] = field(default_factory=dict)
    facts: dict[tuple[str, str], Fact] = field(default_factory=dict)

    def measured_of(self, row: Result) -> Measured | None:
        """The measurement on the very bytes of a row's data, and of its training set if it has one."""
        found = self.measured.get((row.training.set, row.data.set))
        if found is None or found.evaluation.digest != row.data.manifest:
            return None
        return found if row.training.manifest in ("", found.train.digest) else None

    def status(self, rows: Iterable[Result]) -> Status:
        """What is known of the rows of one recipe on all plain evaluation sets, queries of each set counted alike."""
        plain = {row.data.set: row for row in rows if row.data.distractors is None}
        if not plain:
            return Status(word=UNKNOWN, training=None, pretraining=None)
        found = [self._of(row) for row in plain.values()]
        shares = [share for _, share in found if share is not None]
        random = next(iter(plain.values())).recipe.system.model.starts_from == RANDOM_WEIGHTS
        return Status(
            word=min((word for word, _ in found), key=_WORDS.index),
            training=float(np.mean(shares)) if len(shares) == len(found) else None,
            pretraining=1.0 if random else None,
        )

    def _of(self, row: Result) -> tuple[str, float | None]:
        if not row.training.manifest:
            return NOTHING_TRAINED, 1.0
        measured, fact = self.measured_of(row), self.facts.get((row.training.set, row.data.set))
        left_out = row.recipe.exclude
        if measured is not None and (left_out is None or left_out.digest == measured.names_digest):
            return MEASURED, measured.clean if left_out is None else 1.0
        if fact is None or left_out is not None:
            return UNKNOWN, None
        return (LITERATURE if fact.basis == "literature" else CONSTRUCTION), fact.clean


def known(root: Path) -> Known:
    """What the measurements below a results folder and the declared facts tell."""
    measured = [read_measured(path) for path in measured_files(root)]
    return Known(
        measured={(one.train.name, one.evaluation.name): one for one in measured},
        facts={(fact.train, fact.evaluation): fact for fact in _declared(location("configs").path)},
    )


def _declared(configs: Path) -> tuple[Fact, ...]:
    path = configs / "overlap.yaml"
    return validate(Facts, read_yaml(path), str(path)).facts if path.is_file() else ()


def write_measured(root: Path, evidence: Mapping[str, Any]) -> Path:
    """Keep the summary of an audit's evidence below a results folder: all pairs that count, and no photograph."""
    about, pairs = evidence["evaluation"], evidence["pairs"]
    kept = [{key: pair[key] for key in Shared.model_fields} for pair in counted(pairs)]
    proposals = [pair["proposal"] for pair in pairs]
    still_open = unjudged(pairs)
    found = Measured(
        train=Trained(**evidence["train"]),
        evaluation=Evaluated(**about),
        descriptors=tuple(f"{one['name']}: {one['protocol']}" for one in evidence["descriptors"]),
        compared=evidence["compared"],
        proposed={word: proposals.count(word) for word in (PHOTOGRAPH, PLACE)},
        judged=not still_open and any(pair["verdict"] for pair in pairs),
        unjudged=still_open,
        pairs=tuple(Shared.model_validate(pair) for pair in kept),
        commit=str(evidence["code"]["commit"]),
        settings=evidence["settings"],
    )
    path = measured_path(root, found.train.name, found.evaluation.name)
    write_json(path, found.model_dump(mode="json"))
    return path


def measured_path(root: Path, train: str, evaluation: str) -> Path:
    return root / FOLDER / f"{train}--{evaluation}.json"


def measured_files(root: Path) -> list[Path]:
    """The records below a results folder."""
    return sorted((root / FOLDER).glob("*--*.json"))


def record_problems(root: Path) -> Iterator[str]:
    """What is wrong with the records below a results folder, one sentence each."""
    for path in measured_files(root):
        try:
            found = read_measured(path)
        except VitretError as error:
            yield str(error)
            continue
        place = measured_path(root, found.train.name, found.evaluation.name)
        if path != place:
            yield f"{path}: by its content it belongs at {place}. Move it there."


def read_measured(path: Path) -> Measured:
    """A recorded measurement; raises `DataError` for a file of another kind, `UserError` for a wrong value."""
    value = read_json_object(path, advice="Write it again: vitret overlap TRAINSET EVALSET --record")
    if "evaluation" not in value or "judged" not in value:
        raise DataError(
            f"{path}: is no record of overlap. Write it: vitret overlap TRAINSET EVALSET --record"
        )
    return validate(Measured, value, str(path), advice=advice(value))
