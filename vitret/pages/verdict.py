"""What may be concluded from a fair table, in sentences: groups, marks, the difference it can show, seeds to add."""

from collections.abc import Iterator, Sequence

from vitret.compare.overlap.known import NOTHING_TRAINED
from vitret.compare.standing import few_groups, seeds_words
from vitret.compare.tables import Cell, Row, Table

# A table of so many evaluation sets shows the mean of the primary number over them, which sorts its rows.
AVERAGED_FROM = 3


def against(row: Row) -> str:
    """The paired difference to the best row in points, with its interval."""
    if row.against_best is None:
        return mark(row)
    return row.against_best.points + (" tie" if row.rank_mark else "")


def mark(row: Row) -> str:
    """What stands where a row has no difference: "incomplete" only where a number is missing that could be there."""
    return row.rank_mark if row.cells else "no query left"


def rank(row: Row) -> str:
    """First and last rank that a row may have.

    A single number where both are one.
    """
    if row.ranks is None:
        return "–"
    first, last = row.ranks
    return str(first) if first == last else f"{first}–{last}"


def seen(row: Row) -> str:
    """How many images the training of a row saw, and that they were not augmented where it learned on descriptors."""
    if not row.images_seen:
        return "frozen"
    on_descriptors = row.entries[0][1].recipe.system.train_on == "descriptors"
    return f"{row.images_seen:,}" + (" not augmented" if on_descriptors else "")


def seed_count(row: Row) -> str:
    """How many seeds a row is the mean of; a network that no seed would change is "frozen"."""
    return str(len(row.seeds)) if row.entries[0][1].recipe.varies else "frozen"


def averaged(table: Table) -> bool:
    """Whether a table's text shows the mean over its evaluation sets; the page does from two sets on."""
    return sum("+" not in name for name in table.sets) >= AVERAGED_FROM


def average(row: Row) -> Cell | None:
    """The mean of the primary number over the plain evaluation sets, each counting the same; None where one is missing.

    Its interval is over the groups of queries inside each set and over seeds; the sets themselves are fixed.
    """
    if row.answers is None:
        return None
    low, high = row.answers.interval
    return Cell(value=row.answers.mean, std=None, low=low, high=high, n_effective=row.answers.values.shape[1])


def above(table: Table) -> list[str]:
    """How numbers and marks of a table are to be read, for the lines above it."""
    return [
        "Values in per cent, 95 % intervals over groups of queries and over seeds in brackets. Sorted by "
        f"{table.primary}, the mean over the plain evaluation sets; beside it the ranks that a row may have, and the "
        "paired difference to the first row. A tie is a row that no test tells from the first, after Holm's "
        "correction over all pairs of rows.",
        *asked(table),
    ]


def asked(table: Table) -> list[str]:
    """The queries of a table, their groups and whether those are few, and what overlaps."""
    return [*questions(table), *_overlap(table)]


def questions(table: Table) -> list[str]:
    """The queries of a table, their groups, and whether those are few."""
    emptied = _emptied(table)
    left = [groups.words(name) for name, groups in table.groups if name not in emptied]
    lines = [f"Queries: {'; '.join(left)}."] if left else []
    lines += few_groups((name, groups.count) for name, groups in table.groups)
    lines += [
        f"Without {count} queries of {name}, which overlap with the training set."
        for name, count in table.dropped
        if name not in emptied
    ]
    lines += [f"{_none_left(name)}: all overlap with the training set." for name in emptied]
    return lines


def _emptied(table: Table) -> list[str]:
    """The evaluation sets of which every query was left out."""
    return [name for name, groups in table.groups if not len(groups.numbers)]


def _none_left(name: str) -> str:
    return f"No query of {name} is left"


def conclusion(table: Table) -> str:
    """Which row is best, as far as the tests can tell, in one sentence that counts the others."""
    first, below, ties = _order(table)
    if first is None:
        none_left = [f"{_none_left(name)}." for name in _emptied(table)]
        return " ".join(none_left) or "No row has all numbers of the suite yet."
    if not below and not ties:
        return f"{first.title} stands alone: it is compared with nothing."
    if not ties:
        ahead = -below[0].against_best.difference if below[0].against_best else 0.0
        return f"{first.title} is better than {_rows(len(below), 'other')}, {100 * ahead:.1f} points before the next."
    better = f", and it is better than the remaining {_rows(len(below))}" if below else ""
    return f"{first.title} is highest, but no test tells it from {_rows(len(ties), 'other')}{better}."


def named_conclusion(table: Table) -> str:
    """The same in several sentences that name the others, and those of which a checkpoint was compared."""
    first, below, ties = _order(table)
    if first is None or not (below or ties):
        return conclusion(table)
    words = [f"{first.title} has the highest {table.primary}, {100 * (first.primary or 0):.1f}."]
    if below:
        words.append(f"It is better than {_listed(below)}.")
    if ties:
        words.append(f"No test tells it from {_listed(ties)}.")
    if table.one_run:
        words.append(
            f"One run of {_listed(table.one_run)}: of these a checkpoint was compared, not a method."
        )
    return " ".join(words)


def _order(table: Table) -> tuple[Row | None, list[Row], list[Row]]:
    """The row with the highest primary number, the rows that are surely below it, and those not told from it."""
    ranked = [row for row in table.rows if row.primary is not None]
    if not ranked:
        return None, [], []
    first, *others = ranked
    return first, [row for row in others if not row.rank_mark], [row for row in others if row.rank_mark]


def _listed(rows: Sequence[Row]) -> str:
    """Titles, which hold commas themselves, one after the other."""
    return "; ".join(row.title for row in rows)


def _rows(count: int, kind: str = "") -> str:
    """A count of rows in words.

    >>> _rows(1, "other"), _rows(2)
    ('1 other row', '2 rows')
    """
    return " ".join(word for word in (str(count), kind, "row" if count == 1 else "rows") if word)


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
    if table.detectable is not None:
        if table.detectable >= 1:
            yield "No difference between two rows can be shown with so few groups of queries or seeds."
        else:
            yield (
                f"Smallest difference in {table.primary} that a test of two such rows shows in four of five cases: "
                f"{100 * table.detectable:.1f} points (median over the pairs, before Holm's correction)."
            )
    if table.one_run:
        yield seeds_sentence(table)


def seeds_sentence(table: Table) -> str:
    """What rows of one run tell; empty where every method was run several times or is frozen."""
    others = any(not row.one_run for row in table.rows if row.primary is not None)
    return seeds_words([row.title for row in table.one_run], others=others)
