"""Numbers read in papers: shown apart, with their source, never ranked among measured rows.

results/published/*.yaml holds one entry a table row: method, training set, values in per cent as printed, and how
the number was read. Only what was read in the primary source or in a repository of its authors is admitted.
"""

from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Literal

from vitret.compare.tables import Table, head, read_all, tables
from vitret.core.config import Strict, read_yaml, validate

EACH_SETS_OWN = "each set's own"


class PublishedRow(Strict):
    """One row of a paper's table; values in per cent, as printed.

    `recipes` are the systems and published recipes here that it is the target of, `suites` those that measure by its
    protocol; a gap is stated for these alone.
    """

    method: str
    train_set: str
    dim: int | None = None
    protocol: str = ""
    values: dict[str, float]
    source: str
    note: str = ""
    read: Literal["primary", "repository of the authors", "second hand"]
    recipes: tuple[str, ...] = ()
    suites: tuple[str, ...] = ()


class PublishedFile(Strict):
    """A table of published numbers. `columns` are those shown; rows may hold more.

    `own_protocol`: nothing measured here is comparable, so its rows stand on the page of published numbers alone.
    """

    title: str
    columns: tuple[str, ...]
    notes: str = ""
    own_protocol: bool = False
    rows: tuple[PublishedRow, ...]


def published_files(root: Path) -> list[PublishedFile]:
    return [
        validate(PublishedFile, read_yaml(path), str(path))
        for path in sorted((root / "published").glob("*.yaml"))
    ]


def rows_of(files: Iterable[PublishedFile]) -> list[PublishedRow]:
    """The rows of all files."""
    return [row for file in files for row in file.rows]


def published_rows(root: Path) -> list[PublishedRow]:
    """All rows that are kept beside the results."""
    return rows_of(published_files(root))


def gaps(root: Path) -> dict[str, list[str]]:
    """For each system or recipe how far its rows are from what was published, one sentence a number."""
    targets = [row for row in published_rows(root) if row.recipes]
    found: dict[str, list[str]] = {}
    for table in tables(read_all(root)):
        for system, sentence in _gaps_of(table, targets):
            said = found.setdefault(system, [])
            if sentence not in said:  # a system stands beside its variants too
                said.append(sentence)
    return found


def targets_of(table: Table, published: Sequence[PublishedRow]) -> list[PublishedRow]:
    """The published rows of a table's training set and protocol that have one of its numbers."""
    columns = {published_head(*column) for column in table.columns}
    return [
        target
        for target in published
        if target.train_set in (table.train_set, EACH_SETS_OWN)
        and table.suite in target.suites
        and columns & target.values.keys()
    ]


def published_head(name: str, key: str) -> str:
    """The column under which a published file holds a number.

    >>> published_head("roxford5k", "mAP (medium)")
    'ROxf M'
    """
    return head(name, key).replace(" mAP ", " ")


def _gaps_of(table: Table, targets: Sequence[PublishedRow]) -> Iterator[tuple[str, str]]:
    targets = targets_of(table, targets)
    for row in table.rows:
        for target in targets:
            if row.system not in target.recipes:
                continue
            for (name, key), cell in row.cells.items():
                column = published_head(name, key)
                if column in target.values:
                    ours, theirs = 100 * cell.value, target.values[column]
                    yield row.system, f"{column} {ours - theirs:+.1f} ({ours:.1f}, {table.suite})"
