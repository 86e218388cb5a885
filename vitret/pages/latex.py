"""The fair tables as LaTeX: booktabs, the highest value of a column bold, ties underlined, published in italics."""

from collections.abc import Sequence

from vitret.compare.published import PublishedFile, PublishedRow, published_head, rows_of, targets_of
from vitret.compare.tables import Row, Table, head
from vitret.pages.captions import caption, title
from vitret.pages.formats import tabular, tex
from vitret.pages.verdict import below

_NOTE = (
    "% Needs \\usepackage{booktabs}. Bold: highest of its column. Underlined: no paired test tells the row from the "
    "first.\n% Italics: published, not measured here."
)


def latex(found: Sequence[Table], files: Sequence[PublishedFile]) -> str:
    """One tabular a table, captions as comments, published rows that fit a table below it."""
    published = rows_of(files)
    return "\n\n".join([_NOTE, *(_table(table, published) for table in found)]) + "\n"


def _table(table: Table, published: Sequence[PublishedRow]) -> str:
    columns = [column for column in table.columns if any(column in row.cells for row in table.rows)]
    heads = ["system", "backbone", "dim", *(head(*column) for column in columns), f"mean {table.primary}"]
    highest = {
        column: max(row.cells[column].value for row in table.rows if column in row.cells)
        for column in columns
    }
    first = max((row.primary for row in table.rows if row.primary is not None), default=None)
    measured = [
        [
            tex(row.title),
            tex(row.backbone),
            str(row.dim),
            *(_value(row, column, highest[column]) for column in columns),
            _mean(row, first),
        ]
        for row in table.rows
    ]
    printed = [_published(row, columns) for row in targets_of(table, published)]
    blocks = [measured, printed] if printed else [measured]
    words = [title(table), *caption(table), *below(table)]
    comments = "\n".join(f"% {line}" for line in words)
    return f"{comments}\n" + tabular(
        [tex(h) for h in heads], blocks, columns="llr" + "r" * (len(columns) + 1)
    )


def _value(row: Row, column: tuple[str, str], highest: float) -> str:
    """A number in per cent, with its deviation over seeds."""
    cell = row.cells.get(column)
    if cell is None:
        return "--"
    number = f"{100 * cell.value:.1f}"
    shown = rf"\textbf{{{number}}}" if cell.value == highest else number
    return shown if cell.std is None else rf"{shown} $\pm$ {100 * cell.std:.1f}"


def _mean(row: Row, first: float | None) -> str:
    if row.primary is None:
        return "--"
    number = f"{100 * row.primary:.1f}"
    number = rf"\textbf{{{number}}}" if row.primary == first else number
    return rf"\underline{{{number}}}" if row.rank_mark == "tie" else number


def _published(row: PublishedRow, columns: Sequence[tuple[str, str]]) -> list[str]:
    """A published row under the same columns, every cell in italics."""
    values = [row.values.get(published_head(*column)) for column in columns]
    cells = [
        f"{row.method} ({row.source})",
        "",
        "" if row.dim is None else str(row.dim),
        *("--" if value is None else f"{value:.1f}" for value in values),
        "",
    ]
    return [rf"\textit{{{tex(cell)}}}" if cell not in ("", "--") else cell for cell in cells]
