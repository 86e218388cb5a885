"""Sets cut from the same official archives: what one has prepared, another links instead of fetching it again.

Of every set that was fetched, `.work/<set>/brought/<archive>.parquet` keeps the files that an archive held (path, size,
sha256). By these hashes an archive's images are found in the prepared set; each is read and compared before it gets its
second name, so that what is linked is what the archive holds. Removing one of the two sets does not touch the other.
"""

from __future__ import annotations

import shutil
from collections.abc import Container, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np

from vitret.core import plugins
from vitret.core.store import copy_file, file_sha256, machine_error, read_json_object
from vitret.data.card import Card, File, Shards
from vitret.data.fetch.hashed_files import Member
from vitret.data.fetch.tar_index import make_index
from vitret.data.fetch.unpack import read_record, write_record
from vitret.data.layout.links import hard_link_or_copy
from vitret.data.layout.parquet import read_table
from vitret.data.layout.write import VERSION, exists
from vitret.data.prepare.official_tree import WorkFolder
from vitret.data.prepare.request import KnownSet, Report

HASHERS = 3


@dataclass(frozen=True)
class SharingSet:
    """A prepared set, its records of archives, and the archives (name → addresses) that it shares with another set."""

    name: str
    folder: Path
    work: WorkFolder
    shared: Mapping[str, tuple[str, ...]]

    def record(self, archive: str) -> Path:
        return self.work.archive_contents / f"{archive}.parquet"

    def has(self, archive: File) -> bool:
        """Whether the set was made from this very archive: the same name, addresses and known hash."""
        if self.shared.get(archive.name) != archive.urls or not self.record(archive.name).is_file():
            return False
        fetched = self.fetched(archive.name)
        known = {"size": archive.size, "sha256": archive.sha256, "md5": archive.md5}
        return "sha256" in fetched and all(value in (None, fetched.get(key)) for key, value in known.items())

    def fetched(self, archive: str) -> Mapping[str, object]:
        """What was noted when the archive was fetched."""
        path = self.work.first_fetch(archive)
        return read_json_object(path) if path.is_file() else {}

    @cached_property
    def _by_hash(self) -> tuple[np.ndarray, np.ndarray]:
        files = read_table(self.folder / "files.parquet")
        hashes = np.ascontiguousarray(files["sha256"]).view("S32")
        order = np.argsort(hashes)
        return hashes[order], files["path"][order]

    def places(self, members: Sequence[Member]) -> list[Path | None]:
        """Where the set keeps a file of each member's bytes; None where it has none."""
        hashes, paths = self._by_hash
        wanted = np.array([bytes.fromhex(member.sha256) for member in members], dtype="S32")
        rows = np.minimum(np.searchsorted(hashes, wanted), len(hashes) - 1)
        found = hashes[rows] == wanted
        return [
            self.folder / "images" / paths[row].decode() if there else None
            for row, there in zip(rows.tolist(), found.tolist(), strict=True)
        ]


def sharing_sets(card: Card, data_root: Path, *, packed: bool = False) -> list[SharingSet]:
    """The prepared sets, the set itself among them, that share archives with a card, loose or packed as it will be."""
    found = []
    for name in plugins.names("datasets"):
        work = WorkFolder.of(data_root, name, packed=packed)
        if not work.archive_contents.is_dir() or not exists(data_root, name):
            continue
        shared = _shared(card, name)
        manifest = read_json_object(data_root / name / "manifest.json")
        if shared and manifest.get("version") == VERSION and bool(manifest["source"].get("packed")) == packed:
            found.append(SharingSet(name, data_root / name, work, shared))
    return found


def _shared(card: Card, name: str) -> dict[str, tuple[str, ...]]:
    """The archives that a card and the set of this name have in common, by name, with their addresses."""
    other: Card = plugins.load("datasets", name).CARD
    common = {file.name: file.urls for file in other.files if file.archive and file.role == "images"}
    common = {file.name: file.urls for file in card.files if common.get(file.name) == file.urls and file.urls}
    # Of the shards of a part only the images of its list were kept: enough for sets of the same list.
    if _wanted(name) is not None and _lists(other) != _lists(card):
        return common
    urls = {(series.name, series.url) for series in other.shards}
    for series in card.shards:
        if (series.name, series.url) in urls:
            common |= {file.name: file.urls for file in map(series.file, series.numbers)}
    return common


def _wanted(name: str) -> object:
    return getattr(plugins.load("datasets", name), "wanted", None)


def _lists(card: Card) -> set[tuple[str, ...]]:
    return {file.urls for file in card.files if file.role == "labels"}


def fullest_first(names: Sequence[str]) -> list[str]:
    """The names in an order in which a set that unpacks only a part of shared shards follows one that keeps them all.

    >>> fullest_first(["gldv2-clean", "sop", "gldv2-noisy"])
    ['sop', 'gldv2-noisy', 'gldv2-clean']
    """
    known = set(plugins.names("datasets"))
    return sorted(names, key=lambda name: name in known and _wanted(name) is not None)


def offers(
    card: Card, data_root: Path, *, packed: bool = False, before: Sequence[str] = ()
) -> dict[str, str]:
    """Archive → the set that has it, as far as this is known without the lists; for a plan.

    `before` are sets that the same command prepares first.
    """
    sharing = sharing_sets(card, data_root, packed=packed)
    offered: dict[str, str] = {}
    files = [file for file in card.files if file.archive and file.role == "images"]
    files += [series.file(n) for series in card.shards for n in series.numbers]
    for name in before:
        if name in plugins.names("datasets") and not exists(data_root, name):
            offered |= dict.fromkeys(_shared(card, name), name)
    for file in files:
        for other in sharing:
            if other.has(file) and (card.shards or _wanted(card.name) or _has_all(other, file, card)):
                offered[file.name] = other.name
                break
    return offered


def _needed(other: SharingSet, archive: str, card: Card, wanted: Container[str] | None) -> list[Member]:
    """The members of an archive that a set needs: all, but for those known to be broken, or those of its lists."""
    members = read_record(other.record(archive))
    if wanted is not None:
        return [member for member in members if member.path in wanted]
    broken = {bad.path for bad in card.known_bad}
    return [member for member in members if member.path not in broken]


def _has_all(other: SharingSet, file: File, card: Card) -> bool:
    return None not in other.places(_needed(other, file.name, card, None))


def link_archive(
    sharing: Sequence[SharingSet], file: File, job: KnownSet, wanted: Container[str] | None
) -> str | None:
    """Link what an archive holds into the work tree, recorded as if unpacked; returns the archive's sha256.

    None where no prepared set has all that is needed of it, unchanged; why is reported.
    """
    for other in sharing:
        if not other.has(file):
            continue
        needed = _needed(other, file.name, job.card, wanted)
        if not _link(other, needed, file.name, job.work.tree / file.into, job.request.report):
            continue
        write_record(job.work.state / f"{file.name}.parquet", read_record(other.record(file.name)))
        _copy_first_fetch(other, file.name, job.work)
        job.say(f"{len(needed)} photographs linked from {other.name}, {file.name} is not fetched")
        return str(other.fetched(file.name)["sha256"])
    return None


def link_shards(sharing: Sequence[SharingSet], i: int, job: KnownSet, wanted: Container[str] | None) -> None:
    """Link what other sets have of the i-th series, each shard as a whole, recorded as if unpacked."""
    series, numbers = job.card.shards[i], job.numbers[i]
    linked: dict[str, int] = {}
    for file in map(series.file, numbers):
        record = job.work.shard_state(i) / f"{file.name}.parquet"
        if record.exists():
            continue
        for other in sharing:
            if members := _link_shard(other, series, file, job, wanted):
                record.parent.mkdir(parents=True, exist_ok=True)
                write_record(record, members)
                _copy_first_fetch(other, file.name, job.work)
                linked[other.name] = linked.get(other.name, 0) + 1
                break
    for name, count in linked.items():
        job.say(f"{count} of {len(numbers)} shards of {series.into}/ linked from {name}")


def _link_shard(
    other: SharingSet, series: Shards, file: File, job: KnownSet, wanted: Container[str] | None
) -> list[Member]:
    """Link one shard from another set, and return its members; none where that set has not all of them, unchanged."""
    if not other.has(file):
        return []
    if job.packed:
        return _link_tar(other, series, file, job)
    members = read_record(other.record(file.name))
    members = [member for member in members if wanted is None or member.path in wanted]
    linked = _link(other, members, file.name, job.work.tree / series.into, job.request.report)
    return members if linked else []


def _link(other: SharingSet, members: Sequence[Member], archive: str, folder: Path, report: Report) -> bool:
    """Give the other set's files a second name below `folder`, once their hashes are right; False if one is missing."""
    places = other.places(members)
    if missing := places.count(None):
        report(f"{other.name} has not all of {archive}: {missing} of {len(members)} files; it is fetched")
        return False
    made: set[Path] = set()
    pool = ThreadPoolExecutor(HASHERS)
    try:
        for member, place, found in zip(members, places, pool.map(_sha256, places), strict=True):
            if place is None or found != member.sha256:
                report(
                    f"{place}: has other bytes than when it was prepared, so {archive} is fetched. To see all that "
                    f"changed: vitret prepare {other.name} --verify"
                )
                return False
            target = folder / member.path
            if target.parent not in made:
                target.parent.mkdir(parents=True, exist_ok=True)
                made.add(target.parent)
            hard_link_or_copy(place, target)
    except OSError as error:
        raise machine_error(folder, error) from error
    finally:
        pool.shutdown(cancel_futures=True)
    return True


def _link_tar(other: SharingSet, series: Shards, file: File, job: KnownSet) -> list[Member]:
    """A packed tar under a second name, with an index of its own; nothing where it is not the tar that was fetched."""
    tar = other.folder / "images" / series.into / file.name
    if _sha256(tar) != other.fetched(file.name)["sha256"]:
        job.request.report(f"{tar}: has other bytes than when it was prepared; it is fetched")
        return []
    place = job.work.tree / series.into / file.name
    try:
        place.parent.mkdir(parents=True, exist_ok=True)
        hard_link_or_copy(tar, place)
    except OSError as error:
        raise machine_error(place, error) from error
    return make_index(place, strip_prefix=series.strip_prefix)


def _sha256(path: Path | None) -> str | None:
    try:
        return file_sha256(path) if path is not None else None
    except OSError:
        return None  # Gone, or out of reach: then it is fetched.


def _copy_first_fetch(other: SharingSet, archive: str, work: WorkFolder) -> None:
    """The record of first use goes along: should the archive ever be fetched, it must be the same."""
    source, target = (folder.first_fetch(archive) for folder in (other.work, work))
    if source != target:
        copy_file(source, target)


def forget_contents(work: WorkFolder) -> None:
    """Remove the records of what each archive held."""
    shutil.rmtree(work.archive_contents, ignore_errors=True)


def record_contents(work: WorkFolder, card: Card) -> None:
    """Remember which files each image archive held, for sets that share it; only of official files."""
    records = [work.state / f"{file.name}.parquet" for file in card.files if file.role == "images"]
    records += [path for i in range(len(card.shards)) for path in work.shard_state(i).glob("*.parquet")]
    try:
        for record in records:
            if record.is_file():
                work.archive_contents.mkdir(exist_ok=True)
                hard_link_or_copy(record, work.archive_contents / record.name)
    except OSError as error:
        raise machine_error(work.archive_contents, error) from error
