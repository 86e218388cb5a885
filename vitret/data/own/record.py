"""What was found in the user's own folder, ready to be written: read and checked before the first link is made."""

from __future__ import annotations

import unicodedata
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from vitret.core.errors import DataError, shortened
from vitret.data.layout.write import LayoutWriter


@dataclass(frozen=True, kw_only=True, eq=False)
class OwnData:
    """What was found: images (path below `root` or absolute → name in the set), and how they fill the tables.

    `source` identifies the folder by its content; `remarks` are for the user, and so is `left_out`, what was passed
    over.
    """

    kind: str
    root: Path
    paths: Sequence[str]
    names: Sequence[str]
    fill: Callable[[LayoutWriter], None]
    source: dict[str, Any]
    remarks: Sequence[str] = ()
    left_out: Sequence[str] = ()

    @property
    def notes(self) -> list[str]:
        """All that the user should know."""
        return [*self.remarks, *self.left_out]

    def write(self, writer: LayoutWriter) -> None:
        """Hand everything to the writer."""
        writer.images(self.root, self.paths, self.names)
        self.fill(writer)
        writer.source(self.source)
        writer.card({"name": writer.name, "title": f"Own data: {self.kind}", "notes": self.notes})


def _is_file(path: Path) -> bool:
    try:
        return path.is_file()
    except OSError:  # a name too long for any file
        return False


def spelt_as_there(root: Path, paths: Sequence[str]) -> list[str]:
    """The paths as the disk spells them: the backslash of Windows as a slash, é as one letter or as e with an accent.

    What is found in no spelling stays as it is.
    """
    return [path if path.isascii() and "\\" not in path else _spelt_as_there(root, path) for path in paths]


def _spelt_as_there(root: Path, path: str) -> str:
    slashes = path.replace("\\", "/")
    ways = [path, slashes, unicodedata.normalize("NFC", slashes), unicodedata.normalize("NFD", slashes)]
    return next((way for way in ways if _is_file(root / way)), path)


def require_files(root: Path, paths: Sequence[str], where: Callable[[int], str]) -> None:
    """Raise `DataError` with the number and the first of the files that are not there."""
    missing = [i for i, path in enumerate(paths) if not _is_file(root / path)]
    if missing:
        raise DataError(
            f"{where(missing[0])}: {len(missing)} of {len(paths)} images are missing; first: "
            f"{shortened(str(root / paths[missing[0]]), 400)}. Paths are relative to the table's folder."
        )
