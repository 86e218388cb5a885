"""Rows of an earlier version, made up to date: today's intervals, and the digest of their groups.

Values, ranks and facts stay as they are. What is damaged or was edited stays as it is too: `validation` names it.
"""

from collections.abc import Iterator
from pathlib import Path

from vitret.compare.groups import groups_files, seal_groups
from vitret.compare.results import result_files, sealed
from vitret.compare.validation import Stored
from vitret.core.errors import VitretError
from vitret.core.store import read_json_object, write_json


def renew(root: Path) -> Iterator[Path]:
    """Write again what is sound but of an earlier version, below a results folder; gives each file that changed."""
    yield from (path for path in groups_files(root) if seal_groups(path))
    for path in result_files(root):
        try:
            row = Stored.read(path)
        except VitretError:  # `validation` says so.
            continue
        if next(row.problems(root), None) is None and _renew(row):
            yield path


def _renew(row: Stored) -> bool:
    """Put today's intervals into a row's file; whether any was another."""
    today = row.other_intervals()
    if not today:
        return False
    content = read_json_object(row.path)
    for key, (low, high) in today.items():
        content["metrics"][key] |= {"low": low, "high": high}
    write_json(row.path, sealed(content, row.ranks))
    return True
