"""Shards that a person fetched elsewhere: found as their publisher lays them or flat, checked, unpacked or linked.

Nothing is written in the person's folder. An md5 is taken from the publisher's text where that lies beside the tars or
in `md5sum/`; an archive without one is read to its end all the same, and the set then says "not confirmed".
"""

from __future__ import annotations

from collections.abc import Container, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

from vitret.core.errors import DataError
from vitret.core.locks import locked
from vitret.core.store import machine_error
from vitret.data.card import Card, Shards
from vitret.data.fetch.archive import extract
from vitret.data.fetch.member_names import Selection
from vitret.data.fetch.partial_file import hash_file
from vitret.data.fetch.remote_file import md5_in
from vitret.data.fetch.tar_index import index_path, make_index
from vitret.data.fetch.unpack import lock_of, write_record
from vitret.data.formats.trees import first_existing


@dataclass(frozen=True, kw_only=True)
class Held:
    """The archive of shard `n` and the publisher's text with its md5, None where there is none."""

    n: int
    path: Path
    md5_text: Path | None


def held_shards(card: Card, source: Path, *, packed: bool = False) -> list[list[Held]]:
    """What a folder has of each series, by number; empty lists where it holds an unpacked tree, or nothing.

    Beside their unpacked tree archives count only where they are to stay packed.
    """
    return [
        [] if not packed and _is_unpacked(card, series, source) else _of_series(card, series, source)
        for series in card.shards
    ]


def _is_unpacked(card: Card, series: Shards, source: Path) -> bool:
    folders = [source / folder for folder in _folders(card, series)]
    return any(entry.is_dir() for folder in folders if folder.is_dir() for entry in folder.iterdir())


def _folders(card: Card, series: Shards) -> list[str]:
    """Where people keep the images, and so the archives, of a series."""
    return [place for places in card.tree.values() for place in places if _last(place) == series.into]


def _of_series(card: Card, series: Shards, source: Path) -> list[Held]:
    published = _last(urlsplit(series.url).path)
    # images_000.tar of no folder may be of the index or of the queries.
    alone = sum(_last(urlsplit(other.url).path) == published for other in card.shards) == 1
    patterns = [f"{folder}/{name}" for folder in _folders(card, series) for name in (published, series.name)]
    patterns += [series.name, *([published] if alone else [])]
    held = []
    for n in series.numbers:
        path = first_existing(source, (pattern.format(n=n) for pattern in patterns))
        if path is not None and path.is_file() and not index_path(path).is_file():
            held.append(Held(n=n, path=path, md5_text=_md5_text(series, n, source, path.parent)))
    return held


def _md5_text(series: Shards, n: int, source: Path, beside: Path) -> Path | None:
    if series.md5_url is None:
        return None
    name = _last(series.md5_url.format(n=n))
    places = (beside, beside.parent / "md5sum" / series.into, source / "md5sum" / series.into)
    return next((folder / name for folder in places if (folder / name).is_file()), None)


def _last(path: str) -> str:
    return path.rpartition("/")[2]


def held_lists(card: Card, source: Path) -> Mapping[str, Path]:
    """Where the card's lists stand, by name; one that the tree needs and that is not there raises `DataError`."""
    places = {}
    for file in card.files:
        parts = [(key, [p for p in paths if _last(p) == file.name]) for key, paths in card.tree.items()]
        path = first_existing(source, (file.name, *(place for _, found in parts for place in found)))
        if path is not None:
            places[file.name] = path
        elif any(found and not key.endswith("?") for key, found in parts):
            where = f" It is at {file.urls[0]}" if file.urls else ""
            raise DataError(
                f"{source}: has archives of {card.name} but not {file.name}. Put it there too.{where}"
            )
    return places


def chosen(
    card: Card, held: Sequence[Sequence[Held]], numbers: Sequence[Sequence[int]], *, named: bool
) -> list[list[Held]]:
    """Of what is held the numbers asked for; raises `DataError` for a series of which there is none.

    With `named` the numbers of the first series were asked for one by one, and all of them must be there.
    """
    taken = [
        [one for one in found if one.n in set(asked)] for found, asked in zip(held, numbers, strict=True)
    ]
    if named and (missing := sorted(set(numbers[0]) - {one.n for one in taken[0]})):
        raise DataError(
            f"--shards: {card.shards[0].file(missing[0]).name} of {card.name} is not in the folder."
        )
    for series, one in zip(card.shards, taken, strict=True):
        if not one:
            raise DataError(
                f"The folder has archives of {card.name} but none of {series.into}/. Put some there too, as "
                f"{series.into}/{_last(series.url.format(n=series.first))}."
            )
    return taken


def take(
    held: Held,
    series: Shards,
    folder: Path,
    state: Path,
    *,
    wanted: Container[str] | None,
    packed: bool,
) -> None:
    """Bring one archive into `folder` unless its record in `state` says that this was done.

    Packed, the tar is linked and indexed there. Raises DataError for an archive that is not what its md5 says or that
    is broken; it is left as it is.
    """
    name = series.file(held.n).name
    record = state / f"{name}.parquet"
    with locked(lock_of(record)):
        if record.exists():
            return
        _check(held)
        if packed:
            place = folder / name
            try:
                folder.mkdir(parents=True, exist_ok=True)
                place.unlink(missing_ok=True)
                place.symlink_to(held.path.absolute())
            except OSError as error:
                raise machine_error(place, error) from error
            brought = make_index(place, strip_prefix=series.strip_prefix)
        else:
            selection = Selection(strip_prefix=series.strip_prefix, wanted=wanted)
            brought = extract(held.path, folder, selection)
        write_record(record, brought)


def _check(held: Held) -> None:
    if held.md5_text is None:
        return
    expected = md5_in(held.md5_text)
    if expected is None:
        raise DataError(f"{held.md5_text}: does not begin with an md5. Remove it, or fetch it again.")
    found = hash_file(held.path, md5=True)[2]
    if found != expected:
        raise DataError(
            f"{held.path}: md5 is {found}, expected {expected}. It is not the official file, or it is damaged: fetch "
            "it again."
        )
