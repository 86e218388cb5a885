"""Sets cut from the same official archives: what one has prepared, another links instead of fetching it again.

Of every set that was fetched, `.work/<set>/brought/<archive>.parquet` keeps the files that an archive held (path, size,
sha256). By these hashes an archive's images are found in the prepared set; each is read and compared before it gets its
second name, so that what is linked is what the archive holds. Removing one of the two sets does not touch the other.
"""

from __future__ import annotations

import shutil
from collections.abc import Callable, Container, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np

from vitret.core import plugins
from vitret.core.store import copy_file, file_sha256, machine_error, read_json
from vitret.data.card import Card, File, Shards
from vitret.data.fetch.hashed_files import Member
from vitret.data.fetch.tar_index import make_index
from vitret.data.fetch.unpack import read_record, write_record
from vitret.data.layout.links import hard_link_or_copy
from vitret.data.layout.parquet import read_table
from vitret.data.layout.write import VERSION, exists

Report = Callable[[str], None]
HASHERS = 3


@dataclass(frozen=True)
class Sister:
    """A prepared set, its records of archives, and the archives (name → addresses) that it shares with another."""

    name: str
    folder: Path
    work: Path
    shared: Mapping[str, tuple[str, ...]]

    def record(self, archive: str) -> Path:
        return self.work / "brought" / f"{archive}.parquet"

    def has(self, archive: File) -> bool:
        """Whether this very archive was brought here: the same name, the same addresses, the hash that is known."""
        if self.shared.get(archive.name) != archive.urls or not self.record(archive.name).is_file():
            return False
        fetched = self.fetched(archive.name)
        known = {"size": archive.size, "sha256": archive.sha256, "md5": archive.md5}
        return "sha256" in fetched and all(value in (None, fetched.get(key)) for key, value in known.items())

    def fetched(self, archive: str) -> Mapping[str, object]:
        """What was noted when the archive was fetched."""
        path = fetched_note(self.work, archive)
        return dict(read_json(path)) if path.is_file() else {}

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


def fetched_note(work: Path, archive: str) -> Path:
    return work / "downloads" / f"{archive}.fetched.json"


def sisters(card: Card, data_root: Path, *, packed: bool = False) -> list[Sister]:
    """The prepared sets, the set itself among them, that share archives with a card, loose or packed as it will be."""
    found = []
    for name in plugins.names("datasets"):
        work = data_root / ".work" / f"{name}{'.packed' if packed else ''}"
        if not (work / "brought").is_dir() or not exists(data_root, name):
            continue
        shared = _shared(card, name)
        manifest = read_json(data_root / name / "manifest.json")
        if shared and manifest.get("version") == VERSION and bool(manifest["source"].get("packed")) == packed:
            found.append(Sister(name, data_root / name, work, shared))
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
    """Archive → the sister that has it, as far as this is known without the lists; for a plan.

    `before` are sets that the same command prepares first.
    """
    near = sisters(card, data_root, packed=packed)
    offered: dict[str, str] = {}
    files = [file for file in card.files if file.archive and file.role == "images"]
    files += [series.file(n) for series in card.shards for n in series.numbers]
    for name in before:
        if name in plugins.names("datasets") and not exists(data_root, name):
            offered |= dict.fromkeys(_shared(card, name), name)
    for file in files:
        for sister in near:
            if sister.has(file) and (
                card.shards or _wanted(card.name) or not _lacking(sister, file, card, None)
            ):
                offered[file.name] = sister.name
                break
    return offered


def _needed(sister: Sister, archive: str, card: Card, wanted: Container[str] | None) -> list[Member]:
    """The members of an archive that a set needs: all, but for those known to be broken, or those of its lists."""
    members = read_record(sister.record(archive))
    if wanted is not None:
        return [member for member in members if member.path in wanted]
    broken = {bad.path for bad in card.known_bad}
    return [member for member in members if member.path not in broken]


def _lacking(sister: Sister, file: File, card: Card, wanted: Container[str] | None) -> int:
    return sister.places(_needed(sister, file.name, card, wanted)).count(None)


def link_archive(
    near: Sequence[Sister],
    file: File,
    card: Card,
    work: Path,
    *,
    wanted: Container[str] | None,
    report: Report,
) -> str | None:
    """Link what an archive holds into the tree below `work`, recorded as if unpacked; returns the archive's sha256.

    None where no sister has all that is needed of it, unchanged; why is reported.
    """
    for sister in near:
        if not sister.has(file):
            continue
        needed = _needed(sister, file.name, card, wanted)
        if not _link(sister, needed, file.name, work / "tree" / file.into, report):
            continue
        write_record(work / "state" / f"{file.name}.parquet", read_record(sister.record(file.name)))
        _copy_note(sister, file.name, work)
        report(
            f"{card.name}: {len(needed)} photographs linked from {sister.name}, {file.name} is not fetched"
        )
        return str(sister.fetched(file.name)["sha256"])
    return None


def link_shards(
    near: Sequence[Sister],
    series: Shards,
    numbers: Sequence[int],
    card: Card,
    work: Path,
    state: Path,
    *,
    wanted: Container[str] | None,
    packed: bool,
    report: Report,
) -> None:
    """Link what sisters have of the shards, each as a whole, and record it in `state` as if unpacked."""
    linked: dict[str, int] = {}
    for file in map(series.file, numbers):
        record = state / f"{file.name}.parquet"
        if record.exists():
            continue
        for sister in near:
            if not sister.has(file):
                continue
            if packed:
                brought = _link_tar(sister, series, file, work, report)
            else:
                members = read_record(sister.record(file.name))
                brought = [member for member in members if wanted is None or member.path in wanted]
                if not _link(sister, brought, file.name, work / "tree" / series.into, report):
                    brought = []
            if brought:
                record.parent.mkdir(parents=True, exist_ok=True)
                write_record(record, brought)
                _copy_note(sister, file.name, work)
                linked[sister.name] = linked.get(sister.name, 0) + 1
                break
    for name, count in linked.items():
        report(f"{card.name}: {count} of {len(numbers)} shards of {series.into}/ linked from {name}")


def _link(sister: Sister, members: Sequence[Member], archive: str, folder: Path, report: Report) -> bool:
    """Give the sister's files a second name below `folder`, each once its hash is right; False if one is not there."""
    places = sister.places(members)
    if missing := places.count(None):
        report(f"{sister.name} has not all of {archive}: {missing} of {len(members)} files; it is fetched")
        return False
    made: set[Path] = set()
    pool = ThreadPoolExecutor(HASHERS)
    try:
        for member, place, found in zip(members, places, pool.map(_sha256, places), strict=True):
            if place is None or found != member.sha256:
                report(
                    f"{place}: has other bytes than when it was prepared, so {archive} is fetched. To see all that "
                    f"changed: vitret prepare {sister.name} --verify"
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


def _link_tar(sister: Sister, series: Shards, file: File, work: Path, report: Report) -> list[Member]:
    """A packed tar under a second name, indexed anew; nothing where it is not the tar that was fetched."""
    tar = sister.folder / "images" / series.into / file.name
    if _sha256(tar) != sister.fetched(file.name)["sha256"]:
        report(f"{tar}: has other bytes than when it was prepared; it is fetched")
        return []
    place = work / "tree" / series.into / file.name
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


def _copy_note(sister: Sister, archive: str, work: Path) -> None:
    """The record of first use goes along: should the archive ever be fetched, it must be the same."""
    source, target = (fetched_note(folder, archive) for folder in (sister.work, work))
    if source != target:
        copy_file(source, target)


def keep_records(work: Path, card: Card, *, confirmed: bool) -> None:
    """Remember which files each image archive brought; nothing of a set that is not known to be the official one."""
    brought = work / "brought"
    shutil.rmtree(brought, ignore_errors=True)
    if not confirmed:
        return
    records = [work / "state" / f"{file.name}.parquet" for file in card.files if file.role == "images"]
    records += [
        path for i in range(len(card.shards)) for path in (work / "state" / f"shards{i}").glob("*.parquet")
    ]
    try:
        for record in records:
            if record.is_file():
                brought.mkdir(exist_ok=True)
                hard_link_or_copy(record, brought / record.name)
    except OSError as error:
        raise machine_error(brought, error) from error
