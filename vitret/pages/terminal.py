"""The fair tables for eyes, on a terminal or in a pipe."""

from collections.abc import Sequence

from rich import box
from rich.console import Console
from rich.table import Table as RichTable
from rich.text import Text

from vitret.compare.published import PublishedFile, beside
from vitret.compare.tables import Row, Table, short
from vitret.core.protocol import split_key
from vitret.pages.leaderboard import caption, metric_groups, number, title
from vitret.pages.published import cells_of
from vitret.pages.verdict import against, below, rank


def print_tables(found: Sequence[Table], published: Sequence[PublishedFile] = ()) -> None:
    """Print every table to stdout, intervals below the values; published rows that fit stand below, in italics."""
    for table in found:
        grids = [
            _grid(table, keys, published, with_test=i == 0) for i, keys in enumerate(metric_groups(table))
        ]
        console = Console(highlight=False)
        if not console.is_terminal:
            room = Console(width=1000)
            needed = max(room.measure(grid).maximum for grid in grids)
            console = Console(highlight=False, width=max(console.width, needed))
        console.print(Text(f"\n{title(table)}", style="bold"))
        for line in caption(table):
            console.print(Text(line, style="dim"))
        for grid in grids:
            console.print(grid)
        for line in below(table):
            console.print(Text(line, style="dim"))
        if beside(table, published):
            console.print(Text("Published rows are not measured here and not ranked.", style="dim"))


def _grid(
    table: Table, keys: Sequence[str], published: Sequence[PublishedFile], *, with_test: bool
) -> RichTable:
    grid = RichTable(box=box.SIMPLE_HEAD, pad_edge=False, show_lines=False)
    grid.add_column("system", no_wrap=True)
    grid.add_column("dim\nparams", justify="right", overflow="fold")
    grid.add_column("seeds", justify="right", overflow="fold")
    for name in table.sets:
        for key in keys:
            metric, level = split_key(key)
            grid.add_column(
                f"{short(name)}\n{metric} {'' if level == 'all' else level}".rstrip(), justify="right"
            )
    if with_test:
        grid.add_column("rank", justify="right")
        grid.add_column(f"vs first\n{table.primary}", justify="right", overflow="fold")
    for row in table.rows:
        grid.add_row(
            *_cells(table, row, keys, with_test=with_test), style="bold" if row.rank_mark == "best" else ""
        )
    for target in beside(table, published):
        dim = "" if target.dim is None else str(target.dim)
        rank_of = ["", ""] if with_test else []
        cells = [f"{target.method}\npublished", dim, "", *cells_of(target, table, keys), *rank_of]
        grid.add_row(*cells, style="italic")
    return grid


def _cells(table: Table, row: Row, keys: Sequence[str], *, with_test: bool) -> list[str]:
    cells = [f"{row.title}\n{row.backbone}", f"{row.dim}\n{row.parameters / 1e6:.2f}M", str(len(row.seeds))]
    for name in table.sets:
        for key in keys:
            cell = row.cells.get((name, key))
            value = number(cell, interval=False)
            cells.append(value if cell is None else f"{value}\n{100 * cell.low:.1f}–{100 * cell.high:.1f}")
    if with_test:
        cells += [rank(row), against(row).replace(" [", "\n[")]
    return cells
