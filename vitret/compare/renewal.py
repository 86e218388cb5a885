"""Rows of an earlier version, made up to date: today's intervals, and the digest of their groups.

Values, ranks and facts stay as they are. What is damaged or was edited stays as it is too: `validation` names it.
"""

from collections.abc import Iterator
from pathlib import Path

from vitret.compare.groups import groups_files, seal_groups
from vitret.compare.results import read_ranks, read_result, result_files, sealed
from vitret.compare.validation import interval_of, row_problems
from vitret.core.store import read_json_object, write_json


def renew(root: Path) -> Iterator[Path]:
    """Write again what is sound but of an earlier version, below a results folder; gives each file that changed."""
    yield from (path for path in groups_files(root) if seal_groups(path))
    for path in result_files(root):
        if next(row_problems(root, path), None) is None and _renew_row(path):
            yield path


def _renew_row(path: Path) -> bool:
    """Put today's intervals into a row; whether any was another."""
    result, ranks, row = read_result(path), read_ranks(path), read_json_object(path)
    changed = False
    for key, metric in result.metrics.items():
        low, high = interval_of(path, result, ranks, key)
        if (low, high) != (metric.low, metric.high):
            row["metrics"][key] |= {"low": low, "high": high}
            changed = True
    if changed:
        write_json(path, sealed(row, ranks))
    return changed
