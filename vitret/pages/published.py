"""Published numbers on pages: beside measured rows where protocol and training set agree, and a page of their own."""

from collections.abc import Sequence
from pathlib import Path

from vitret.compare.published import PublishedFile, PublishedRow, published_files, published_head, targets_of
from vitret.compare.tables import Table
from vitret.pages.markdown import markdown_table

# Said under a table that shows published rows.
IN_ITALICS = (
    "In italics: published numbers, not measured here and not ranked. Their sources stand at the end."
)


def cells_of(row: PublishedRow, table: Table, keys: Sequence[str]) -> list[str]:
    """The numbers of a published row under a table's columns, in per cent as printed."""
    columns = (published_head(name, key) for name in table.sets for key in keys)
    return [f"{row.values[column]:g}" if column in row.values else "–" for column in columns]


def italic_rows(
    table: Table, keys: Sequence[str], published: Sequence[PublishedRow], *, heads: Sequence[str]
) -> list[list[str]]:
    """Lines to stand under the measured rows of a Markdown table with these heads."""
    found = []
    for row in targets_of(table, published):
        facts = {"system": row.method, "dim": "–" if row.dim is None else str(row.dim), "rank": "published"}
        numbers = iter(cells_of(row, table, keys))
        first = heads.index("seeds") + 1
        inside = range(first, first + len(table.sets) * len(keys))
        cells = [next(numbers) if i in inside else facts.get(head, "–") for i, head in enumerate(heads)]
        found.append([f"*{cell}*" if cell != "–" else cell for cell in cells])
    return found


def heads(file: PublishedFile) -> list[str]:
    """Column heads of a file's table."""
    return ["method", "training set", "dim", *file.columns, "protocol", "source"]


def cells(row: PublishedRow, file: PublishedFile) -> list[str]:
    """A row under `heads`."""
    values = [f"{row.values[column]:g}" if column in row.values else "–" for column in file.columns]
    dim = "–" if row.dim is None else str(row.dim)
    note = f"; {row.note}" if row.note else ""
    return [row.method, row.train_set, dim, *values, row.protocol, f"{row.source} ({row.read}){note}"]


def part(file: PublishedFile, *, level: int) -> str:
    """One file as a Markdown table under a heading of that level."""
    rows = [cells(row, file) for row in file.rows]
    notes = [file.notes + "\n"] if file.notes else []
    return "\n".join([f"{'#' * level} {file.title}\n", *notes, markdown_table(heads(file), rows)])


def section(files: Sequence[PublishedFile]) -> list[str]:
    """The closing section of LEADERBOARD.md; empty when there is nothing to show."""
    if not files:
        return []
    elsewhere = [file for file in files if file.own_protocol]
    return [
        "## Published numbers, not measured here",
        "Read in papers; their protocols differ from ours and among each other.",
        *(part(file, level=3) for file in files if not file.own_protocol),
        *(
            f"{file.title}: {len(file.rows)} rows under a protocol of their own, which nothing here is measured by: "
            "`vitret list published`."
            for file in elsewhere
        ),
    ]


PAGE = """\
# Published numbers

Made by `vitret list published --format md` from `results/published/`. Do not edit.

None of these numbers was measured here. Each was read in its source: *primary*, the paper itself; *repository of the
authors*; *second hand*, elsewhere, such as a table that copies numbers of others. What is only remembered is not here.
Protocols differ among the rows, so a difference between two rows may be one of protocol: [Protocol](protocol.md) and
[Metrics](metrics.md) say how far such switches move a number. Where a suite has the protocol and training set of a row,
tables of measured rows show it in italics, below the ranked rows.
"""


def page(root: Path) -> str:
    """docs/published.md."""
    return "\n\n".join([PAGE.rstrip(), *(part(file, level=2) for file in published_files(root))]) + "\n"
