"""Descriptors kept by what they are made of: $VITRET_HOME/descriptors/<digest>/ with rows.npy and card.json.

The digest covers everything that can change a byte: weights and architecture, the switches of the protocol that act
before whitening, kind of device, arithmetic, images, and the version of the extracting code. The card says all of it in
words, so that `why` can tell two entries apart.
"""

import shutil
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from vitret.core.errors import DataError, did_you_mean, listed
from vitret.core.locks import locked
from vitret.core.protocol import Protocol, differences
from vitret.core.records import Descriptors
from vitret.core.shares import Share
from vitret.core.store import digest, file_sha256, read_json_object, write_json
from vitret.data.images import check
from vitret.describe.blocks import failed_file
from vitret.describe.extract import Progress, extract, extract_share, follow_shares, join_shares
from vitret.describe.request import Request, extraction_key
from vitret.describe.shares import remove_pieces

_ROWS, _CARD = "rows.npy", "card.json"


@dataclass(frozen=True, kw_only=True)
class Entry:
    """One folder of the cache; without a card it was never finished. `size` in bytes, `made` in seconds since 1970."""

    path: Path
    size: int
    made: float
    card: dict[str, Any] | None

    @property
    def name(self) -> str:
        return self.path.name


def folder(home: Path) -> Path:
    """Where the descriptors are."""
    return home / "descriptors"


def cached_extract(
    request: Request,
    *,
    home: Path,
    progress: Progress | None = None,
    say: Callable[[str], None] | None = None,
) -> Descriptors:
    """`extract`, unless the same descriptors are there already; two processes that want the same wait for each other.

    The request's `images_digest` must name the bytes of the images. Descriptors in which images failed that can be read
    now are made again.
    """
    key = extraction_key(request)
    place = folder(home) / digest(key)
    found = _read(place, key, request.protocol)
    if found is not None and not _can_be_read_now(request, found):
        return found
    with locked(folder(home) / f"{place.name}.lock", say or _silent):
        found = _read(place, key, request.protocol)
        if found is not None and _can_be_read_now(request, found):
            shutil.rmtree(place)
            found = None
        return _made(request, place, key, progress) if found is None else found


def cached_share(request: Request, share: Share, *, home: Path, progress: Progress | None = None) -> None:
    """One share of what `cached_extract` makes, unless the descriptors are there already.

    No lock is held: other shares are at work.
    """
    key = extraction_key(request)
    place = folder(home) / digest(key)
    found = _read(place, key, request.protocol)
    if found is None or _can_be_read_now(request, found):
        extract_share(request, share, out=place / _ROWS, progress=progress)


def joined_shares(
    request: Request,
    shares: int,
    *,
    home: Path,
    wait: bool = False,
    progress: Progress | None = None,
    say: Callable[[str], None] | None = None,
) -> Descriptors | None:
    """What `cached_extract` returns, once every share is done; before that None, or with `wait` not yet."""
    key = extraction_key(request)
    place = folder(home) / digest(key)
    if wait and _read(place, key, request.protocol) is None:
        follow_shares(request, shares, (place / _CARD).is_file, out=place / _ROWS, progress=progress)
    with locked(folder(home) / f"{place.name}.lock", say or _silent):
        found = _read(place, key, request.protocol)
        if found is not None and _can_be_read_now(request, found):
            (place / _CARD).unlink()
            found = None
        if found is None:
            joined = join_shares(request, shares, out=place / _ROWS)
            if joined is None:
                return None
            found = joined[0]
            _write_card(request, place, key, found, seconds=joined[1])
        remove_pieces(place / _ROWS)  # now that the card is there
        return found


def _can_be_read_now(request: Request, found: Descriptors) -> bool:
    """Whether an image that could not be read is back: a disk that was not mounted, a permission."""
    return any(check(request.images.file(int(row))).problem is None for row in found.failed)


def _made(request: Request, place: Path, key: dict[str, Any], progress: Progress | None) -> Descriptors:
    """Extract into the folder of an entry and write its card."""
    began = time.monotonic()
    described = extract(request, out=place / _ROWS, progress=progress)
    _write_card(request, place, key, described, seconds=time.monotonic() - began)
    return described


def _write_card(
    request: Request, place: Path, key: dict[str, Any], described: Descriptors, *, seconds: float
) -> None:
    out = place / _ROWS
    card = {
        "key": key,
        "rows": len(described),
        "dim": described.dim,
        "root": str(request.images.root),
        "failed": read_json_object(failed_file(out)) if failed_file(out).is_file() else {},
        "sha256": file_sha256(out),
        "seconds": round(seconds, 3),
    }
    write_json(place / _CARD, card)


def entry_of(home: Path, request: Request) -> Entry:
    """Where `cached_extract` keeps what it makes of a request; it must be there."""
    return _entry(folder(home) / digest(extraction_key(request)))


def _silent(_: str) -> None:
    return


# What every card has.
_KEYS = frozenset({"key", "rows", "dim", "failed", "sha256", "seconds"})


def _read(place: Path, key: dict[str, Any], protocol: Protocol) -> Descriptors | None:
    """The finished descriptors of a folder; None where there are none, `DataError` where they are damaged."""
    if not (place / _CARD).is_file():
        return None
    again = f"Remove it: vitret cache prune {place.name[:12]}"
    card = read_json_object(place / _CARD, advice=again)
    problem = _shape_problem(place, card)
    if problem:
        raise DataError(f"{place}: {problem}. {again}")
    rows = np.load(place / _ROWS, mmap_mode="r" if card["rows"] and card["dim"] else None)
    return Descriptors(
        rows=rows,
        images_digest=key["images"],
        model_digest=key["model"],
        protocol=protocol.fingerprint,
        failed=np.array(sorted(int(row) for row in card["failed"]), np.int64),
    )


def _shape_problem(place: Path, card: dict[str, Any]) -> str | None:
    if missing := _KEYS - card.keys():
        return f"{_CARD} has no {min(missing)}"
    try:
        rows = np.load(place / _ROWS, mmap_mode="r" if card["rows"] and card["dim"] else None)
    except (OSError, ValueError, EOFError) as error:
        return f"rows.npy cannot be read ({error})"
    if rows.shape != (card["rows"], card["dim"]):
        return f"rows.npy is {rows.shape}, the card says ({card['rows']}, {card['dim']})"
    return None


def ls(home: Path) -> list[Entry]:
    """Every entry, the newest first, unfinished ones included."""
    if not folder(home).is_dir():
        return []
    entries = [_entry(path) for path in folder(home).iterdir() if path.is_dir()]
    return sorted(entries, key=lambda entry: (-entry.made, entry.name))


def _entry(path: Path) -> Entry:
    return Entry(
        path=path,
        size=sum(file.stat().st_size for file in path.rglob("*") if file.is_file()),
        made=path.stat().st_mtime,
        card=_card(path),
    )


def _card(path: Path) -> dict[str, Any] | None:
    """What an entry was made from; None where it is unfinished or its card is damaged, so that it can be pruned."""
    try:
        card = read_json_object(path / _CARD)
    except DataError:
        return None
    return card if card.keys() >= _KEYS else None


def verify(home: Path) -> Iterator[tuple[Entry, str | None]]:
    """Each finished entry with what is wrong with it, or None: shape, checksum, name, unit length."""
    for entry in ls(home):
        if entry.card is not None:
            yield entry, _problem(entry, entry.card)
        elif (entry.path / _CARD).is_file():
            yield entry, "card.json is damaged"


def _problem(entry: Entry, card: dict[str, Any]) -> str | None:
    if digest(card["key"]) != entry.name:
        return "its name is not the digest of its card"
    problem = _shape_problem(entry.path, card)
    if problem:
        return problem
    if file_sha256(entry.path / _ROWS) != card["sha256"]:
        return "the bytes of rows.npy have changed since it was written"
    rows = np.load(entry.path / _ROWS, mmap_mode="r" if card["rows"] and card["dim"] else None)
    for start in range(0, len(rows), 65536):
        length = np.linalg.norm(rows[start : start + 65536], axis=1)
        if not np.all((np.abs(length - 1) < 1e-3) | (length == 0)):
            return "some rows have not unit length"
    return None


def prune(
    home: Path,
    *,
    names: tuple[str, ...] = (),
    unfinished: bool = False,
    older_than_days: float | None = None,
    dry: bool = False,
) -> list[Entry]:
    """Remove the named entries (unique beginnings will do), the unfinished, or those made so many days ago.

    Returns what was removed, or with `dry` what would be. An entry that another process writes is waited for.
    """
    entries = ls(home)
    chosen = {find(home, name).name for name in names}
    now = time.time()
    doomed = [
        entry
        for entry in entries
        if entry.name in chosen
        or (unfinished and entry.card is None)
        or (older_than_days is not None and now - entry.made > older_than_days * 86400)
    ]
    for entry in doomed if not dry else []:
        with locked(folder(home) / f"{entry.name}.lock", _silent):
            shutil.rmtree(entry.path)
    return doomed


def find(home: Path, name: str) -> Entry:
    """The entry whose digest begins with `name`."""
    entries = ls(home)
    matches = [entry for entry in entries if entry.name.startswith(name)]
    if len(matches) == 1:
        return matches[0]
    if matches:
        raise DataError(f"'{name}' begins {len(matches)} entries: {listed(e.name[:12] for e in matches)}.")
    raise DataError(
        f"There are no descriptors '{name}' in {folder(home)}. {did_you_mean(name, [e.name[:12] for e in entries])}"
    )


def why(home: Path, name: str, other: str | None = None) -> tuple[Entry, Entry, dict[str, tuple[Any, Any]]]:
    """What tells one entry from another: dotted key → (left, right). Without `other`, from the one most like it."""
    one = find(home, name)
    if other is not None:
        rivals = [find(home, other)]
    else:
        rivals = [e for e in ls(home) if e.name != one.name and e.card is not None]
    if one.card is None or not rivals or rivals[0].card is None:
        raise DataError(f"{one.path}: there is no finished entry to compare with. See: vitret cache ls")
    left = one.card["key"]
    apart = [(differences(left, rival.card["key"]), rival) for rival in rivals if rival.card is not None]
    found, nearest = min(apart, key=lambda pair: len(pair[0]))
    return one, nearest, found
