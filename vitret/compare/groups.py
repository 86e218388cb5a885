"""The groups of an evaluation set's queries, kept once beside the rows: results/groups/<set>-<manifest8>.json.

Groups follow from the truth of a set and not from a measurement, so rows do not hold them: all rows on one manifest
share one file. Rows on a manifest without a file were measured before groups were known.
"""

from __future__ import annotations

import functools
from collections.abc import Iterator
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
AGAIN = "Remove it, then measure its set again with `vitret bench`."


class _GroupsFile(Strict):
    set: str
    manifest: str
    rule: str
    groups: tuple[int, ...]
    digest: str = Field(
        default="", description="of the file's JSON without this key; none in files of version 0.1"
    )

    @property
    def whole(self) -> bool:
        """Whether the digest, where there is one, is of this content."""
        return not self.digest or self.digest == own_digest(self.model_dump(mode="json"))


@dataclass(frozen=True, kw_only=True, eq=False)
class Groups:
    """The group of each query, (Q,) int64, and the rule that found them; each query alone where none is known."""

    numbers: Int64
    rule: str

    @property
    def known(self) -> bool:
        return bool(self.rule)

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
        return f"{name} {len(self.numbers)} queries in {len(np.unique(self.numbers))} groups ({self.rule})"


def write_groups(root: Path, evalset: EvalSet) -> None:
    """Keep a set's groups below a results folder; nothing is written where they are unknown or kept already."""
    path = _path(root, evalset.name, evalset.digest)
    if evalset.groups is None or path.is_file():
        return
    numbers = tuple(int(one) for one in evalset.groups)
    _write(
        path,
        _GroupsFile(set=evalset.name, manifest=evalset.digest, rule=evalset.groups_rule, groups=numbers),
    )


def _write(path: Path, found: _GroupsFile) -> None:
    """Keep groups with their digest."""
    content = found.model_dump(mode="json")
    write_json(path, {**content, "digest": own_digest(content)})


def groups_for(root: Path, result: Result) -> Groups:
    """The groups of a row's queries.

    Raises `DataError` where the file is damaged, was edited, or is of another set or number of queries.
    """
    data = result.data
    path = _path(root, data.set, data.manifest)
    if not path.is_file():
        return Groups(numbers=np.arange(data.queries), rule="")
    found = _read(path)
    if (found.set, found.manifest, len(found.groups)) != (data.set, data.manifest, data.queries):
        raise DataError(
            f"{path}: is not of {data.set}, manifest {data.manifest[:8]}, {data.queries} queries. {AGAIN}"
        )
    return Groups(numbers=np.array(found.groups, np.int64), rule=found.rule)


def _read(path: Path) -> _GroupsFile:
    return _kept(path, path.stat().st_mtime_ns)


@functools.lru_cache(maxsize=16)  # every row on a set asks for its groups
def _kept(path: Path, changed: int) -> _GroupsFile:
    """The file as it is since `changed`, in nanoseconds."""
    found = validate(_GroupsFile, read_json_object(path, advice=AGAIN), str(path))
    if not found.whole:
        raise DataError(f"{path}: was edited after it was written: its digest is of other groups. {AGAIN}")
    return found


def groups_files(root: Path) -> list[Path]:
    """The groups kept below a results folder."""
    return sorted((root / FOLDER).glob("*.json"))


def groups_problems(path: Path) -> Iterator[str]:
    """What is wrong with a file of groups, in a sentence."""
    try:
        found = _read(path)
    except VitretError as error:
        yield str(error)
        return
    if not found.digest:
        yield f"{path}: has no digest, so nobody can tell whether it was edited. Write one: vitret results renew"


def seal_groups(path: Path) -> bool:
    """Give a file of groups of an earlier version its digest; whether it had none."""
    try:
        found = _read(path)
    except VitretError:  # `validation` says so.
        return False
    if found.digest:
        return False
    _write(path, found)
    return True


def groups_beside(path: Path, result: Result) -> Groups:
    """`groups_for` of a row's file, in the results folder that it lies in."""
    above = path.resolve().parents
    return groups_for(above[3] if len(above) > 3 else above[-1], result)


def _path(root: Path, name: str, manifest: str) -> Path:
    return root / FOLDER / f"{name}-{manifest[:8]}.json"
