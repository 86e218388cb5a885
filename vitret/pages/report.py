"""The bundle of `vitret report`, and the page of what changed between two results folders."""

from collections.abc import Sequence
from pathlib import Path

from vitret.compare.deltas import deltas
from vitret.compare.published import published_files
from vitret.compare.tables import Table, read_all, tables
from vitret.core.errors import UserError
from vitret.core.store import write_text
from vitret.pages.board.curves import log_curves
from vitret.pages.board.links import NO_PICTURES, Pictures
from vitret.pages.board.page import as_page
from vitret.pages.deltas import deltas_page
from vitret.pages.leaderboard import FILES, RENDERERS, measured_tables


def write_bundle(
    found: Sequence[Table], root: Path, out: Path, *, home: Path, pictures: Pictures = NO_PICTURES
) -> list[Path]:
    """Write index.html and the tables for programs into a folder; runs below `home` add their curves.

    `found` are the tables of the results folder `root`, which has the published numbers too. `pictures` are those that
    `board.pictures.write_pictures` wrote into the same folder.
    """
    files = published_files(root)
    page = as_page(found, files, curves=log_curves(found, home), pictures=pictures)
    written = {out / "index.html": page}
    written |= {out / FILES[form]: RENDERERS[form](found, files) for form in ("md", "csv")}
    for path, text in written.items():
        write_text(path, text)
    return list(written)


def changes(root: Path, before: Path) -> str:
    """How the rows of a results folder differ from those of another, in Markdown."""
    if not before.is_dir():
        raise UserError(f"--against {before}: there is no such folder.")
    return deltas_page(deltas(tables(read_all(before)), measured_tables(root)))
