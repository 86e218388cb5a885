"""Official files in a user's folder: what kind they are, and shards found, checked, and unpacked or linked.

Nothing is written in that folder. Shards are found as their publisher lays them, or flat. An md5 is taken from the
publisher's text where that lies beside the tars or in `md5sum/`; an archive without one is read to its end all the
same, and the set then says "not confirmed".
"""

from __future__ import annotations

from collections.abc import Container, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal
from urllib.parse import urlsplit

from vitret.core.errors import DataError, UserError
from vitret.core.locks import locked
from vitret.core.store import machine_error
from vitret.data.card import Card, Shards
from vitret.data.fetch.archive import extract
from vitret.data.fetch.hashed_files import Member
from vitret.data.fetch.member_names import Selection
from vitret.data.fetch.partial_file import hash_file
from vitret.data.fetch.remote_file import md5_in
from vitret.data.fetch.tar_index import index_path, make_index
from vitret.data.fetch.unpack import lock_of, write_record
from vitret.data.formats.trees import first_existing
from vitret.data.layout.links import symlink_or_copy


@dataclass(frozen=True, kw_only=True)
class LocalShard:
    """The archive of shard `n` and the publisher's text with its md5, None where there is none."""

    n: int
    path: Path
    md5_text: Path | None


@dataclass(frozen=True, kw_only=True)
class LocalFiles:
    """What a user's folder has of a set: shards (by series), its archives as published, or an unpacked tree."""

    folder: Path
    kind: Literal["tree", "archives", "shards"]
    shards: Sequence[Sequence[LocalShard]]


def look_into(folder: Path, card: Card, *, packed: bool) -> LocalFiles:
    """Find out what a folder has of a set; a folder that is not there raises `UserError`.

    Archives can be verified and a tree cannot, so archives count first; in a tree, only its own lists are checked.
    """
    if not folder.is_dir():
        raise UserError(f"--from {folder}: there is no such folder.")
    shards = find_local_shards(card, folder, packed=packed)
    archives = [file for file in card.files if file.archive]
    if any(shards):
        return LocalFiles(folder=folder, kind="shards", shards=shards)
    if archives and all((folder / file.name).is_file() for file in archives):
        return LocalFiles(folder=folder, kind="archives", shards=shards)
    return LocalFiles(folder=folder, kind="tree", shards=shards)


def find_local_shards(card: Card, folder: Path, *, packed: bool = False) -> list[list[LocalShard]]:
    """What a folder has of each series, by number; empty lists where it holds an unpacked tree, or nothing.

    Beside their unpacked tree archives count only where they are to stay packed.
    """
    return [
        [] if not packed and _is_unpacked(card, series, folder) else _of_series(card, series, folder)
        for series in card.shards
    ]


def _is_unpacked(card: Card, series: Shards, source: Path) -> bool:
    folders = [source / folder for folder in _folders(card, series)]
    return any(entry.is_dir() for folder in folders if folder.is_dir() for entry in folder.iterdir())


def _folders(card: Card, series: Shards) -> list[str]:
    """Where users keep the images, and so the archives, of a series."""
    return [place for places in card.tree.values() for place in places if _last(place) == series.into]


def _of_series(card: Card, series: Shards, source: Path) -> list[LocalShard]:
    published = _last(urlsplit(series.url).path)
    # images_000.tar of no folder may be of the index or of the queries.
    alone = sum(_last(urlsplit(other.url).path) == published for other in card.shards) == 1
    patterns = [f"{folder}/{name}" for folder in _folders(card, series) for name in (published, series.name)]
    patterns += [series.name, *([published] if alone else [])]
    found = []
    for n in series.numbers:
        path = first_existing(source, (pattern.format(n=n) for pattern in patterns))
        if path is not None and path.is_file() and not index_path(path).is_file():
            found.append(LocalShard(n=n, path=path, md5_text=_md5_text(series, n, source, path.parent)))
    return found


def _md5_text(series: Shards, n: int, source: Path, beside: Path) -> Path | None:
    if series.md5_url is None:
        return None
    name = _last(series.md5_url.format(n=n))
    places = (beside, beside.parent / "md5sum" / series.into, source / "md5sum" / series.into)
    return next((folder / name for folder in places if (folder / name).is_file()), None)


def _last(path: str) -> str:
    return path.rpartition("/")[2]


def find_lists(card: Card, folder: Path) -> Mapping[str, Path]:
    """Where the card's lists are, by name; one that the tree needs and that is missing raises `DataError`."""
    found = {}
    for file in card.files:
        parts = [(key, [p for p in paths if _last(p) == file.name]) for key, paths in card.tree.items()]
        path = first_existing(folder, (file.name, *(place for _, places in parts for place in places)))
        if path is not None:
            found[file.name] = path
        elif any(places and not key.endswith("?") for key, places in parts):
            where = f" It is at {file.urls[0]}" if file.urls else ""
            raise DataError(
                f"{folder}: has archives of {card.name} but not {file.name}. Put it there too.{where}"
            )
    return found


def select(
    card: Card, found: Sequence[Sequence[LocalShard]], numbers: Sequence[Sequence[int]], *, named: bool
) -> list[list[LocalShard]]:
    """Of the shards found the numbers asked for; raises `DataError` for a series of which there is none.

    With `named` the numbers of the first series were asked for one by one, and all of them must be there.
    """
    selected = [
        [shard for shard in shards if shard.n in set(asked)]
        for shards, asked in zip(found, numbers, strict=True)
    ]
    if named and (missing := sorted(set(numbers[0]) - {shard.n for shard in selected[0]})):
        raise DataError(
            f"--shards: {card.shards[0].file(missing[0]).name} of {card.name} is not in the folder."
        )
    for series, shards in zip(card.shards, selected, strict=True):
        if not shards:
            raise DataError(
                f"The folder has archives of {card.name} but none of {series.into}/. Put some there too, as "
                f"{series.into}/{_last(series.url.format(n=series.first))}."
            )
    return selected


def take_shard(
    shard: LocalShard,
    series: Shards,
    folder: Path,
    state: Path,
    *,
    wanted: Container[str] | None,
    packed: bool,
) -> None:
    """Unpack one archive into `folder` unless its record in `state` says that this was done.

    Packed, the tar is linked and indexed there. Raises DataError for an archive that is not what its md5 says or that
    is broken; it is left as it is.
    """
    name = series.file(shard.n).name
    record = state / f"{name}.parquet"
    with locked(lock_of(record)):
        if record.exists():
            return
        _check(shard)
        if packed:
            members = _link_tar(shard, folder / name, series)
        else:
            members = extract(shard.path, folder, Selection(strip_prefix=series.strip_prefix, wanted=wanted))
        write_record(record, members)


def _link_tar(shard: LocalShard, place: Path, series: Shards) -> list[Member]:
    """Link a tar to its place and index it there."""
    try:
        place.parent.mkdir(parents=True, exist_ok=True)
        symlink_or_copy(shard.path.absolute(), place)
    except OSError as error:
        raise machine_error(place, error) from error
    return make_index(place, strip_prefix=series.strip_prefix)


def _check(shard: LocalShard) -> None:
    if shard.md5_text is None:
        return
    expected = md5_in(shard.md5_text)
    if expected is None:
        raise DataError(f"{shard.md5_text}: does not begin with an md5. Remove it, or fetch it again.")
    found = hash_file(shard.path, md5=True)[2]
    if found != expected:
        raise DataError(
            f"{shard.path}: md5 is {found}, expected {expected}. It is not the official file, or it is damaged: fetch "
            "it again."
        )
