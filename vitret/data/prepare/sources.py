"""Where the official tree of a card comes from: its hosts, a sister set, a person's archives or shards, their tree.

Archives lie in `downloads`, the tree in `tree`, records of what is finished in `state` of a work folder; a kill loses
at most one archive's work.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Container, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from vitret.core.errors import DataError, UserError
from vitret.core.store import copy_file, machine_error, write_text
from vitret.data.card import Card, File, Shards
from vitret.data.fetch.download import Progress, fetch
from vitret.data.fetch.fetched import discard
from vitret.data.fetch.member_names import Selection
from vitret.data.fetch.partial_file import hash_file
from vitret.data.fetch.remote_file import RemoteFile
from vitret.data.fetch.shards import Keeping, Places, Shard, extract_shards
from vitret.data.fetch.unpack import unpack_once
from vitret.data.formats.trees import locate
from vitret.data.layout.links import hard_link_or_copy
from vitret.data.prepare.disk_budget import in_turn, require_least
from vitret.data.prepare.local_shards import Held, chosen, held_lists, held_shards, take
from vitret.data.prepare.plan import choose
from vitret.data.prepare.shared_archives import Sister, link_archive, link_shards

Report = Callable[[str], None]
# In a set's records: some of its shards came from a person's folder without an md5.
UNCONFIRMED = "unconfirmed"


@dataclass(frozen=True, kw_only=True)
class Choices:
    """What a person may choose: shards of the first series (`0-9,12`), bytes of disk, whether archives are kept.

    `packed` leaves the images of a set of many tars in them.
    """

    shards: str | None = None
    max_disk: int | None = None
    keep_downloads: bool = False
    packed: bool = False


@dataclass(frozen=True, kw_only=True)
class Obtained:
    """An official tree: where, from whom; `subset` says in words what part of the set it holds, empty for all of it."""

    tree: Path
    adopted: bool
    subset: str = ""
    shards: Mapping[str, list[str]] = field(default_factory=dict)
    hashes: Mapping[str, str] = field(default_factory=dict)


def obtain(
    card: Card,
    work: Path,
    choices: Choices,
    *,
    near: Sequence[Sister] = (),
    wanted: Callable[[Path], Container[str]] | None = None,
    report: Report = lambda _: None,
    progress: Progress | None = None,
) -> Obtained:
    """Bring every file of a card, verified, into the official tree below `work`: linked from a sister, or fetched."""
    downloads, tree, state = work / "downloads", work / "tree", work / "state"
    offered = [file for file in card.files if any(sister.has(file) for sister in near)]
    hashes = _fetch_files(
        card, [f for f in card.files if f not in offered], work, report=report, progress=progress
    )
    paths = wanted(tree) if wanted is not None and (offered or card.shards) else None
    for file in offered:
        if digest := link_archive(near, file, card, work, wanted=paths, report=report):
            hashes[file.name] = digest
    hashes |= _fetch_files(
        card, [f for f in offered if f.name not in hashes], work, report=report, progress=progress
    )
    for i, series in enumerate(card.shards):
        link_shards(
            near,
            series,
            choose(series, choices.shards if i == 0 else None),
            card,
            work,
            state / f"shards{i}",
            wanted=paths,
            packed=choices.packed,
            report=report,
        )
    if choices.max_disk is not None:
        none_yet = [
            series
            for i, series in enumerate(card.shards)
            if not any((state / f"shards{i}").glob("*.parquet"))
        ]
        require_least(card, none_yet, choices.max_disk, used=used_bytes(tree), packed=choices.packed)
    for i, reserved in in_turn(card, packed=choices.packed):
        series = card.shards[i]
        numbers = choose(series, choices.shards if i == 0 else None)
        progressed = extract_shards(
            [_shard(series, n, card) for n in numbers],
            Places(downloads=downloads, folder=tree / series.into, state=state / f"shards{i}"),
            Keeping(
                wanted=paths,
                packed=choices.packed,
                archives=choices.keep_downloads,
                max_disk=choices.max_disk,
                used=0 if choices.max_disk is None else used_bytes(work) + reserved,
            ),
            progress=progress,
            told=lambda name, done, of: report(f"{name}: {done} of {of} shards"),
        )
        if progressed.stopped:
            report(progressed.stopped)
    return _of_shards(card, work, hashes)


def _fetch_files(
    card: Card, files: Sequence[File], work: Path, *, report: Report, progress: Progress | None
) -> dict[str, str]:
    """Fetch files and give each its place in the tree; their sha256 by name."""
    if not files:
        return {}
    report(f"{card.name}: fetching {len(files)} files")
    fetched = fetch([remote(file, card) for file in files], work / "downloads", progress=progress)
    for file, found in zip(files, fetched, strict=True):
        _into_tree(file, found.path, work / "tree", work / "state", report=report, progress=progress)
    return {file.name: found.sha256 for file, found in zip(files, fetched, strict=True)}


def take_held(
    card: Card,
    source: Path,
    held: Sequence[Sequence[Held]],
    work: Path,
    choices: Choices,
    *,
    wanted: Callable[[Path], Container[str]] | None = None,
    report: Report = lambda _: None,
) -> Obtained:
    """Official shards and lists in a person's folder, brought into the official tree below `work` as if fetched."""
    tree, state = work / "tree", work / "state"
    numbers = [choose(series, choices.shards if i == 0 else None) for i, series in enumerate(card.shards)]
    taken = chosen(card, held, numbers, named=choices.shards is not None)
    hashes = {}
    for name, path in held_lists(card, source).items():
        file = next(file for file in card.files if file.name == name)
        hashes[name] = _verified(file, path)
        copy_file(path, tree / file.into / name)
    without = sum(one.md5_text is None for series in taken for one in series)
    if without:
        report(f"{card.name}: {without} archives have no md5 beside them, so whose they are is not confirmed")
        write_text(state / UNCONFIRMED, "")
    for i, _ in in_turn(card, packed=choices.packed):
        series = card.shards[i]
        paths = wanted(tree) if wanted is not None else None
        for done, one in enumerate(taken[i], start=1):
            take(
                one,
                series,
                tree / series.into,
                state / f"shards{i}",
                wanted=paths,
                packed=choices.packed,
            )
            report(f"{one.path.name}: {done} of {len(taken[i])} shards")
    return _of_shards(card, work, hashes)


def _of_shards(card: Card, work: Path, hashes: Mapping[str, str]) -> Obtained:
    """The tree below `work`, with all shards in it, of this run and earlier ones, by series where some are missing."""
    state = work / "state"
    named = {
        series.into: [
            name
            for name in (series.file(n).name for n in series.numbers)
            if (state / f"shards{i}" / f"{name}.parquet").exists()
        ]
        for i, series in enumerate(card.shards)
    }
    total = sum(series.count for series in card.shards)
    done = sum(len(names) for names in named.values())
    return Obtained(
        tree=work / "tree",
        adopted=(state / UNCONFIRMED).exists(),
        subset=f"a subset, {done} of {total} shards" if done < total else "",
        shards=named if done < total else {},
        hashes=hashes,
    )


def adopt(
    card: Card,
    source: Path,
    work: Path,
    *,
    report: Report = lambda _: None,
    progress: Progress | None = None,
) -> Obtained:
    """An official tree that is already unpacked in some known layout, or official archives in a folder."""
    if is_tree(source, card):
        hashes = _known_files(card, locate(source, card))
        report(f"{card.name}: adopting the tree in {source}")
        return Obtained(tree=source, adopted=True, hashes=hashes)
    if missing := [file.name for file in card.files if not (source / file.name).is_file()]:
        raise DataError(
            f"{source}: has archives of {card.name} but not {', '.join(missing)}. Put them there too."
        )
    report(f"{card.name}: unpacking {len(card.files)} files of {source}")
    hashes = {}
    for file in card.files:
        hashes[file.name] = _verified(file, source / file.name)
        _into_tree(
            file,
            source / file.name,
            work / "tree",
            work / "state",
            report=report,
            progress=progress,
            keep=True,
        )
    return Obtained(tree=work / "tree", adopted=False, hashes=hashes)


def remote(file: File, card: Card) -> RemoteFile:
    """A card's file as the fetcher asks for it."""
    return RemoteFile(
        name=file.name,
        urls=file.urls,
        size=file.size,
        md5=file.md5,
        sha256=file.sha256,
        hash_source=file.hash_source,
        hash_url=file.hash_url,
        by_hand=card.by_hand,
    )


def is_tree(source: Path, card: Card, *, packed: bool = False) -> bool:
    """Whether a folder is to be adopted as a tree, having no archives to verify; a folder that is not there raises."""
    if not source.is_dir():
        raise UserError(f"--from {source}: there is no such folder.")
    return not _has_archives(source, card) and not any(held_shards(card, source, packed=packed))


def _has_archives(source: Path, card: Card) -> bool:
    """Whether the folder holds the set's archives as they were published: they can be verified, a tree cannot."""
    archives = [file for file in card.files if file.archive]
    return bool(archives) and all((source / file.name).is_file() for file in archives)


def _known_files(card: Card, tree: Mapping[str, Path]) -> dict[str, str]:
    """Sha256 of every official file that a tree holds as it was published (truth, lists), checked against the card."""
    plain = {file.name: file for file in card.files if file.archive is None}
    return {path.name: _verified(plain[path.name], path) for path in tree.values() if path.name in plain}


def _verified(file: File, path: Path) -> str:
    """Sha256 of a file that a person put there, checked against the card; nothing is written beside it."""
    size, sha256, md5 = hash_file(path, md5=file.md5 is not None)
    found = {"size": size, "sha256": sha256, "md5": md5}
    wanted = {"size": file.size, "sha256": file.sha256, "md5": file.md5}
    wrong = [key for key, value in wanted.items() if value is not None and found[key] != value]
    if wrong:
        again = f"fetch it again from {file.urls[0]}" if file.urls else "fetch it again"
        raise DataError(
            f"{path}: {wrong[0]} is {found[wrong[0]]}, expected {wanted[wrong[0]]}. It is not the official file, or it "
            f"is damaged: {again}."
        )
    return sha256


def _shard(series: Shards, n: int, card: Card) -> Shard:
    file = series.file(n)
    md5 = None
    if series.md5_url is not None:
        md5 = RemoteFile(name=f"{file.name}.md5.txt", urls=(series.md5_url.format(n=n),))
    return Shard(
        file=remote(file, card), about=series.bytes_each, md5_file=md5, strip_prefix=series.strip_prefix
    )


def _into_tree(
    file: File,
    path: Path,
    tree: Path,
    state: Path,
    *,
    report: Report,
    progress: Progress | None,
    keep: bool = False,
) -> None:
    """Unpack an archive, or give a plain file its place in the official tree; what is broken is forgotten."""
    folder = tree / file.into
    if file.archive is None:
        try:
            hard_link_or_copy(path, folder / file.name)
        except OSError as error:
            raise machine_error(folder / file.name, error) from error
        return
    report(f"unpacking {file.name}")
    tell = progress or (lambda _name, _done, _total: None)
    try:
        brought = unpack_once(
            path,
            folder,
            state / f"{file.name}.parquet",
            selection=Selection(strip_prefix=file.strip_prefix, flatten=file.flatten),
            # How much there is to come, no archive says before its end.
            progress=lambda _, size: tell(f"unpacking {file.name}", size, None),
        )
        size = sum(member.size for member in brought)
        tell(f"unpacking {file.name}", size, size)
    except DataError:
        if not keep:
            discard(path)
        raise


def used_bytes(work: Path) -> int:
    """Bytes already spent on the disk by an interrupted run; a file of two names takes its room once."""
    total = 0
    seen: set[int] = set()
    for folder, _, files in os.walk(work):
        for name in files:
            facts = Path(folder, name).lstat()
            if facts.st_nlink > 1:
                if facts.st_ino in seen:
                    continue
                seen.add(facts.st_ino)
            total += facts.st_size
    return total
