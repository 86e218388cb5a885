"""What the page needs to compare two rows query by query: every row's values and every pair's test."""

import json
from collections.abc import Mapping
from typing import Any

import numpy as np

from vitret.compare.tables import Table
from vitret.core.records import Float64
from vitret.pages.board.panels import Asked

# Points of one picture. Where there are more queries their groups are shown, and of more groups every k-th.
MOST_POINTS = 1000
_DIGITS = "0123456789abcdefghijklmnopqrstuvwxyz"


def encode(values: Float64) -> str:
    """Fractions in thousandths, two digits of base 36 each.

    >>> encode(np.array([0.0, 0.5, 1.0]))
    '00dwrs'
    """
    return "".join(_DIGITS[n // 36] + _DIGITS[n % 36] for n in np.rint(1000 * values).astype(int).tolist())


def versus(table: Table, queries: Asked | None, pictures: Mapping[str, str] | None = None) -> str:
    """JSON for the script of a table with two ranked rows or more; empty otherwise.

    `pictures` are addresses of pictures of pairs of ranked rows, by their places: "0-1".
    """
    ranked = [row for row in table.rows if row.answers is not None]
    if queries is None or len(ranked) < 2:
        return ""
    member, points = _points(queries)
    values = [row.answers.values.mean(axis=0) for row in ranked if row.answers is not None]
    if member is not None:
        sizes = np.bincount(member)
        values = [np.bincount(member, weights=one)[points] / sizes[points] for one in values]
    by_query = member is None
    counts = [int((queries.sets == k).sum()) for k in range(len(queries.names))]
    in_order = np.concatenate([np.arange(count) for count in counts])
    found: dict[str, Any] = {
        "titles": [row.title for row in ranked],
        "values": [encode(one) for one in values],
        "tests": [[_test(test) for test in row.against] for row in ranked],
        "unit": "query" if by_query else "group",
        "sets": list(queries.names),
        "counts": counts if by_query else [len(points)],
        # Left out where no query of a set is missing.
        "numbers": queries.queries.tolist() if by_query and (queries.queries != in_order).any() else [],
        "groups": queries.groups.tolist() if by_query else points.tolist(),
    }
    if pictures:
        found["pictures"] = dict(pictures)
    # A name may hold "</script>".
    return json.dumps(found, ensure_ascii=False, separators=(",", ":")).replace("<", "\\u003c")


def _points(queries: Asked) -> tuple[Any, Any]:
    """The group of each query and the groups shown; None and all queries where those are few enough."""
    if len(queries.queries) <= MOST_POINTS:
        return None, np.arange(len(queries.queries))
    _, member = queries.members
    return member, np.arange(0, member.max() + 1, -(-(member.max() + 1) // MOST_POINTS))


def _test(test: Any) -> list[int]:
    """Difference, ends of its interval and p in thousandths; p is rounded up to tell it from 0."""
    return [
        round(1000 * test.difference),
        round(1000 * test.low),
        round(1000 * test.high),
        int(np.ceil(1000 * test.p_value)),
    ]
