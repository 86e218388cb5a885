"""What an interrupted attempt at a set left behind and the finished set does not name."""

from __future__ import annotations

import os
from pathlib import Path

from vitret.data.fetch.tar_index import index_path
from vitret.data.layout.parquet import Bytes


def remove_leftovers(part: Path, tables: set[str], paths: Bytes) -> None:
    """Remove what an earlier attempt left below `part`: files that are no table, images that no table names."""
    for entry in part.iterdir():
        if entry.name not in tables and entry.name != "images":
            entry.unlink()
    named = {path.decode() for path in paths.tolist()}
    for tar in {name[: name.index(".tar/") + 4] for name in named if ".tar/" in name}:
        named |= {tar, index_path(Path(tar)).as_posix()}
    images = part / "images"
    for folder, subfolders, files in os.walk(images, topdown=False):
        here = Path(folder)
        inside = here.relative_to(images)
        for name in files:
            if (inside / name).as_posix() not in named:
                (here / name).unlink()
        for name in subfolders:
            place = here / name
            if place.is_symlink():
                prefix = f"{(inside / name).as_posix()}/"
                if not any(path.startswith(prefix) for path in named):
                    place.unlink()
            elif not any(place.iterdir()):
                place.rmdir()
