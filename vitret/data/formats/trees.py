"""Where the parts of an official distribution stand in the folders users have."""

from collections.abc import Iterable, Iterator
from os import scandir
from pathlib import Path

from vitret.core.errors import DataError
from vitret.data.card import Card


def locate(source: Path, card: Card) -> dict[str, Path]:
    """Path of each part of the card's tree, in the first known layout that has it.

    Raises `DataError` naming every missing part and where it was looked for. A part whose name ends with `?` in
    the card is optional and left out when absent.
    """
    found: dict[str, Path] = {}
    missing: list[str] = []
    for part, candidates in card.tree.items():
        path = first_existing(source, candidates)
        if path is not None:
            found[part.removesuffix("?")] = path
        elif not part.endswith("?"):
            more = f" and {len(candidates) - 3} more places" if len(candidates) > 3 else ""
            missing.append(f"{part} (looked for {', '.join(candidates[:3])}{more})")
    if missing:
        raise DataError(f"{source}: this is not a tree of {card.name}; missing: {'; '.join(missing)}.")
    return found


def first_existing(source: Path, candidates: Iterable[str]) -> Path | None:
    """The first of the candidates that exists below the source."""
    return next((source / candidate for candidate in candidates if (source / candidate).exists()), None)


def layouts(names: Iterable[str], folders: Iterable[str]) -> tuple[str, ...]:
    """Every name below every folder, folders first in order: the candidates of one part.

    >>> layouts(["jpg"], ["", "oxford5k"])
    ('jpg', 'oxford5k/jpg')
    """
    return tuple(f"{folder}/{name}" if folder else name for folder in folders for name in names)


def walk_files(folder: Path, inside: str = "") -> Iterator[str]:
    """Relative paths of all files below a folder, in no order; follows links, names with `/` on every system."""
    with scandir(folder / inside) as entries:
        for entry in entries:
            path = f"{inside}/{entry.name}" if inside else entry.name
            if entry.is_dir():
                yield from walk_files(folder, path)
            else:
                yield path
