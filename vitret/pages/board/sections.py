"""The full tables: columns in groups of which one is shown at a time, and cells with the value they are sorted by."""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

from vitret.compare.published import PublishedRow, published_head, targets_of
from vitret.compare.tables import Cell, Row, Table, head
from vitret.pages.board.cards import row_anchor
from vitret.pages.board.scale import Bar, Scale, percent
from vitret.pages.leaderboard import metric_groups
from vitret.pages.verdict import against, average, rank, seed_count, seen


@dataclass(frozen=True, kw_only=True)
class Column:
    """A column; `group` is its place among the groups, None where it is always shown."""

    head: str
    group: int | None
    scale: Scale | None = None


@dataclass(frozen=True, kw_only=True)
class Field:
    """A cell: its words, those in small below them, a bar, and what it is sorted by (empty: last)."""

    words: str
    small: str = ""
    bar: Bar | None = None
    zero: float | None = None
    key: str = ""


@dataclass(frozen=True, kw_only=True)
class Line:
    """A row of a table, its panel's address and its cells."""

    row: Row
    anchor: str
    fields: tuple[Field, ...]


@dataclass(frozen=True, kw_only=True)
class Quoted:
    """A published row of the table's training set and protocol: it stands below the measured rows, unranked."""

    method: str
    words: tuple[str, ...]


@dataclass(frozen=True, kw_only=True)
class Grid:
    """A table: names of its groups of columns, columns, measured and published rows."""

    groups: tuple[str, ...]
    columns: tuple[Column, ...]
    lines: tuple[Line, ...]
    quoted: tuple[Quoted, ...]


@dataclass(frozen=True, kw_only=True)
class Fact:
    """A column of facts about a row: its words, and what it is sorted by where that is another."""

    head: str
    words: Callable[[Row], str]
    key: Callable[[Row], str]


def _text(head: str, words: Callable[[Row], str]) -> Fact:
    return Fact(head=head, words=words, key=words)


def _gflops(row: Row) -> str:
    return "" if row.cost is None or row.cost.flops is None else f"{row.cost.flops / 1e9:.3g}"


# One entry a column, shown where it is known of a row; where it is not, an empty text.
FACTS = (
    Fact(head="dim", words=lambda row: f"{row.dim:,}", key=lambda row: str(row.dim)),
    Fact(
        head="bytes an image",
        words=lambda row: f"{row.descriptor_bytes:,}",
        key=lambda row: str(row.descriptor_bytes),
    ),
    Fact(
        head="parameters",
        words=lambda row: row.millions,
        key=lambda row: str(row.parameters),
    ),
    _text("GFLOPs", _gflops),
    Fact(
        head="images seen",
        words=seen,
        key=lambda row: str(row.images_seen),
    ),
    Fact(head="seeds", words=seed_count, key=lambda row: str(len(row.seeds))),
    _text("starts from", lambda row: row.starts_from),
    _text("overlap", lambda row: row.overlap.word),
    _text("zero-shot %", lambda row: row.overlap.cell),
)


def grid(table: Table, published: Sequence[PublishedRow]) -> Grid:
    """Columns and cells of a table, all of its groups, and the published rows that fit under them."""
    groups = metric_groups(table)
    first = next(i for i, keys in enumerate(groups) if table.primary in keys)
    groups.insert(0, groups.pop(first))
    columns = [(i, name, key) for i, keys in enumerate(groups) for name in table.sets for key in keys]
    columns = [one for one in columns if any((one[1], one[2]) in row.cells for row in table.rows)]
    scales = [_scale(row.cells.get((name, key)) for row in table.rows) for _, name, key in columns]
    known = [fact for fact in FACTS if any(fact.words(row) for row in table.rows)]
    differences = [row.against_best for row in table.rows if row.against_best is not None]
    beside = Scale.of_fractions(
        [end for t in differences for end in (t.low, t.high)] or [0.0, 0.01], zero=True
    )
    means = [average(row) for row in table.rows]
    mean_scale = _scale(means)
    several = len(table.sets) > 1
    before = [
        Column(head="rank", group=None),
        Column(head=f"{table.primary} vs first", group=None, scale=beside),
        *([Column(head=f"mean {table.primary}", group=0, scale=mean_scale)] if several else []),
    ]
    heads = [
        *before,
        *(
            Column(head=head(name, key), group=i, scale=scale)
            for (i, name, key), scale in zip(columns, scales, strict=True)
        ),
        *(Column(head=fact.head, group=len(groups)) for fact in known),
    ]
    lines = []
    for place, row in enumerate(table.rows):
        cells = [
            _measured(row.cells.get((name, key)), scale)
            for (_, name, key), scale in zip(columns, scales, strict=True)
        ]
        facts = [Field(words=fact.words(row) or "–", key=fact.key(row)) for fact in known]
        if several:
            cells.insert(0, _measured(means[place], mean_scale))
        fields = (Field(words=rank(row), key=str(place)), _difference(row, beside), *cells, *facts)
        lines.append(Line(row=row, anchor=row_anchor(table, row), fields=fields))
    names = [keys[0].partition(" (")[0] for keys in groups]
    names = [name.partition("@")[0] + "@K" if name.startswith("R@") else name for name in names]
    quoted = [
        Quoted(
            method=row.method,
            words=(
                *("published", *[""] * (len(before) - 1)),
                *(_quoted(row, name, key) for _, name, key in columns),
                *(str(row.dim or "") if fact.head == "dim" else "" for fact in known),
            ),
        )
        for row in targets_of(table, published)
    ]
    return Grid(
        groups=(*names, "Cost and training"),
        columns=tuple(heads),
        lines=tuple(lines),
        quoted=tuple(quoted),
    )


def _quoted(row: PublishedRow, name: str, key: str) -> str:
    """A published number, in per cent as printed; empty where the paper has none."""
    value = row.values.get(published_head(name, key))
    return "" if value is None else f"{value:g}"


def _scale(cells: Iterable[Cell | None]) -> Scale:
    found = [cell for cell in cells if cell is not None]
    return Scale.of_fractions([end for cell in found for end in (cell.low, cell.high)] or [0.0, 1.0])


def _measured(cell: Cell | None, scale: Scale) -> Field:
    if cell is None:
        return Field(words="–")
    spread = "" if cell.std is None else f" ± {percent(cell.std)}"
    return Field(
        words=percent(cell.value) + spread,
        small=f"{percent(cell.low)}–{percent(cell.high)}",
        bar=scale.bar(cell.value, cell.low, cell.high),
        key=f"{cell.value:.4f}",
    )


def _difference(row: Row, scale: Scale) -> Field:
    test = row.against_best
    if test is None:
        return Field(words=against(row), key="0" if row.primary is not None else "")
    words, _, rest = against(row).partition(" [")
    interval, _, tie = rest.partition("]")
    return Field(
        words=words + tie,
        small=interval.replace(", ", " to "),
        bar=scale.bar(test.difference, test.low, test.high),
        zero=scale.at(0.0),
        key=f"{test.difference:.4f}",
    )
