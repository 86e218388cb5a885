"""What changed between two folders of results: rows that are new or were measured again, tested in pairs."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from vitret.compare.paired import PairedTest, paired_over
from vitret.compare.tables import Row, Table


@dataclass(frozen=True, kw_only=True)
class Delta:
    """A row of now against a row of before on the same queries; `test` is of row − other, None where none is possible.

    `other` is the same system as it was measured before, or else the row that was first in its table.
    """

    table: Table
    row: Row
    other: Row | None
    test: PairedTest | None

    @property
    def again(self) -> bool:
        """Whether the same system had been measured before."""
        return self.other is not None and self.other.system == self.row.system


def deltas(before: Sequence[Table], now: Sequence[Table]) -> list[Delta]:
    """Every row of the tables of now that did not stand in the tables of before, in the order of the tables."""
    known = {_key(table): table for table in before}
    return [one for table in now for one in _deltas(known.get(_key(table)), table)]


def _key(table: Table) -> tuple[str, ...]:
    return (
        table.train_set,
        table.track,
        table.budget,
        table.suite,
        table.fingerprint,
        table.shortlist,
        table.training_data,
        table.left_out,
        table.ablation,
    )


def _deltas(before: Table | None, now: Table) -> Iterator[Delta]:
    rows = () if before is None else before.rows
    unchanged = {_measured(row) for row in rows}
    for row in now.rows:
        if _measured(row) in unchanged:
            continue
        same = [other for other in rows if other.system == row.system]
        other = next((one for one in (*same, *rows[:1]) if one.answers is not None), None)
        yield Delta(table=now, row=row, other=other, test=_test(row, other))


def _measured(row: Row) -> frozenset[str]:
    return frozenset(result.digest or str(path) for path, result in row.entries)


def _test(row: Row, other: Row | None) -> PairedTest | None:
    """The paired test of two rows; None where one has no primary number or their queries or data differ."""
    if other is None or row.answers is None or other.answers is None:
        return None
    if _data(row) != _data(other) or row.answers.values.shape[1] != other.answers.values.shape[1]:
        return None
    return paired_over(row.answers.values, other.answers.values, row.answers.units)


def _data(row: Row) -> frozenset[tuple[str, str]]:
    return frozenset((result.eval_name, result.data.manifest) for _, result in row.entries)
