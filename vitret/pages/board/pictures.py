"""What rows find, in pictures: a folder beside the board, with one page for each table and evaluation set.

A page shows queries of every row from the worst to the best, and for pairs of rows the queries that lose and gain
most. Which queries those are follows from the rows alone, so the same results give the same bytes.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import combinations
from pathlib import Path

import numpy as np

from vitret.compare.asked import Places
from vitret.compare.first_images import WRONG, FirstImages, first_images
from vitret.compare.machine import Machine, Say
from vitret.compare.results import per_query, read_result
from vitret.compare.tables import Row, Table, short
from vitret.core.errors import DataError, EmptyError, UserError
from vitret.core.records import EvalSet, Float64, Images
from vitret.core.store import write_bytes, write_text
from vitret.data import layout
from vitret.pages.board.cards import anchor, row_anchor
from vitret.pages.board.environment import filled, template
from vitret.pages.board.links import Pictures
from vitret.pages.board.scale import percent
from vitret.pages.captions import title
from vitret.pages.thumbnails import small_jpeg

FOLDER = "panels"
# Queries of one row, from its worst to its best; losses and gains of a pair; rows of which every pair is shown.
QUERIES, CHANGES, PAIRED = 5, 3, 5
# How an image is judged, in the order of the legend; and the longer side of a picture in pixels.
KINDS, SIDE = ("easy", "hard", "positive", "junk", WRONG), 160
# A smaller change of a query's value is rounding.
_NOTHING = 1e-9


@dataclass(frozen=True, kw_only=True)
class Shown:
    """An image of the database: its row, its file beside the page, and how it is judged."""

    row: int
    file: str
    kind: str


@dataclass(frozen=True, kw_only=True)
class Strip:
    """What one row finds for a query, best first, and its value in per cent."""

    title: str
    value: str
    images: tuple[Shown, ...]


@dataclass(frozen=True, kw_only=True)
class Query:
    """One query with the strips of one row or of two."""

    number: int
    file: str
    strips: tuple[Strip, ...]


@dataclass(frozen=True, kw_only=True)
class Part:
    """A piece of a page with an address of its own; `maps` is the address of the maps of its queries."""

    anchor: str
    heading: str
    words: str
    queries: tuple[Query, ...]
    maps: str = ""


def require_shown(data: Path, names: Sequence[str]) -> None:
    """Raise `UserError` for a set whose terms do not allow its images to be passed on, `DataError` for one not here."""
    for name in names:
        card = layout.load_eval(data, name).card
        licence = card.get("licence")
        # A user's own photographs have no terms: whoever names them decides.
        if isinstance(licence, Mapping) and not licence.get("redistribution"):
            raise UserError(
                f"--panels {name}: its terms do not allow its images to be passed on ({licence.get('text', '')}), and "
                "the pages would hold copies."
            )


def write_pictures(
    found: Sequence[Table],
    names: Sequence[str],
    out: Path,
    *,
    places: Places,
    machine: Machine,
    say: Say,
    maps: bool = False,
) -> tuple[Pictures, list[Path]]:
    """Write the pages of some evaluation sets below `out`, with small copies of the images that they show.

    With `maps` each row has a page of maps of its queries; a network without tokens has none, and is named. Returns
    the addresses of pages and their files. Rows whose network is not here are left out and named; `EmptyError` where no
    row is left.
    """
    require_shown(places.data, names)
    pages = [
        page
        for table in found
        for name in names
        if name in dict(table.groups) and not table.dropped
        for page in _page(table, name, places=places, machine=machine, say=say, maps=maps)
    ]
    if not pages:
        raise EmptyError(
            f"--panels {', '.join(names)}: no row on these sets has its network on this machine. `vitret bench` "
            "makes both."
        )
    folder = out / FOLDER
    images: dict[str, tuple[Images, int, bool]] = {}
    for page in pages:
        write_text(folder / page.file, page.text())
        for file, text in page.maps.items():
            write_text(folder / file, text)
        images |= page.images()
    for file, (of, row, asked) in sorted(images.items()):
        write_bytes(folder / file, small_jpeg(of.file(row), box=of.box(row), side=SIDE, outlined=asked))
    written = [folder / file for page in pages for file in (page.file, *page.maps)]
    return _addresses(pages), written


def _addresses(pages: Sequence[_Page]) -> Pictures:
    """Where the pictures of each table, row and pair are; of several sets, a row's and a pair's are of the first."""
    tables: dict[str, list[tuple[str, str]]] = {}
    rows: dict[str, str] = {}
    pairs: dict[str, dict[str, str]] = {}
    for page in pages:
        table, address = anchor(page.table), f"{FOLDER}/{page.file}"
        tables.setdefault(table, []).append((short(page.evalset.name), address))
        if len(tables[table]) > 1:
            continue
        rows |= {page.row_anchor(i): f"{address}#{page.row_anchor(i)}" for i in range(len(page.rows))}
        pairs[table] = {
            f"{page.ranked[a]}-{page.ranked[b]}": f"{address}#{page.pair_anchor(a, b)}" for a, b in page.pairs
        }
    return Pictures(tables=tables, rows=rows, pairs=pairs)


@dataclass(frozen=True, kw_only=True, eq=False)
class _Page:
    """One table on one evaluation set: rows, their values (Q,) and what they find, in the order of the table.

    `ranked` are the places of the rows among the table's ranked ones, `maps` pages by the name of their file.
    """

    table: Table
    evalset: EvalSet
    rows: tuple[Row, ...]
    ranked: tuple[int, ...]
    values: tuple[Float64, ...]
    firsts: tuple[FirstImages, ...]
    maps: Mapping[str, str]

    @property
    def file(self) -> str:
        return _file(self.table, self.evalset.name)

    @property
    def pairs(self) -> list[tuple[int, int]]:
        """Every pair with the first row, and every pair of the first few."""
        return [(a, b) for a, b in combinations(range(len(self.rows)), 2) if not a or b < PAIRED]

    def row_anchor(self, i: int) -> str:
        return row_anchor(self.table, self.rows[i])

    def pair_anchor(self, a: int, b: int) -> str:
        return f"{self.row_anchor(a)}-and-{self.row_anchor(b)}"

    @cached_property
    def parts(self) -> tuple[Part, ...]:
        return (*self._of_rows(), *self._of_pairs())

    def _of_rows(self) -> Iterator[Part]:
        for i, row in enumerate(self.rows):
            chosen = from_worst_to_best(self.values[i], QUERIES)
            maps = _maps_file(self.table, row, self.evalset.name)
            yield Part(
                anchor=self.row_anchor(i),
                heading=row.title,
                words="Queries from the worst to the best of this row.",
                queries=tuple(self._query(query, (i,)) for query in chosen),
                maps=maps if maps in self.maps else "",
            )

    def _of_pairs(self) -> Iterator[Part]:
        for a, b in self.pairs:
            chosen = most_changed(self.values[a], self.values[b], CHANGES)
            words = "Queries that lose most, then those that gain most, from the first to the second."
            yield Part(
                anchor=self.pair_anchor(a, b),
                heading=f"{self.rows[a].title}, then {self.rows[b].title}",
                words=words if chosen else "No query changes.",
                queries=tuple(self._query(query, (a, b)) for query in chosen),
            )

    def _query(self, query: int, rows: Sequence[int]) -> Query:
        file = f"{self.evalset.name}/query-{query}.jpg"
        return Query(number=query, file=file, strips=tuple(self._strip(query, i) for i in rows))

    def _strip(self, query: int, i: int) -> Strip:
        first = self.firsts[i]
        there = [row for row in first.rows[query].tolist() if row >= 0]
        images = [
            Shown(row=row, file=f"{self.evalset.name}/{row}.jpg", kind=first.kind(query, row))
            for row in there
        ]
        value = percent(float(self.values[i][query]))
        return Strip(title=self.rows[i].title, value=value, images=tuple(images))

    def images(self) -> dict[str, tuple[Images, int, bool]]:
        """The images that the page shows by their files: where they are, and whether they ask."""
        found: dict[str, tuple[Images, int, bool]] = {}
        for query in (query for part in self.parts for query in part.queries):
            found[query.file] = self.evalset.queries, query.number, True
            for image in (image for strip in query.strips for image in strip.images):
                found[image.file] = self.evalset.database, image.row, False
        return found

    def text(self) -> str:
        kinds = {
            image.kind
            for part in self.parts
            for query in part.queries
            for strip in query.strips
            for image in strip.images
        }
        return filled(
            "pictures.html",
            title=f"{title(self.table)}: {self.evalset.name}",
            primary=self.table.primary,
            warning=str(self.evalset.card.get("warning", "")),
            back=f"../index.html#{anchor(self.table)}",
            parts=self.parts,
            kinds=[kind for kind in KINDS if kind in kinds],
            style=template("board.css"),
        )


def _file(table: Table, name: str) -> str:
    return f"{anchor(table)}-{name}.html"


def _maps_file(table: Table, row: Row, name: str) -> str:
    return f"{row_anchor(table, row)}-{name}-maps.html"


def _page(
    table: Table, name: str, *, places: Places, machine: Machine, say: Say, maps: bool
) -> Iterator[_Page]:
    """The page of a table and a set; none where no row has its network here."""
    ranked = [row for row in table.rows if row.answers is not None]
    rows: list[tuple[Row, int, Float64, FirstImages]] = []
    drawn: dict[str, str] = {}
    for place, row in enumerate(ranked):
        seeds = [(result.training.seed, path) for path, result in row.entries if result.eval_name == name]
        if not seeds:
            continue
        _, path = min(seeds)
        try:
            first = first_images(places, path, machine=machine, say=say)
        except DataError as error:
            say(f"--panels {name}: {row.title} is left out. {error}")
            continue
        values = per_query(path, table.primary)
        rows.append((row, place, values, first))
        if maps:
            drawn |= _maps(table, row, path, first, values=values, places=places, machine=machine, say=say)
    if rows:
        shown, at, every, firsts = zip(*rows, strict=True)
        yield _Page(
            table=table,
            evalset=firsts[0].evalset,
            rows=shown,
            ranked=at,
            values=every,
            firsts=firsts,
            maps=drawn,
        )


def _maps(
    table: Table,
    row: Row,
    path: Path,
    first: FirstImages,
    *,
    values: Float64,
    places: Places,
    machine: Machine,
    say: Say,
) -> dict[str, str]:
    """The maps of a row by the name of their file; none, and the reason is told, for a network without tokens."""
    # torch and what draws tokens are needed for maps alone.
    from vitret.pages.board.row_maps import row_maps

    name = first.evalset.name
    back = f"{_file(table, name)}#{row_anchor(table, row)}"
    queries = from_worst_to_best(values, QUERIES)
    try:
        text = row_maps(read_result(path), first, queries, places=places, machine=machine, back=back)
    except UserError as error:
        say(f"--maps: {row.title} is left out. {error}")
        return {}
    return {_maps_file(table, row, name): text}


def from_worst_to_best(values: Float64, count: int) -> list[int]:
    """Queries at even steps through the sorted values (Q,); those without a value (NaN) are left out.

    >>> from_worst_to_best(np.array([0.9, 0.1, np.nan, 0.5]), 2)
    [1, 0]
    """
    order = np.argsort(np.round(values, 9), kind="stable")[: int((~np.isnan(values)).sum())]
    at = np.unique(np.linspace(0, len(order) - 1, min(count, len(order))).round().astype(int))
    return [int(query) for query in order[at]]


def most_changed(a: Float64, b: Float64, count: int) -> list[int]:
    """The queries that lose most from a (Q,) to b (Q,), then those that gain most, the largest change first.

    >>> most_changed(np.array([1.0, 0.5, 0.2, 0.3]), np.array([0.0, 0.5, 0.9, 0.4]), 1)
    [0, 2]
    """
    change = np.round(np.nan_to_num(b - a), 9)
    order = [int(query) for query in np.argsort(change, kind="stable")]
    losses = [query for query in order if change[query] < -_NOTHING][:count]
    gains = [query for query in np.argsort(-change, kind="stable").tolist() if change[query] > _NOTHING]
    return losses + gains[:count]
