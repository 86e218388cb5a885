"""The first screen: one small chart for each training set and suite, and what may be concluded from it."""

import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

from vitret.compare.tables import Row, Table, short
from vitret.core.store import digest
from vitret.pages.board.costs import cost_sentence
from vitret.pages.board.scale import Bar, Scale, percent
from vitret.pages.captions import title
from vitret.pages.verdict import conclusion, seeds_sentence


@dataclass(frozen=True, kw_only=True)
class Line:
    """One row of a chart; `join` says how the line that joins ties passes it: start, dot, pass, end or nothing."""

    row: Row
    anchor: str
    value: str
    interval: str
    bar: Bar
    join: str


@dataclass(frozen=True, kw_only=True)
class Card:
    """One chart. `sentences`: what is best, how sure that is, and what it costs.

    `suite` is named where another chart shows the same sets.
    """

    table: Table
    suite: str
    anchor: str
    trained: str
    measured: str
    scale: Scale
    lines: tuple[Line, ...]
    sentences: tuple[str, ...]


def slug(text: str) -> str:
    """A name for an address within the page.

    >>> slug("Trained on sop · minitown, 3 scales")
    'trained-on-sop-minitown-3-scales'
    """
    return re.sub(r"[^a-z0-9]+", "-", text.lower()).strip("-")


def anchor(table: Table) -> str:
    """The address of a table within the page."""
    return slug(title(table))


def row_anchor(table: Table, row: Row) -> str:
    """The address of a row's panel; short, because a page names it often."""
    return f"{slug(row.system)}-{digest([anchor(table), row.entries[0][1].recipe.digest])[:8]}"


def measured_words(table: Table) -> str:
    """The evaluation sets of a table, without those that only add distractors."""
    return ", ".join(short(name) for name, _ in table.groups)


def trained_words(table: Table) -> str:
    """What the rows of a table were trained on."""
    return "Frozen networks" if table.train_set == "none" else table.train_set


def cards(found: Sequence[Table]) -> list[Card]:
    """The charts of tables of systems: those without a warning first, then those with most rows.

    A table of one row compares nothing; it has a chart only where no table has more.
    """
    systems = [table for table in found if not table.ablation and _ranked(table)]
    shown = [table for table in systems if _ranked(table) > 1] or systems
    # A training set whose own numbers carry a warning is no example of a user's data.
    warned = {table.train_set for table in found if table.warnings}
    shown.sort(
        key=lambda table: (
            bool(table.warnings),
            table.train_set in warned,
            -len(table.rows),
            anchor(table),
        )
    )
    shares = Counter((table.train_set, measured_words(table)) for table in shown)
    return [
        _card(table, suite=table.suite if shares[table.train_set, measured_words(table)] > 1 else "")
        for table in shown
    ]


def _ranked(table: Table) -> int:
    return sum(row.primary is not None for row in table.rows)


def _card(table: Table, *, suite: str) -> Card:
    ranked = [row for row in table.rows if row.answers is not None]
    intervals = [row.answers.interval for row in ranked if row.answers is not None]
    scale = Scale.of_fractions([end for both in intervals for end in both])
    ties = [i for i, row in enumerate(ranked) if row.rank_mark == "tie"]
    lines = [
        Line(
            row=row,
            anchor=row_anchor(table, row),
            value=percent(row.primary or 0.0),
            interval=f"{percent(low)}–{percent(high)}",
            bar=scale.bar(row.primary or 0.0, low, high),
            join=_join(i, ties),
        )
        for i, (row, (low, high)) in enumerate(zip(ranked, intervals, strict=True))
    ]
    said = (conclusion(table), cost_sentence(table), seeds_sentence(table))
    return Card(
        table=table,
        suite=suite,
        anchor=anchor(table),
        trained=trained_words(table),
        measured=measured_words(table),
        scale=scale,
        lines=tuple(lines),
        sentences=tuple(sentence for sentence in said if sentence),
    )


def _join(place: int, ties: Sequence[int]) -> str:
    """How the line from the first row to its last tie passes a row."""
    if not ties or place > ties[-1]:
        return ""
    if place in (0, ties[-1]):
        return "end" if place else "start"
    return "dot" if place in ties else "pass"
