"""The groups of an evaluation set's queries, kept once beside the rows: results/groups/<set>-<manifest8>.json.

Groups follow from the truth of a set and not from a measurement, so rows do not hold them: all rows on one manifest
share one file, also where each query is a group of its own because nothing tells more. Rows on a manifest without a
file were measured before groups were known, or the file was lost.
"""

from __future__ import annotations

import functools
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from pydantic import Field

from vitret.core.config import Strict, validate
from vitret.core.errors import DataError, VitretError
from vitret.core.store import own_digest, read_json_object, write_json

if TYPE_CHECKING:
    from vitret.compare.results import Result
    from vitret.core.records import EvalSet, Int64

FOLDER = "groups"
AGAIN = "`vitret bench` on its set writes it again."


class _GroupsFile(Strict):
    set: str
    manifest: str
    rule: str
    groups: tuple[int, ...]
    digest: str = Field(description="of the file's JSON without this key")

    @property
    def whole(self) -> bool:
        """Whether the digest is of this content."""
        return self.digest == own_digest(self.model_dump(mode="json"))

    def is_of(self, name: str, manifest: str, queries: int) -> bool:
        return (self.set, self.manifest, len(self.groups)) == (name, manifest, queries)


@dataclass(frozen=True, kw_only=True, eq=False)
class Groups:
    """The group of each query, (Q,) int64, and the rule that found them; each query alone where none is known."""

    numbers: Int64
    rule: str

    @classmethod
    def of(cls, evalset: EvalSet) -> Groups:
        """The groups of an evaluation set."""
        if evalset.groups is None:
            return cls.alone(len(evalset.queries))
        return cls(numbers=evalset.groups, rule=evalset.groups_rule)

    @classmethod
    def alone(cls, queries: int) -> Groups:
        """Each query a group of its own, because nothing tells more."""
        return cls(numbers=np.arange(queries), rule="")

    @property
    def known(self) -> bool:
        return bool(self.rule)

    @property
    def count(self) -> int:
        return len(np.unique(self.numbers))

    @property
    def in_words(self) -> str:
        """How many groups there are, and by which rule."""
        return f"{self.count} group{'' if self.count == 1 else 's'} ({self.rule})"

    def without(self, rows: Int64 | None) -> Groups:
        """The groups of the other queries."""
        return self if rows is None else replace(self, numbers=np.delete(self.numbers, rows))

    def words(self, name: str) -> str:
        """Queries and groups of a set, for the lines above a table.

        >>> Groups(numbers=np.array([0, 0, 1]), rule="label").words("shop")
        'shop 3 queries in 2 groups (label)'
        """
        if not self.known:
            return f"{name} {len(self.numbers)} queries, groups unknown, taken as independent"
        return f"{name} {len(self.numbers)} queries in {self.in_words}"


def write_groups(root: Path, evalset: EvalSet) -> None:
    """Keep a set's groups below a results folder; nothing is written where they are kept, unharmed, already."""
    path = groups_path(root, evalset.name, evalset.digest)
    if not _harm(path) and _read(path).is_of(evalset.name, evalset.digest, len(evalset.queries)):
        return
    groups = Groups.of(evalset)
    content = {
        "set": evalset.name,
        "manifest": evalset.digest,
        "rule": groups.rule,
        "groups": groups.numbers.tolist(),
    }
    write_json(path, {**content, "digest": own_digest(content)})


def groups_for(root: Path, result: Result) -> Groups:
    """The groups of a row's queries; each query alone where there is no file.

    Raises `DataError` where the file is damaged, was edited, or is of another set or number of queries.
    """
    data = result.data
    path = groups_path(root, data.set, data.manifest)
    if not path.is_file():
        return Groups.alone(data.queries)
    found = _read(path)
    if not found.is_of(data.set, data.manifest, data.queries):
        raise DataError(
            f"{path}: is not of {data.set}, manifest {data.manifest[:8]}, {data.queries} queries. {AGAIN}"
        )
    return Groups(numbers=np.array(found.groups, np.int64), rule=found.rule)


def require_groups(root: Path, rows: Iterable[Result]) -> None:
    """Raise `DataError` where rows below a results folder have no file of groups: tables would claim too much."""
    for path in dict.fromkeys(groups_path(root, row.data.set, row.data.manifest) for row in rows):
        if not path.is_file():
            raise DataError(missing(path))


def _read(path: Path) -> _GroupsFile:
    return _kept(path, path.stat().st_mtime_ns)


@functools.lru_cache(maxsize=16)  # every row on a set asks for its groups
def _kept(path: Path, changed: int) -> _GroupsFile:
    """The file as it is since `changed`, in nanoseconds."""
    found = validate(_GroupsFile, read_json_object(path, advice=AGAIN), str(path), advice=AGAIN)
    if not found.whole:
        raise DataError(f"{path}: was edited after it was written: its digest is of other groups. {AGAIN}")
    return found


def groups_problems(root: Path) -> Iterator[str]:
    """What is wrong with the files of groups below a results folder, one sentence each."""
    for path in sorted((root / FOLDER).glob("*.json")):
        harm = _harm(path)
        if harm:
            yield harm
            continue
        found = _read(path)
        place = groups_path(root, found.set, found.manifest)
        if path != place:
            yield f"{path}: by its content it belongs at {place}. Move it there."


def missing(path: Path) -> str:
    """That a file of groups is not there, in a sentence."""
    return f"{path}: is not there, so nothing tells which queries ask about the same. {AGAIN}"


def _harm(path: Path) -> str:
    """What is wrong with a file of groups, in a sentence; empty where nothing is."""
    if not path.is_file():
        return missing(path)
    try:
        _read(path)
    except VitretError as error:
        return str(error)
    return ""


def groups_beside(path: Path, result: Result) -> Groups:
    """`groups_for` of a row's file, in the results folder that it lies in."""
    above = (path.parent.resolve() / path.name).parents  # a row may be a link to a file of another folder
    return groups_for(above[3] if len(above) > 3 else above[-1], result)


def groups_path(root: Path, name: str, manifest: str) -> Path:
    """Where the groups of a set are kept below a results folder."""
    return root / FOLDER / f"{name}-{manifest[:8]}.json"
