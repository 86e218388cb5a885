"""What preparing a set would cost, before the first byte: files, bytes, disk, terms. Touches nothing."""

from __future__ import annotations

import re
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from vitret.core.errors import UserError
from vitret.data.card import Card, Shards
from vitret.data.prepare.disk_budget import affordable
from vitret.data.prepare.shared_archives import offers
from vitret.data.prepare.terms import accepted, statement


@dataclass(frozen=True, kw_only=True)
class PlannedFile:
    """One file or one series of shards; `size` in bytes, None where nobody states it, `exact` where it is verified."""

    name: str
    url: str
    size: int | None
    exact: bool
    hash_source: str


@dataclass(frozen=True, kw_only=True)
class Plan:
    """Bytes to fetch (as far as known), disk needed and free, terms; `by_hand` says what a person must do first."""

    set: str
    title: str
    files: tuple[PlannedFile, ...]
    fetch_bytes: int
    sizes_unknown: int
    disk_needed: int
    disk_free: int
    shards: str
    images: str
    terms: str
    terms_accepted: bool
    gated: str
    by_hand: str

    def as_dict(self) -> dict[str, Any]:
        return asdict(self)

    def lines(self) -> list[str]:
        """The plan for a person, a line a fact."""
        more = f", and {self.sizes_unknown} files whose size nobody states" if self.sizes_unknown else ""
        lines = [
            f"{self.set}: {self.title}",
            f"  fetch    {readable(self.fetch_bytes)}{more}",
            f"  disk     {readable(self.disk_needed)} needed, {readable(self.disk_free)} free",
        ]
        if self.shards:
            lines.append(f"  shards   {self.shards}")
        if self.images:
            lines.append(f"  images   {self.images}")
        lines += [
            f"  file     {file.name}  {_size(file)}  hash: {file.hash_source}  {file.url}"
            for file in self.files
        ]
        lines.append(f"  terms    {'accepted: ' if self.terms_accepted else ''}{self.terms}")
        if self.by_hand:
            lines.append(f"  by hand  {self.by_hand}")
        return lines


def make_plan(
    card: Card,
    data_root: Path,
    *,
    shards: str | None = None,
    max_disk: int | None = None,
    adopt: bool = False,
    packed: bool = False,
    keep: bool = False,
    before: Sequence[str] = (),
) -> Plan:
    """The plan for a set; adopting a folder fetches nothing and needs room for the tables only.

    Packed, a set keeps its archives whole, with the images that it has no use for; `keep` leaves them beside the
    images. What a sister set has, prepared or `before` this one in the same command, is linked and takes no room.
    Raises UserError for shards or a bound (`max_disk`) that the set cannot be cut by.
    """
    check_cut(card, shards=shards, max_disk=max_disk)
    chosen = [choose(series, shards if i == 0 else None) for i, series in enumerate(card.shards)]
    offered = {} if adopt else offers(card, data_root, packed=packed, before=before)
    linked = [_among(series, numbers, offered) for series, numbers in zip(card.shards, chosen, strict=True)]
    fetched = [sorted(set(asked) - set(known)) for asked, known in zip(chosen, linked, strict=True)]
    if max_disk is not None:
        fetched = affordable(card, fetched, max_disk, packed=packed, keep=keep)
        chosen = [sorted({*new, *known}) for new, known in zip(fetched, linked, strict=True)]
    files = () if adopt else _files(card, fetched, offered)
    fetch_bytes = sum(file.size or 0 for file in files)
    disk_needed = 0 if adopt else fetch_bytes if packed else _disk(card, fetched, offered, keep=keep)
    existing = next(folder for folder in (data_root, *data_root.absolute().parents) if folder.exists())
    return Plan(
        set=card.name,
        title=card.title,
        files=files,
        fetch_bytes=fetch_bytes,
        sizes_unknown=sum(file.size is None for file in files),
        disk_needed=disk_needed if max_disk is None else min(disk_needed, max_disk),
        disk_free=shutil.disk_usage(existing).free,
        shards=", ".join(
            f"{len(numbers)} of {series.count} ({series.into})"
            for series, numbers in zip(card.shards, chosen, strict=True)
        )
        + ("" if max_disk is None else f", about what {readable(max_disk)} hold"),
        images=_linked(card, chosen, offered),
        terms=statement(card),
        terms_accepted=accepted(data_root, card) is not None,
        gated=card.gated,
        by_hand="" if adopt else card.by_hand,
    )


def check_cut(card: Card, *, shards: str | None, max_disk: int | None) -> None:
    """Raise `UserError` where a part is asked for of a set that cannot be had in part."""
    option = "--max-disk" if max_disk is not None else "--shards" if shards is not None else None
    if option is not None and not card.shards:
        raise UserError(
            f"{option}: {card.name} is no series of archives, so there is no part of it to prepare; it needs "
            f"{readable(card.needs_disk)} of disk. Leave {option} out."
        )


def choose(series: Shards, text: str | None) -> list[int]:
    """Shard numbers that a text like `0-9,12` names; all of them for None.

    >>> choose(Shards(name="{n}.tar", url="http://h/{n}.tar", first=1, count=4, bytes_each=1), "2-3,1")
    [1, 2, 3]
    """
    if text is None:
        return list(series.numbers)
    chosen: set[int] = set()
    for part in text.split(","):
        low, _, high = part.strip().partition("-")
        if not low.isdecimal() or (high and not high.isdecimal()):
            raise UserError(
                f"--shards {text}: '{part}' is not a number or a range. For example: --shards 0-9,12"
            )
        chosen.update(range(int(low), int(high or low) + 1))
    if outside := sorted(chosen - set(series.numbers)):
        last = series.first + series.count - 1
        raise UserError(f"--shards {text}: there is no shard {outside[0]}; they are {series.first}-{last}.")
    return sorted(chosen)


def readable(size: int) -> str:
    """A number of bytes for a person.

    >>> readable(1_938_238_004)
    '1.94 GB'
    """
    for unit, scale in (("TB", 10**12), ("GB", 10**9), ("MB", 10**6), ("kB", 10**3)):
        if size >= scale:
            return f"{size / scale:.3g} {unit}"
    return f"{size} bytes"


def size_in_bytes(text: str) -> int:
    """A number of bytes as a person writes it.

    >>> size_in_bytes("1.5 GB")
    1500000000
    """
    units = {"": 1, "b": 1, "kb": 10**3, "mb": 10**6, "gb": 10**9, "tb": 10**12}
    found = re.fullmatch(r"([0-9]+(?:\.[0-9]+)?)\s*([a-z]*)", text.strip().lower())
    if found is None or found[2] not in units:
        raise UserError(f"--max-disk {text}: this is not a number of bytes. For example: 200GB")
    return int(float(found[1]) * units[found[2]])


def _size(file: PlannedFile) -> str:
    if file.size is None:
        return "size not stated"
    return readable(file.size) if file.exact else f"about {readable(file.size)}"


def _among(series: Shards, numbers: Sequence[int], offered: Mapping[str, str]) -> list[int]:
    return [n for n in numbers if series.file(n).name in offered]


def _linked(card: Card, chosen: Sequence[Sequence[int]], offered: Mapping[str, str]) -> str:
    """Which archives need not be fetched, and whose images serve; empty where all are fetched."""
    archives = [file.name for file in card.files if file.archive and file.role == "images"]
    archives += [
        series.file(n).name for series, numbers in zip(card.shards, chosen, strict=True) for n in numbers
    ]
    have = [name for name in archives if name in offered]
    if not have:
        return ""
    whose = " and ".join(sorted({offered[name] for name in have}))
    if len(have) < len(archives):
        return f"{len(have)} of {len(archives)} archives: linked from {whose}, the others are fetched"
    return f"linked from {whose}, nothing to fetch"


def _disk(card: Card, fetched: Sequence[Sequence[int]], offered: Mapping[str, str], *, keep: bool) -> int:
    """Bytes that what is fetched takes: of shards their share by bytes, and the archive that is being unpacked."""
    lists = sum(file.size or file.about or 0 for file in card.files if file.role != "images")
    if not card.shards:
        return lists if all(file.name in offered for file in card.image_files) else card.needs_disk
    each = [series.bytes_each for series in card.shards]
    part = sum(size * len(numbers) for size, numbers in zip(each, fetched, strict=True))
    whole = sum(size * series.count for size, series in zip(each, card.shards, strict=True))
    if not part:
        return lists
    needed = min(card.needs_disk, int(card.needs_disk * part / whole) + max(each))
    return needed + (part if keep else 0)


def _files(
    card: Card, fetched: Sequence[Sequence[int]], offered: Mapping[str, str]
) -> tuple[PlannedFile, ...]:
    single = [
        PlannedFile(
            name=file.name,
            url=file.urls[0] if file.urls else "by hand",
            size=file.size or file.about,
            exact=file.size is not None,
            hash_source=file.hash_source if file.md5 or file.sha256 else "first use",
        )
        for file in card.files
        if file.name not in offered
    ]
    series = [
        PlannedFile(
            name=f"{len(numbers)} × {shards.name}",
            url=shards.url,
            size=len(numbers) * shards.bytes_each,
            exact=False,
            hash_source="publisher" if shards.md5_url else "first use",
        )
        for shards, numbers in zip(card.shards, fetched, strict=True)
        if numbers
    ]
    return (*single, *series)
