"""What a change of the results does to the tables, in Markdown: for a comment beside the change."""

from collections.abc import Sequence

from vitret.compare.deltas import Delta
from vitret.compare.tables import Table
from vitret.pages.captions import title
from vitret.pages.markdown import markdown_table

HEADS = ("row", "value", "against", "difference", "verdict")


def deltas_page(found: Sequence[Delta]) -> str:
    """One table for each table of results with new rows; a sentence where nothing changed."""
    if not found:
        return "No row of the leaderboard changed.\n"
    groups: list[tuple[Table, list[Delta]]] = []
    for one in found:
        if not groups or groups[-1][0] is not one.table:
            groups.append((one.table, []))
        groups[-1][1].append(one)
    parts = [
        f"**{len(found)} rows of the leaderboard are new or were measured again.** Differences are in points, paired "
        "over the same queries, with 95 % intervals; p is not corrected for the number of tests."
    ]
    for table, rows in groups:
        parts += [f"#### {title(table)}", f"By {table.primary}.", markdown_table(HEADS, map(_cells, rows))]
    return "\n\n".join(parts) + "\n"


def _cells(one: Delta) -> list[str]:
    value = "incomplete" if one.row.primary is None else f"{100 * one.row.primary:.1f}"
    if one.other is None:
        return [one.row.title, value, "–", "–", "the first row of its table"]
    against = "itself before" if one.again else f"{one.other.title}, first before"
    if one.test is None:
        return [one.row.title, value, against, "–", "not comparable: other queries or data"]
    t = one.test
    verdict = "no test tells them apart" if not t.separated else "better" if t.difference > 0 else "worse"
    p_value = "< 0.001" if t.p_value < 0.001 else f"{t.p_value:.3f}"
    return [one.row.title, value, against, t.points, f"{verdict} (p {p_value})"]
