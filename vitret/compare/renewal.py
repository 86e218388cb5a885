"""Rows of an earlier version, made up to date: today's intervals.

Values, ranks and facts stay as they are. What is damaged or was edited, and what nothing tells the groups of, stays
as it is too: `validation` names it.
"""

from dataclasses import dataclass
from pathlib import Path

from vitret.compare.results import result_files, sealed
from vitret.compare.validation import Stored
from vitret.core.errors import VitretError
from vitret.core.store import read_json_object, write_json


@dataclass(frozen=True, kw_only=True)
class Renewed:
    """The rows that were written again, and those that were left alone because something is wrong with them."""

    written: tuple[Path, ...]
    left: tuple[Path, ...]


def renew(root: Path) -> Renewed:
    """Write rows again that are sound but of an earlier version, below a results folder."""
    done = {path: _renew(path, root) for path in result_files(root)}
    return Renewed(
        written=tuple(path for path, changed in done.items() if changed),
        left=tuple(path for path, changed in done.items() if changed is None),
    )


def _renew(path: Path, root: Path) -> bool | None:
    """Put today's intervals into a row's file; whether any was another, None where something is wrong with it."""
    try:
        row = Stored.read(path)
        groups = row.groups(root)
    except VitretError:
        return None
    if groups is None or next(row.problems(root), None) is not None:
        return None
    today = row.other_intervals(groups)
    if not today:
        return False
    content = read_json_object(path)
    for key, (low, high) in today.items():
        content["metrics"][key] |= {"low": low, "high": high}
    write_json(path.resolve(), sealed(content, row.ranks))  # a link stays a link
    return True
