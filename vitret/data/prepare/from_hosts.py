"""The official files of a card from their hosts; what another prepared set was made from is linked, not fetched."""

from __future__ import annotations

from collections.abc import Container, Sequence

from vitret.core.errors import DataError
from vitret.data.card import Card, File, Shards
from vitret.data.fetch.download import Progress, fetch
from vitret.data.fetch.fetched import discard
from vitret.data.fetch.remote_file import RemoteFile
from vitret.data.fetch.shards import Keeping, Places, Shard, extract_shards
from vitret.data.prepare.disk_budget import in_turn, require_least
from vitret.data.prepare.official_tree import OfficialTree, finished_tree, put_in_tree, used_bytes
from vitret.data.prepare.request import KnownSet
from vitret.data.prepare.shared_archives import link_archive, link_shards, sharing_sets


def fetch_tree(job: KnownSet, progress: Progress | None) -> OfficialTree:
    """Bring every file of the card, verified, into the official tree of the job's work folder."""
    card = job.card
    sharing = sharing_sets(card, job.request.data_root, packed=job.packed)
    offered = [file for file in card.files if any(other.has(file) for other in sharing)]
    hashes = _fetch_files(job, [file for file in card.files if file not in offered], progress)
    # The lists that say which images are wanted are in the tree from here on.
    wanted = job.wanted_paths() if offered or card.shards else None
    for file in offered:
        if digest := link_archive(sharing, file, job, wanted):
            hashes[file.name] = digest
    hashes |= _fetch_files(job, [file for file in offered if file.name not in hashes], progress)
    for i in range(len(card.shards)):
        link_shards(sharing, i, job, wanted)
    _fetch_shards(job, wanted, progress)
    return finished_tree(card, job.work, hashes)


def _fetch_files(job: KnownSet, files: Sequence[File], progress: Progress | None) -> dict[str, str]:
    """Fetch files and give each its place in the tree; their sha256 by name. A broken archive is removed."""
    if not files:
        return {}
    job.say(f"fetching {len(files)} files")
    fetched = fetch([remote(file, job.card) for file in files], job.work.downloads, progress=progress)
    for file, found in zip(files, fetched, strict=True):
        try:
            put_in_tree(file, found.path, job.work, report=job.request.report, progress=progress)
        except DataError:
            discard(found.path)
            raise
    return {file.name: found.sha256 for file, found in zip(files, fetched, strict=True)}


def _fetch_shards(job: KnownSet, wanted: Container[str] | None, progress: Progress | None) -> None:
    """Fetch and unpack the chosen shards that are missing, as far as a bound on the disk allows."""
    card, work, choices, report = job.card, job.work, job.request.choices, job.request.report
    if choices.max_disk is not None:
        none_yet = [
            series for i, series in enumerate(card.shards) if not any(work.shard_state(i).glob("*.parquet"))
        ]
        used = used_bytes(work.tree)
        require_least(card, none_yet, choices.max_disk, used=used, packed=choices.packed)
    for i, reserved in in_turn(card, packed=choices.packed):
        series = card.shards[i]
        progressed = extract_shards(
            [_shard(series, n, card) for n in job.numbers[i]],
            Places(downloads=work.downloads, folder=work.tree / series.into, state=work.shard_state(i)),
            Keeping(
                wanted=wanted,
                packed=choices.packed,
                archives=choices.keep_downloads,
                max_disk=choices.max_disk,
                used=0 if choices.max_disk is None else work.used_bytes() + reserved,
            ),
            progress=progress,
            told=lambda name, done, of: report(f"{name}: {done} of {of} shards"),
        )
        if progressed.stopped:
            report(progressed.stopped)


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


def _shard(series: Shards, n: int, card: Card) -> Shard:
    file = series.file(n)
    md5 = None
    if series.md5_url is not None:
        md5 = RemoteFile(name=f"{file.name}.md5.txt", urls=(series.md5_url.format(n=n),))
    return Shard(
        file=remote(file, card), about=series.bytes_each, md5_file=md5, strip_prefix=series.strip_prefix
    )
