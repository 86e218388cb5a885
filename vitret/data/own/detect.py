"""The user's own photographs: which of the accepted forms a folder has, and what it holds, before anything is written.

In this order: `gnd_NAME.json` or `.pkl` beside `jpg/` (the revisited form); a table, CSV or parquet, in the column
names of Open Metric Learning (`table.py`); one folder per class; a flat folder of images, a set of distractors.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path

from vitret.core.errors import DataError, UserError
from vitret.core.store import file_sha256
from vitret.data.formats.revisited import GroundTruth, read_revisited
from vitret.data.layout.parts import Side
from vitret.data.layout.write import LayoutWriter
from vitret.data.own.folders import read_folders
from vitret.data.own.record import OwnData
from vitret.data.own.table import read_own_table

TABLES = (".csv", ".tsv", ".parquet")
TRUTHS = (".json", ".pkl", ".pickle")
# Suffixes tried for a name of a ground truth, which usually has none; the first is that of the official sets.
ENDINGS = ("", ".jpg", ".jpeg", ".png", ".JPG", ".JPEG", ".PNG", ".webp")


def read_own(source: Path, name: str, *, hold_out: float | None = None) -> OwnData:
    """Look at a folder (or a table file) and read it; `hold_out` is for class folders only: see `read_folders`."""
    if not source.exists():
        raise UserError(f"--from {source}: there is no such folder or file.")
    if source.is_file():
        if source.suffix.lower() not in TABLES:
            raise UserError(
                f"--from {source}: a file must be a table, .csv, .tsv or .parquet; or give the folder."
            )
        return _without_hold_out(read_own_table(source), hold_out)
    truths = _truths_in(source)
    if truths:
        own = [path for path in truths if path.stem == f"gnd_{name}"]
        if own:
            return _without_hold_out(read_own_revisited(own[0]), hold_out)
        theirs = truths[0].stem.removeprefix("gnd_")
        raise UserError(
            f"{source}: has {truths[0].name} but no gnd_{name}.pkl or .json. Name the set as the file says: "
            f"vitret prepare {theirs} --from {source}"
        )
    table = _table_in(source, name)
    if table is not None:
        return _without_hold_out(read_own_table(table), hold_out)
    return read_folders(source, hold_out=hold_out)


def _without_hold_out(own: OwnData, hold_out: float | None) -> OwnData:
    if hold_out:
        raise UserError(f"--hold-out is for class folders; this is {own.kind}, which has its own split.")
    return own


def _truths_in(folder: Path) -> list[Path]:
    """Files in the revisited form, whatever the case of their suffix; JSON before pickles."""
    found = [path for path in folder.glob("gnd_*") if path.suffix.lower() in TRUTHS and path.is_file()]
    return sorted(found, key=lambda path: (TRUTHS.index(path.suffix.lower()), path.name))


def _table_in(folder: Path, name: str) -> Path | None:
    """The one table of a folder; of several, `NAME.*` or `df.*`, as Open Metric Learning calls it."""
    tables = sorted(path for path in folder.iterdir() if path.suffix.lower() in TABLES and path.is_file())
    if len(tables) <= 1:
        return tables[0] if tables else None
    named = [path for path in tables if path.stem in (name, "df")]
    if len(named) == 1:
        return named[0]
    shown = ", ".join(path.name for path in tables[:5])
    raise UserError(f"{folder}: holds several tables ({shown}). Say which: --from {tables[0]}")


def read_own_revisited(path: Path) -> OwnData:
    """`gnd_NAME.*` with its images in `jpg/` beside it."""
    truth = read_revisited(path)
    folder = path.parent / "jpg"
    if not folder.is_dir():
        raise DataError(f"{folder}: no such folder; the images of {path.name} belong there.")
    names = _with_endings(path, folder, [*truth.database, *truth.queries])
    database, queries = names[: len(truth.database)], names[len(truth.database) :]
    every = sorted(set(names))
    return OwnData(
        kind="revisited ground truth",
        root=folder,
        paths=every,
        names=every,
        fill=lambda writer: _fill_revisited(writer, truth, database, queries),
        source={"kind": "revisited", "sha256": file_sha256(path)},
    )


def _fill_revisited(
    writer: LayoutWriter, truth: GroundTruth, database: Sequence[str], queries: Sequence[str]
) -> None:
    writer.evaluation(Side(database), Side(queries, boxes=truth.boxes), judgements=truth.judgements)


def _with_endings(path: Path, folder: Path, names: Sequence[str]) -> list[str]:
    there = {entry.relative_to(folder).as_posix() for entry in _files(folder)}
    found = [next((name + end for end in ENDINGS if name + end in there), None) for name in names]
    missing = [name for name, file in zip(names, found, strict=True) if file is None]
    if missing:
        raise DataError(
            f"{path}: {len(missing)} of {len(names)} images are missing; first: {folder / missing[0]}.jpg. Is the copy "
            "complete?"
        )
    return [file for file in found if file is not None]


def _files(folder: Path) -> Iterable[Path]:
    return (path for path in folder.rglob("*") if path.is_file())
