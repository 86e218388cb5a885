"""The groups of an evaluation set's queries, kept once beside the rows: results/groups/<set>-<manifest8>.json.

Groups follow from the truth of a set and not from a measurement, so rows do not hold them: all rows on one manifest
share one file. Rows on a manifest without a file were measured before groups were known.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from vitret.core.config import Strict, validate
from vitret.core.errors import DataError
from vitret.core.store import read_json, write_json

if TYPE_CHECKING:
    from vitret.compare.results import Result
    from vitret.core.records import EvalSet, Int64

FOLDER = "groups"


class _GroupsFile(Strict):
    set: str
    manifest: str
    rule: str
    groups: tuple[int, ...]


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
    numbers = [int(one) for one in evalset.groups]
    write_json(
        path,
        {"set": evalset.name, "manifest": evalset.digest, "rule": evalset.groups_rule, "groups": numbers},
    )


def groups_for(root: Path, result: Result) -> Groups:
    """The groups of a row's queries.

    Raises `DataError` where the file is damaged or is of another set or number of queries.
    """
    data = result.data
    path = _path(root, data.set, data.manifest)
    if not path.is_file():
        return Groups(numbers=np.arange(data.queries), rule="")
    again = f"Remove it, then measure {data.set} again with `vitret bench`."
    content = read_json(path, advice=again)
    if not isinstance(content, dict):
        raise DataError(f"{path}: holds no groups. {again}")
    found = validate(_GroupsFile, content, str(path))
    if (found.set, found.manifest, len(found.groups)) != (data.set, data.manifest, data.queries):
        raise DataError(
            f"{path}: is not of {data.set}, manifest {data.manifest[:8]}, {data.queries} queries. {again}"
        )
    return Groups(numbers=np.array(found.groups, np.int64), rule=found.rule)


def groups_beside(path: Path, result: Result) -> Groups:
    """`groups_for` of a row's file, in the results folder that it lies in."""
    above = path.resolve().parents
    return groups_for(above[3] if len(above) > 3 else above[-1], result)


def _path(root: Path, name: str, manifest: str) -> Path:
    return root / FOLDER / f"{name}-{manifest[:8]}.json"
