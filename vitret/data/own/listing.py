"""What lies in the user's folder: images by their suffix, folders, and everything that is passed over, to be told."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath

from vitret.core.errors import MachineError, UserError, shortened
from vitret.core.store import digest
from vitret.data.formats.pictures import SUFFIXES

KINDS_SHOWN = 5


@dataclass(kw_only=True)
class Listing:
    """Reads folders below `root` and remembers what it passed over; hidden files and folders are not counted."""

    root: Path
    loose: set[str] = field(default_factory=set)
    others: set[str] = field(default_factory=set)
    nameless: set[str] = field(default_factory=set)
    deeper: set[str] = field(default_factory=set)

    def folders(self, below: str = "") -> list[str]:
        """Names of the folders directly in `root/below`, sorted; links to folders are folders."""
        return sorted(entry.name for entry in self._entries(below) if entry.is_dir())

    def images(self, below: str = "", *, beside_classes: bool = False) -> list[str]:
        """Paths below `root` of the images directly in `root/below`, sorted."""
        found = []
        for entry in self._entries(below):
            path = f"{below}/{entry.name}" if below else entry.name
            if entry.is_dir():
                if below and not beside_classes:
                    self.deeper.add(path)
            elif entry.suffix.lower() in SUFFIXES and entry.is_file():
                found.append(path)
            else:
                self.others.add(path)
        return sorted(found)

    def classes(self, below: str = "") -> dict[str, list[str]]:
        """The images of each class folder of `root/below` by its name; images beside class folders are passed over."""
        found = {name: self.images(f"{below}/{name}" if below else name) for name in self.folders(below)}
        if any(found.values()):
            self.loose.update(self.images(below, beside_classes=True))
        return found

    def images_everywhere(self) -> list[str]:
        """Paths below `root` of all images in it and its folders, sorted; a folder with several links counts once."""
        found: list[str] = []
        seen: set[Path] = set()
        waiting = [""]
        while waiting:
            below = waiting.pop()
            real = (self.root / below).resolve()
            if real in seen:
                continue
            seen.add(real)
            found += self.images(below, beside_classes=True)
            waiting += [f"{below}/{name}" if below else name for name in self.folders(below)]
        return sorted(found)

    def _entries(self, below: str) -> list[Path]:
        folder = self.root / below
        try:
            entries = [path for path in folder.iterdir() if not path.name.startswith(".")]
        except OSError as error:
            raise MachineError(f"{folder}: cannot be read ({error.strerror or error}).") from error
        wrong = [path for path in entries if not _is_text(path.name)]
        self.nameless.update(_shown(path.relative_to(self.root)) for path in wrong)
        return [path for path in entries if _is_text(path.name)]

    def notes(self) -> list[str]:
        """A sentence for each kind of what was passed over, with its number and the first."""
        notes = []
        if self.loose:
            lie = "1 image lies" if len(self.loose) == 1 else f"{len(self.loose)} images lie"
            notes.append(f"{lie} beside the class folders, left out; first: {_first(self.loose)}")
        if self.others:
            notes.append(
                f"{len(self.others)} files are no images by their suffix and are left out ({_kinds(self.others)}); "
                f"first: {_first(self.others)}"
            )
        if self.deeper:
            notes.append(
                f"{len(self.deeper)} folders inside class folders are not looked into; first: {_first(self.deeper)}"
            )
        if self.nameless:
            notes.append(
                f"{len(self.nameless)} names are not UTF-8 and are left out, rename them to use them; first: "
                f"{_first(self.nameless)}"
            )
        return notes

    def digest(self, paths: list[str]) -> str:
        """The same for the same paths with the same sizes."""
        return digest([[path, (self.root / path).stat().st_size] for path in paths])


def _is_text(name: str) -> bool:
    """False where bytes of a name that are not UTF-8 came as halves of surrogate pairs (PEP 383)."""
    return name.isascii() or not any("\ud800" <= letter <= "\udfff" for letter in name)


def _shown(path: Path) -> str:
    return str(path).encode(errors="surrogateescape").decode(errors="backslashreplace")


def _first(paths: set[str]) -> str:
    return shortened(min(paths))


def _kinds(paths: set[str]) -> str:
    counts = Counter(PurePosixPath(path).suffix.lower() or "without suffix" for path in paths).most_common()
    shown = ", ".join(f"{count} {kind}" for kind, count in counts[:KINDS_SHOWN])
    return shown + (", …" if len(counts) > KINDS_SHOWN else "")


def require_no_hold_out(hold_out: float | None, kind: str) -> None:
    """Raise `UserError` where `--hold-out` is given for a folder that has its own split."""
    if hold_out:
        raise UserError(f"--hold-out is for class folders; this is {kind}, which has its own split.")
