"""The page itself: what the templates are given, and the one place that fills them."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass

import yaml

from vitret.compare.published import PublishedFile, PublishedRow, rows_of
from vitret.compare.tables import Row, Table
from vitret.pages.board import tradeoff
from vitret.pages.board.cards import anchor, cards, measured_words, trained_words
from vitret.pages.board.environment import filled, template
from vitret.pages.board.links import NO_PICTURES, Pictures
from vitret.pages.board.panels import Panel, asked, panels
from vitret.pages.board.scale import percent
from vitret.pages.board.sections import Grid, grid
from vitret.pages.board.tradeoff import Chart, charts
from vitret.pages.board.versus import versus
from vitret.pages.captions import cautions, title
from vitret.pages.verdict import asked as asked_words
from vitret.pages.verdict import below, conclusion


@dataclass(frozen=True, kw_only=True)
class Filter:
    """A choice of rows by a fact of theirs; it is shown where rows differ in it."""

    name: str
    words: str
    of: Callable[[Row], str]


# One entry a filter. A fact that is not known of a row is an empty text.
FILTERS = (
    Filter(name="backbone", words="Backbone", of=lambda row: row.backbone),
    Filter(name="overlap", words="Overlap", of=lambda row: row.overlap.word),
)


@dataclass(frozen=True, kw_only=True)
class Section:
    """One table with all that belongs to it."""

    table: Table
    anchor: str
    title: str
    trained: str
    measured: str
    conclusion: str
    notes: tuple[str, ...]
    switches: str
    grid: Grid
    charts: tuple[Chart, ...]
    panels: tuple[Panel, ...]
    versus: str


def as_page(
    found: Sequence[Table],
    published: Sequence[PublishedFile],
    *,
    curves: Mapping[str, str] | None = None,
    pictures: Pictures = NO_PICTURES,
) -> str:
    """The page of some tables; `curves` are drawings of training logs by the anchor of a row."""
    beside = rows_of(published)
    sections = [_section(table, beside, pictures) for table in found]
    rows = [row for table in found for row in table.rows]
    choices = [
        (one, sorted({one.of(row) for row in rows} - {""}))
        for one in FILTERS
        if len({one.of(row) for row in rows}) > 1
    ]
    return filled(
        "page.html",
        title="vitret leaderboard",
        cards=cards(found),
        sections=sections,
        published=[file for file in published if not file.own_protocol],
        filters=FILTERS,
        choices=choices,
        trained=_distinct(section.trained for section in sections),
        measured=_distinct(section.measured for section in sections),
        curves=curves or {},
        pictures=pictures,
        box=tradeoff,
        percent=percent,
        style=template("board.css"),
        script=template("board.js"),
    )


def _distinct(words: Iterable[str]) -> list[str]:
    return sorted(set(words))


def _section(table: Table, published: Sequence[PublishedRow], pictures: Pictures) -> Section:
    queries = asked(table)
    protocol = table.rows[0].entries[0][1].protocol
    notes = [*asked_words(table), *below(table), *cautions(table)]
    return Section(
        table=table,
        anchor=anchor(table),
        title=title(table),
        trained=trained_words(table),
        measured=measured_words(table),
        conclusion=conclusion(table),
        notes=tuple(notes),
        switches=yaml.safe_dump(protocol.model_dump(mode="json"), sort_keys=False),
        grid=grid(table, published),
        charts=tuple(charts(table)),
        panels=tuple(panels(table, queries)),
        versus=versus(table, queries, pictures.pairs.get(anchor(table), {})),
    )
