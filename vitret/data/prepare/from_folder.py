"""The official files of a card from a user's folder: a tree, archives, or shards. Nothing is written in that folder."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from vitret.core.errors import DataError
from vitret.core.store import copy_file, write_text
from vitret.data.fetch.download import Progress
from vitret.data.formats.trees import locate
from vitret.data.prepare.disk_budget import in_turn
from vitret.data.prepare.local_shards import LocalFiles, find_lists, select, take_shard
from vitret.data.prepare.official_tree import UNCONFIRMED, OfficialTree, finished_tree, put_in_tree, verified
from vitret.data.prepare.request import KnownSet


def use_folder(job: KnownSet, local: LocalFiles, progress: Progress | None) -> OfficialTree:
    """The official tree of a folder: the folder itself where it is one, otherwise unpacked below the work folder."""
    match local.kind:
        case "tree":
            return _adopt(job, local.folder)
        case "archives":
            return _unpack(job, local.folder, progress)
        case "shards":
            return _take_shards(job, local)


def _adopt(job: KnownSet, folder: Path) -> OfficialTree:
    """A tree that is already unpacked; the official files in it that have a known hash are checked."""
    hashes = _known_files(job, locate(folder, job.card))
    job.say(f"adopting the tree in {folder}")
    return OfficialTree(path=folder, adopted=True, hashes=hashes)


def _unpack(job: KnownSet, folder: Path, progress: Progress | None) -> OfficialTree:
    """The published archives of a card, checked and unpacked; they stay in the folder."""
    card = job.card
    if missing := [file.name for file in card.files if not (folder / file.name).is_file()]:
        raise DataError(
            f"{folder}: has archives of {card.name} but not {', '.join(missing)}. Put them there too."
        )
    job.say(f"unpacking {len(card.files)} files of {folder}")
    hashes = {}
    for file in card.files:
        hashes[file.name] = verified(file, folder / file.name)
        put_in_tree(file, folder / file.name, job.work, report=job.request.report, progress=progress)
    return OfficialTree(path=job.work.tree, adopted=False, hashes=hashes)


def _take_shards(job: KnownSet, local: LocalFiles) -> OfficialTree:
    """Official shards and lists, put into the official tree as if they had been fetched."""
    card, work, choices = job.card, job.work, job.request.choices
    taken = select(card, local.shards, job.numbers, named=choices.shards is not None)
    hashes = {}
    for name, path in find_lists(card, local.folder).items():
        file = next(file for file in card.files if file.name == name)
        hashes[name] = verified(file, path)
        copy_file(path, work.tree / file.into / name)
    if without := sum(shard.md5_text is None for series in taken for shard in series):
        job.say(f"{without} archives have no md5 beside them, so whose they are is not confirmed")
        write_text(work.state / UNCONFIRMED, "")
    wanted = job.wanted_paths()
    for i, _ in in_turn(card, packed=choices.packed):
        for done, shard in enumerate(taken[i], start=1):
            take_shard(
                shard,
                card.shards[i],
                work.tree / card.shards[i].into,
                work.shard_state(i),
                wanted=wanted,
                packed=choices.packed,
            )
            job.request.report(f"{shard.path.name}: {done} of {len(taken[i])} shards")
    return finished_tree(card, work, hashes)


def _known_files(job: KnownSet, tree: Mapping[str, Path]) -> dict[str, str]:
    """Sha256 of every official file that a tree holds as it was published (truth, lists), checked against the card."""
    plain = {file.name: file for file in job.card.files if file.archive is None}
    return {path.name: verified(plain[path.name], path) for path in tree.values() if path.name in plain}
