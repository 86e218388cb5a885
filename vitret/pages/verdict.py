"""What may be concluded from a fair table, in sentences: groups, marks, the difference it can show, seeds to add."""

from collections.abc import Iterator

import numpy as np

from vitret.compare.overlap.known import NOTHING_TRAINED
from vitret.compare.standing import FEW_GROUPS, ONE_RUN, ROUGH
from vitret.compare.tables import Row, Table


def against(row: Row) -> str:
    """The paired difference to the best row in points, with its interval."""
    if row.against_best is None:
        return row.rank_mark
    t = row.against_best
    return f"{100 * t.difference:+.1f} [{100 * t.low:+.1f}, {100 * t.high:+.1f}]" + (
        " tie" if row.rank_mark else ""
    )


def rank(row: Row) -> str:
    """First and last rank that a row may have.

    A single number where both are one.
    """
    if row.ranks is None:
        return "–"
    first, last = row.ranks
    return str(first) if first == last else f"{first}–{last}"


def above(table: Table) -> list[str]:
    """How numbers and marks of a table are to be read, for the lines above it."""
    lines = [
        "Values in per cent, 95 % intervals over groups of queries and over seeds in brackets. Sorted by "
        f"{table.primary}, the mean over the plain evaluation sets; beside it the ranks that a row may have, and the "
        "paired difference to the first row. A tie is a row that no test tells from the first, after Holm's "
        "correction over all pairs of rows.",
        f"Queries: {'; '.join(groups.words(name) for name, groups in table.groups)}.",
    ]
    few = [name for name, groups in table.groups if len(np.unique(groups.numbers)) < FEW_GROUPS]
    if few:
        lines.append(
            f"Fewer than {FEW_GROUPS} groups in {', '.join(few)}: the intervals are rough. Where a few "
            f"groups carry the number, they hold the truth {ROUGH} of the time, not 95 %."
        )
    lines += [
        f"Without {count} queries of {name}, which overlap with the training set."
        for name, count in table.dropped
    ]
    lines += _overlap(table)
    return lines


def _overlap(table: Table) -> list[str]:
    """What is known of overlap, where it is the same for all rows that were trained."""
    words = {row.overlap.word for row in table.rows} - {NOTHING_TRAINED}
    shares = {row.overlap.training for row in table.rows if row.overlap.word in words}
    if len(words) != 1 or len(shares) != 1:
        return []
    share = shares.pop()
    known = (
        ""
        if share is None
        else f"; {100 * share:.0f} % of the queries are known not to be in the training set"
    )
    return [f"Overlap of training and evaluation: {words.pop()}{known}."]


def below(table: Table) -> list[str]:
    """What a table can show, for the lines under it."""
    return list(_below(table))


def _below(table: Table) -> Iterator[str]:
    ranked = [row for row in table.rows if row.primary is not None]
    if table.detectable is not None:
        if table.detectable >= 1:
            yield "No difference between two rows can be shown with so few groups of queries or seeds."
        else:
            yield (
                f"Smallest difference in {table.primary} that a test of two such rows shows in four of five cases: "
                f"{100 * table.detectable:.1f} points (median over the pairs, before Holm's correction)."
            )
    if table.one_run:
        trained_once = ", ".join(row.title for row in table.one_run)
        all_once = all(len(row.seeds) == 1 for row in ranked)
        yield (
            ONE_RUN
            if all_once
            else f"One run of {trained_once}: such a row tells of a checkpoint, not of a method."
        )
