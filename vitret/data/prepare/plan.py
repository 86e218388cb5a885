"""What preparing a set would cost, before the first byte: files, bytes, disk, terms. Touches nothing."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from vitret.core import plugins
from vitret.core.store import free_space
from vitret.data.card import Card, Shards
from vitret.data.prepare.disk_budget import affordable, readable
from vitret.data.prepare.local_shards import LocalFiles, look_into, select
from vitret.data.prepare.request import DEFAULT, Choices, Request, chosen_shards, synthetic_reads_nothing
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
    """Bytes to fetch (as far as known), disk needed and free, terms; `by_hand` says what the user must do first."""

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

    @property
    def to_fetch(self) -> str:
        """What there is to fetch, in words: the bytes that are known, and the files whose size is not."""
        known = [readable(self.fetch_bytes)] if self.fetch_bytes else []
        files = "1 file" if self.sizes_unknown == 1 else f"{self.sizes_unknown} files"
        unknown = [f"{files} of unknown size"] if self.sizes_unknown else []
        return " and ".join(known + unknown) or "nothing"

    @property
    def disk_words(self) -> str:
        """The disk needed; empty where it is not known, or nothing is."""
        return readable(self.disk_needed) if self.disk_needed else ""

    def lines(self) -> list[str]:
        """The plan as the user reads it, a line a fact."""
        needed = f"{self.disk_words} needed, " if self.disk_words else ""
        lines = [
            f"{self.set}: {self.title}",
            f"  fetch    {self.to_fetch}",
            f"  disk     {needed}{readable(self.disk_free)} free",
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
    choices: Choices = DEFAULT,
    local: LocalFiles | None = None,
    before: Sequence[str] = (),
) -> Plan:
    """The plan for a set; `local` files are not fetched, and need room only for what is unpacked from them.

    Packed, a set keeps its archives whole, with the images that it has no use for. What another set has, prepared or
    `before` this one in the same command, is linked and takes no room.
    Raises UserError for shards or a bound (`max_disk`) that the set cannot be cut by.
    """
    asked = chosen_shards(card, choices)
    if local is not None:
        cost = _cost_of_folder(card, asked, choices, local)
    else:
        offered = offers(card, data_root, packed=choices.packed, before=before)
        cost = _cost_of_hosts(card, asked, choices, offered)
    return _plan(card, data_root, cost, choices)


def plan_request(request: Request, *, before: Sequence[str] = ()) -> Plan:
    """The plan for the known set of a request, and for the user's files where it names a folder."""
    card: Card = plugins.load("datasets", request.name).CARD
    if request.source is not None and not card.tree:
        raise synthetic_reads_nothing(card)
    packed = request.choices.packed
    local = None if request.source is None else look_into(request.source, card, packed=packed)
    return make_plan(card, request.data_root, choices=request.choices, local=local, before=before)


@dataclass(frozen=True, kw_only=True)
class _Cost:
    """What there is to fetch, the bytes it takes on the disk, the shards the set will have, whose images serve."""

    files: tuple[PlannedFile, ...]
    disk: int
    shards: Sequence[Sequence[int]]
    images: str
    by_hand: str


def _cost_of_folder(card: Card, asked: Sequence[Sequence[int]], choices: Choices, local: LocalFiles) -> _Cost:
    """A tree is linked; archives stay where they are, and their images need room, unless they stay packed."""
    shards = asked
    disk = 0
    if local.kind == "archives":
        disk = max(0, card.needs_disk - card.fetch_bytes)
    elif local.kind == "shards":
        found = select(card, local.shards, asked, named=choices.shards is not None)
        shards = [[shard.n for shard in series] for series in found]
        disk = 0 if choices.packed else _share(card, shards)
    return _Cost(files=(), disk=disk, shards=shards, images="", by_hand="")


def _cost_of_hosts(
    card: Card, asked: Sequence[Sequence[int]], choices: Choices, offered: Mapping[str, str]
) -> _Cost:
    """What is not offered by another set is fetched, as far as the bound on the disk allows."""
    packed, keep = choices.packed, choices.keep_downloads
    linked = [_among(series, numbers, offered) for series, numbers in zip(card.shards, asked, strict=True)]
    fetched = [sorted(set(numbers) - set(known)) for numbers, known in zip(asked, linked, strict=True)]
    shards = asked
    if choices.max_disk is not None:
        fetched = affordable(card, fetched, choices.max_disk, packed=packed, keep=keep)
        shards = [sorted({*new, *known}) for new, known in zip(fetched, linked, strict=True)]
    files = _files(card, fetched, offered)
    fetch_bytes = sum(file.size or 0 for file in files)
    disk = fetch_bytes if packed else _disk(card, fetched, offered, keep=keep)
    if choices.max_disk is not None:
        disk = min(disk, choices.max_disk)
    images = _linked(card, shards, offered)
    return _Cost(files=files, disk=disk, shards=shards, images=images, by_hand=card.by_hand)


def _plan(card: Card, data_root: Path, cost: _Cost, choices: Choices) -> Plan:
    shards = ", ".join(
        f"{len(numbers)} of {series.count} ({series.into})"
        for series, numbers in zip(card.shards, cost.shards, strict=True)
    )
    if choices.max_disk is not None:
        shards += f", about what {readable(choices.max_disk)} hold"
    return Plan(
        set=card.name,
        title=card.title,
        files=cost.files,
        fetch_bytes=sum(file.size or 0 for file in cost.files),
        sizes_unknown=sum(file.size is None for file in cost.files),
        disk_needed=cost.disk,
        disk_free=free_space(data_root),
        shards=shards,
        images=cost.images,
        terms=statement(card),
        terms_accepted=accepted(data_root, card) is not None,
        gated=card.gated,
        by_hand=cost.by_hand,
    )


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
    if not any(fetched):
        return lists
    largest = max(series.bytes_each for series in card.shards)
    archives = sum(
        series.bytes_each * len(numbers) for series, numbers in zip(card.shards, fetched, strict=True)
    )
    return min(card.needs_disk, _share(card, fetched) + largest) + (archives if keep else 0)


def _share(card: Card, numbers: Sequence[Sequence[int]]) -> int:
    """Bytes of the images of some shards: their share of the whole set, by the size of the archives."""
    each = [series.bytes_each for series in card.shards]
    part = sum(size * len(chosen) for size, chosen in zip(each, numbers, strict=True))
    whole = sum(size * series.count for size, series in zip(each, card.shards, strict=True))
    return int(card.needs_disk * part / whole)


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
