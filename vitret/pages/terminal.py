"""The fair tables for eyes, on a terminal or in a pipe: as many columns in one grid as fit, the others in the next."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

from rich import box
from rich.console import Console
from rich.table import Table as RichTable
from rich.text import Text

from vitret.compare.published import PublishedRow, targets_of
from vitret.compare.tables import Cell, Row, Table, head
from vitret.pages.captions import caption, title
from vitret.pages.leaderboard import metric_groups, number
from vitret.pages.published import IN_ITALICS, cells_of
from vitret.pages.verdict import against, average, averaged, below, rank, seed_count

# A title or the name of a backbone that is longer takes another line.
LONGEST_NAME = 24
# Between two columns.
_GAP = 2


@dataclass(frozen=True, kw_only=True)
class _Column:
    """A head and one cell a row, each of one or two lines."""

    head: str
    cells: list[str] = field(default_factory=list)
    left: bool = False

    @property
    def width(self) -> int:
        longest = max(len(line) for text in (self.head, *self.cells) for line in text.split("\n"))
        return min(longest, LONGEST_NAME) if self.left else longest


def print_tables(
    found: Sequence[Table], published: Sequence[PublishedRow] = (), *, wide: bool = False
) -> None:
    """Print every table to stdout, intervals below the values.

    A grid is as wide as the terminal, or 80 columns where there is none; with `wide` a metric has one grid, however
    wide it is. Published rows that fit a table stand below its rows, in italics.
    """
    for table in found:
        console = Console(highlight=False)
        targets = targets_of(table, published)
        grids = list(_grids(table, targets, width=None if wide else console.width))
        if wide and not console.is_terminal:
            needed = max(Console(width=1000).measure(grid).maximum for grid in grids)
            console = Console(highlight=False, width=max(console.width, needed))
        console.print(Text(f"\n{title(table)}", style="bold"))
        for line in caption(table):
            console.print(Text(line, style="dim"))
        for grid in grids:
            console.print()
            console.print(grid)
        console.print()
        for line in [*below(table), *([IN_ITALICS] if targets else [])]:
            console.print(Text(line, style="dim"))


def _grids(table: Table, targets: Sequence[PublishedRow], *, width: int | None) -> Iterator[RichTable]:
    """One grid a group of metrics, cut into several where they are wider than `width`."""
    methods = [target.method for target in targets]
    names = [f"{row.title}\n{row.backbone}" for row in table.rows]
    name = _Column(head="system", cells=names + [f"{method}\npublished" for method in methods], left=True)
    again = _Column(head="system", cells=[row.title for row in table.rows] + methods, left=True)
    first = [name, *_facts(table, targets)]
    for keys in metric_groups(table):
        for columns in _packed(first, again, _values(table, keys, targets), width):
            yield _grid(table, columns)
        first = [again]


def _packed(
    first: list[_Column], again: _Column, values: Sequence[_Column], width: int | None
) -> Iterator[list[_Column]]:
    """The values in turn behind what stands first, as many at a time as fit; never a system alone."""
    columns = list(first)
    for value in values:
        wanted = sum(column.width for column in [*columns, value]) + _GAP * len(columns)
        if width is not None and wanted > width and len(columns) > 1:
            yield columns
            columns = [again]
        columns.append(value)
    yield columns


def _facts(table: Table, targets: Sequence[PublishedRow]) -> list[_Column]:
    """Size and place of each row, beside its first numbers; of what was published the size alone."""
    found = [
        _Column(head="dim\nparams", cells=[f"{r.dim}\n{r.millions}" for r in table.rows]),
        _Column(head="seeds", cells=[seed_count(r) for r in table.rows]),
        _Column(head="rank", cells=[rank(r) for r in table.rows]),
        _Column(
            head=f"vs first\n{table.primary}", cells=[against(r).replace(" [", "\n[") for r in table.rows]
        ),
    ]
    if averaged(table):
        found.append(_Column(head=f"mean\n{table.primary}", cells=[_words(average(r)) for r in table.rows]))
    found[0].cells.extend("" if target.dim is None else str(target.dim) for target in targets)
    for column in found[1:]:
        column.cells.extend("" for _ in targets)
    return found


def _values(table: Table, keys: Sequence[str], targets: Sequence[PublishedRow]) -> list[_Column]:
    found = []
    printed = [iter(cells_of(target, table, keys)) for target in targets]
    for name in table.sets:
        for key in keys:
            above = head(name, key).replace(" ", "\n", 1)
            cells = [_value(row, name, key) for row in table.rows] + [next(values) for values in printed]
            found.append(_Column(head=above, cells=cells))
    return found


def _value(row: Row, name: str, key: str) -> str:
    return _words(row.cells.get((name, key)))


def _words(cell: Cell | None) -> str:
    value = number(cell, interval=False)
    return value if cell is None else f"{value}\n{100 * cell.low:.1f}–{100 * cell.high:.1f}"


def _grid(table: Table, columns: Sequence[_Column]) -> RichTable:
    grid = RichTable(box=box.SIMPLE_HEAD, pad_edge=False, show_edge=False, padding=(0, 1, 0, 0))
    for column in columns:
        grid.add_column(
            column.head,
            justify="left" if column.left else "right",
            overflow="fold",
            min_width=column.width,
            max_width=column.width,
        )
    styles = ["bold" if row.rank_mark == "best" else "" for row in table.rows]
    for i in range(len(columns[0].cells)):
        cells = [Text(column.cells[i]) for column in columns]
        grid.add_row(*cells, style=styles[i] if i < len(styles) else "italic")
    return grid
