"""From a card to a prepared set: terms, fetch, unpack, convert, count; or an existing tree, checked and linked.

Everything on the way lies in `$VITRET_DATA/.work/<set>/` (archives in `downloads`, the official tree in `tree`, records
of what is finished in `state`) and is removed when the set is whole; a kill loses at most one archive's work.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Container, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

from vitret.core.errors import DataError, UserError
from vitret.core.store import copy_file, machine_error, require_space, write_text
from vitret.data.budget import in_turn, require_least
from vitret.data.card import Card, File, Shards
from vitret.data.download import Progress, RemoteFile, discard, fetch
from vitret.data.formats.trees import locate
from vitret.data.held import Held, chosen, held_lists, held_shards, take
from vitret.data.partial import hash_file
from vitret.data.plan import choose, make_plan
from vitret.data.shards import Shard, extract_shards
from vitret.data.sisters import Sister, keep_records, link_archive, link_shards, sisters
from vitret.data.terms import agree
from vitret.data.unpack import unpack_once
from vitret.data.writer import LayoutWriter

Report = Callable[[str], None]
# The version of an image set that nobody could check against what was published.
ADOPTED = "adopted, not confirmed"
# In a set's records: some of its shards came from a person's folder without an md5.
UNCONFIRMED = "unconfirmed"


class Conversion(Protocol):
    """What a dataset part's `build` returns: reads the official tree and hands everything to the writer."""

    def __call__(self, source: Path, writer: LayoutWriter, /) -> None: ...


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


def prepare_official(
    card: Card,
    convert: Conversion,
    *,
    data_root: Path,
    source: Path | None,
    accept_terms: bool,
    choices: Choices,
    stated: Mapping[str, Any],
    wanted: Callable[[Path], Container[str]] | None = None,
    replace: bool = False,
    grow: bool = False,
    workers: int | None = None,
    report: Report = lambda _: None,
    progress: Progress | None = None,
) -> Path:
    """Prepare the set of a card and return its folder.

    With a `source` its tree (or its archives, where somebody put them there by hand) is checked and linked; without one
    everything is fetched. The terms are shown, and are to be accepted first unless the files are a person's own copy of
    an open set. `wanted` names, from the fetched lists, the images worth unpacking. `stated` is written into the
    manifest: by it the same request is known again. `grow` replaces a subset of shards, and nothing else, by what can
    be had now.

    Raises DataError for a set that only a person can get, for terms not accepted, for a verified count that is missed.
    """
    if source is not None and choices.max_disk is not None:
        raise UserError("--max-disk bounds what is fetched: with --from choose by --shards, or leave it out.")
    hard = source is None or not is_tree(source, card, packed=choices.packed)
    held = held_shards(card, source, packed=choices.packed) if source is not None else []
    if choices.packed:
        _check_packed(card, source, held)
    if source is None:
        if card.gated != "none":
            raise DataError(f"{card.name} cannot be fetched here ({card.gated}). {card.by_hand}")
        plan = make_plan(
            card,
            data_root,
            shards=choices.shards,
            max_disk=choices.max_disk,
            packed=choices.packed,
            keep=choices.keep_downloads,
        )
    # Whoever has the files of an open set met its terms where they came from; a gated set has no other door than this.
    asked = source is None or card.gated != "none"
    agree(data_root, card, accept=accept_terms, ask=asked, report=report)
    work = data_root / ".work" / f"{card.name}{'.packed' if choices.packed else ''}"
    with LayoutWriter(
        data_root, card.name, replace=replace, grow=grow, workers=workers, report=report, hard=hard
    ) as writer:
        if source is not None and any(held):
            obtained = take_held(card, source, held, work, choices, wanted=wanted, report=report)
        elif source is not None:
            obtained = adopt(card, source, work, report=report, progress=progress)
        else:
            require_space(data_root, max(0, plan.disk_needed - _used(work)))
            near = sisters(card, data_root, packed=choices.packed)
            obtained = obtain(card, work, choices, near=near, wanted=wanted, report=report, progress=progress)
        if grow and obtained.shards and obtained.shards == writer.replaced.get("shards"):
            report(f"{card.name}: {obtained.subset}, as before.")
            return writer.final
        convert(obtained.tree, writer)
        subset = obtained.subset or check_counts(
            card, writer.counts(), lacking=writer.lacking, adopted=obtained.adopted, report=report
        )
        writer.card(_facts(card, obtained, subset))
        writer.source({**stated, "tree": obtained.tree == source, "files": dict(obtained.hashes)})
        folder = writer.finish()
    keep_records(work, card, confirmed=source is None and not obtained.adopted)
    if subset:
        report(f"{card.name}: {subset}. Results made on it say so.")
    _clean(work, keep_tree=bool(obtained.shards), keep_downloads=choices.keep_downloads)
    return folder


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
        require_least(card, none_yet, choices.max_disk, used=_used(tree), packed=choices.packed)
    for i, reserved in in_turn(card, packed=choices.packed):
        series = card.shards[i]
        numbers = choose(series, choices.shards if i == 0 else None)
        progressed = extract_shards(
            [_shard(series, n, card) for n in numbers],
            downloads=downloads,
            folder=tree / series.into,
            state=state / f"shards{i}",
            max_disk=choices.max_disk,
            used=0 if choices.max_disk is None else _used(work) + reserved,
            wanted=paths,
            packed=choices.packed,
            keep=choices.keep_downloads,
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


def check_counts(
    card: Card, counts: Mapping[str, int], *, lacking: Sequence[str] = (), adopted: bool, report: Report
) -> str:
    """Compare counts with the card: a verified one that is missed raises `DataError`, others are reported.

    `lacking` are words for what a list of the set names and is not there. A sharded set that somebody has in part is a
    subset: that is said in words and returned, empty for a whole set.
    """
    in_part = adopted and bool(card.shards)
    missed, fewer = ([], [*lacking]) if in_part else ([*lacking], [])
    for key, expected in card.expected.items():
        found = counts.get(key, 0)
        if found == expected.value:
            continue
        words = f"{found:,} {key}, {expected.value:,} expected"
        if not expected.verified:
            report(f"{card.name}: {words} (unconfirmed{': ' + expected.source if expected.source else ''})")
        elif in_part and found < expected.value:
            fewer.append(words)
        else:
            missed.append(words)
    if missed:
        raise DataError(
            f"{card.name}: {'; '.join(missed)}. Is the download or the copy complete, and of this very set?"
        )
    return f"a subset, {'; '.join(fewer)}" if fewer else ""


def _check_packed(card: Card, source: Path | None, held: Sequence[Sequence[Held]]) -> None:
    if source is not None and not any(held):
        raise UserError(
            f"--packed: there is no official tar of {card.name} in {source}, and what is unpacked stays as it is. "
            "Leave --packed out."
        )
    if not card.shards or not all(series.name.endswith(".tar") for series in card.shards):
        kind = "are compressed" if card.shards else "are not a series of tars"
        raise UserError(
            f"--packed: the archives of {card.name} {kind}, so an image cannot be read where it lies. Leave it out."
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
        _second_name(path, folder / file.name)
        return
    report(f"unpacking {file.name}")
    tell = progress or (lambda _name, _done, _total: None)
    try:
        brought = unpack_once(
            path,
            folder,
            state / f"{file.name}.parquet",
            strip_prefix=file.strip_prefix,
            flatten=file.flatten,
            # How much there is to come, no archive says before its end.
            progress=lambda _, size: tell(f"unpacking {file.name}", size, None),
        )
        size = sum(member.size for member in brought)
        tell(f"unpacking {file.name}", size, size)
    except DataError:
        if not keep:
            discard(path)
        raise


def _second_name(path: Path, place: Path) -> None:
    try:
        place.parent.mkdir(parents=True, exist_ok=True)
        place.unlink(missing_ok=True)
        try:
            os.link(path, place)
        except OSError:
            # Another disk, or a file system without hard links.
            shutil.copyfile(path, place)
    except OSError as error:
        raise machine_error(place, error) from error


def _facts(card: Card, obtained: Obtained, subset: str) -> dict[str, Any]:
    """What card.json says: the card, and which part and version of the set this is; no times and no places."""
    version = ADOPTED if obtained.adopted else card.image_set_version
    return {
        **card.model_dump(mode="json"),
        "image_set_version": version,
        "shards": dict(obtained.shards) or None,
        "subset": subset,
        "card_digest": card.digest,
    }


def _used(work: Path) -> int:
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


def _clean(work: Path, *, keep_tree: bool, keep_downloads: bool) -> None:
    """Remove the work folder, but not the records of first use.

    The tree of a subset of shards stays, so that more shards can join it: its files are those of the set, under a
    second name, and take no room of their own.
    """
    if not keep_tree:
        for name in ("tree", "state"):
            shutil.rmtree(work / name, ignore_errors=True)
    if keep_downloads or not (work / "downloads").is_dir():
        return
    for path in (work / "downloads").iterdir():
        if path.is_file() and not path.name.endswith(".fetched.json"):
            path.unlink()
