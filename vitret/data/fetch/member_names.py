"""From a member's name in an archive to the path of its file, or a refusal: no member leaves the folder."""

from collections.abc import Container
from dataclasses import dataclass
from pathlib import Path

from vitret.core.errors import DataError


@dataclass(frozen=True, kw_only=True)
class Selection:
    """Which files of an archive are unpacked, and under which paths.

    `strip_prefix` is taken off the names that have it; `flatten` leaves only the last part of each name; `wanted` holds
    the paths to unpack (None: all).
    """

    strip_prefix: str = ""
    flatten: bool = False
    wanted: Container[str] | None = None

    def path(self, name: str) -> str:
        """The path below the folder, in POSIX form."""
        path = "/".join(part for part in name.split("/") if part not in ("", "."))
        path = path.removeprefix(self.strip_prefix).lstrip("/")
        return path.rpartition("/")[2] if self.flatten else path

    def skips(self, name: str) -> bool:
        return self.wanted is not None and self.path(name) not in self.wanted


EVERYTHING = Selection()


class Targets:
    """The paths of an archive's files, each given once."""

    def __init__(self, archive: Path, selection: Selection) -> None:
        self._archive, self._selection = archive, selection
        self._given: set[str] = set()

    def check_folder(self, name: str) -> None:
        """Refuse a folder with an unsafe name; a safe one is made when a file needs it."""
        if problem := unsafe(name.rstrip("/")):
            raise DataError(f"{self._archive}: the folder {name!r} {problem}: refused.")

    def path(self, name: str) -> str:
        """The path of a file, or a refusal of its name."""
        if problem := unsafe(name):
            raise DataError(
                f"{self._archive}: the member {name!r} {problem}: refused, nothing of it was written."
            )
        path = self._selection.path(name)
        if not path:
            prefix = self._selection.strip_prefix
            raise DataError(f"{self._archive}: the member {name!r} has no name left after '{prefix}'.")
        if path in self._given:
            raise DataError(f"{self._archive}: two members would become {path!r}: refused.")
        self._given.add(path)
        return path


def unsafe(name: str) -> str | None:
    """Why a member's name is refused; None if it is harmless.

    >>> unsafe("jpg/a.jpg"), unsafe("../a.jpg")
    (None, "leads out of its folder ('..')")
    """
    parts = name.split("/")
    if name.startswith("/") or (len(name) > 1 and name[1] == ":"):
        return "has an absolute path"
    if ".." in parts:
        return "leads out of its folder ('..')"
    if "\\" in name or any(ord(letter) < 32 or ord(letter) == 127 for letter in name):
        return "has a backslash or a control character in its name"
    if len(parts) > 64 or any(len(part.encode()) > 255 for part in parts):
        return "has a name that is too long"
    return None
