"""An archive unpacked once: its record names every file it held, and is written when all of them are on the disk."""

import os
from collections.abc import Sequence
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from vitret.core.errors import DataError
from vitret.core.locks import locked
from vitret.core.store import writing
from vitret.data.fetch.archive import extract
from vitret.data.fetch.hashed_files import Member, Progress
from vitret.data.fetch.member_names import EVERYTHING, Selection


def unpack_once(
    archive: Path,
    folder: Path,
    record: Path,
    *,
    selection: Selection = EVERYTHING,
    progress: Progress | None = None,
) -> list[Member]:
    """Unpack `archive` into `folder` unless `record` says that this was done; returns the files.

    The archive may be gone once the record is there. Killed in between, the next call unpacks again over what is
    there; a second process waits for the first. Errors are those of `extract`.
    """
    with locked(lock_of(record)):
        if not record.exists():
            write_record(record, extract(archive, folder, selection, progress=progress))
        return read_record(record)


def lock_of(record: Path) -> Path:
    """The file that keeps two processes from unpacking the same archive."""
    return record.with_name(f".{record.name}.lock")


def write_record(record: Path, members: Sequence[Member]) -> None:
    """Promise that these files are on the disk: they reach it before the record does."""
    os.sync()
    table = pa.table(
        {
            "path": pa.array([member.path for member in members], pa.string()),
            "size": pa.array([member.size for member in members], pa.int64()),
            "sha256": pa.array([bytes.fromhex(member.sha256) for member in members], pa.binary(32)),
        }
    )
    with writing(record) as handle:
        pq.write_table(table, handle, compression="zstd")


def read_record(record: Path) -> list[Member]:
    """The files that an archive held; raises DataError where there is no record, or a damaged one."""
    try:
        table = pq.read_table(record)
        columns = [table[name].to_pylist() for name in ("path", "size", "sha256")]
    except (OSError, pa.ArrowException, KeyError, UnicodeDecodeError) as error:
        raise DataError(
            f"{record}: no readable record of what was unpacked. Remove it, then run the same command again."
        ) from error
    return [Member(path=p, size=s, sha256=h.hex()) for p, s, h in zip(*columns, strict=True)]
