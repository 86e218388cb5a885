"""The work folder of a set, `$VITRET_DATA/.work/<set>/`, in which its official files are put together.

Archives lie in `downloads`, the official tree in `tree`, records of what is finished in `state`; `brought` remembers,
when the set is written, which files each archive held. A kill loses at most the work on one archive.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from vitret.core.errors import DataError
from vitret.core.store import machine_error
from vitret.data.card import Card, File
from vitret.data.fetch.download import Progress
from vitret.data.fetch.member_names import Selection
from vitret.data.fetch.partial_file import hash_file
from vitret.data.fetch.unpack import unpack_once
from vitret.data.layout.links import hard_link_or_copy

# In `state`: some of the set's shards came from a user's folder without an md5.
UNCONFIRMED = "unconfirmed"


@dataclass(frozen=True)
class WorkFolder:
    """The parts of one work folder."""

    path: Path

    @classmethod
    def of(cls, data_root: Path, name: str, *, packed: bool) -> WorkFolder:
        """The work folder of a set; one that stays packed has its own."""
        return cls(data_root / ".work" / f"{name}{'.packed' if packed else ''}")

    @property
    def downloads(self) -> Path:
        return self.path / "downloads"

    @property
    def tree(self) -> Path:
        return self.path / "tree"

    @property
    def state(self) -> Path:
        return self.path / "state"

    @property
    def archive_contents(self) -> Path:
        return self.path / "brought"

    def shard_state(self, i: int) -> Path:
        """Records of the finished shards of the i-th series of the card."""
        return self.state / f"shards{i}"

    def first_fetch(self, archive: str) -> Path:
        """What was noted when an archive was first fetched."""
        return self.downloads / f"{archive}.fetched.json"

    def used_bytes(self) -> int:
        """Bytes already spent on the disk by an interrupted run."""
        return used_bytes(self.path)

    def clean(self, *, keep_tree: bool, keep_downloads: bool) -> None:
        """Remove what a written set no longer needs, but not the records of first use.

        The tree of a subset of shards stays, so that more shards can join it: its files are those of the set, under
        a second name, and take no room of their own.
        """
        if not keep_tree:
            shutil.rmtree(self.tree, ignore_errors=True)
            shutil.rmtree(self.state, ignore_errors=True)
        if keep_downloads or not self.downloads.is_dir():
            return
        for path in self.downloads.iterdir():
            if path.is_file() and not path.name.endswith(".fetched.json"):
                path.unlink()


@dataclass(frozen=True, kw_only=True)
class OfficialTree:
    """Where the official files are, ready to be converted; `adopted` if nobody could check that they are the official.

    `subset` says in words what part of the set the tree holds (empty for all of it), `shards` names that part by the
    folder of each series; `hashes` are the sha256 of the card's files.
    """

    path: Path
    adopted: bool
    subset: str = ""
    shards: Mapping[str, list[str]] = field(default_factory=dict)
    hashes: Mapping[str, str] = field(default_factory=dict)


def finished_tree(card: Card, work: WorkFolder, hashes: Mapping[str, str]) -> OfficialTree:
    """The tree of a work folder with all shards in it, of this run and of earlier ones."""
    named = {
        series.into: [
            name
            for name in (series.file(n).name for n in series.numbers)
            if (work.shard_state(i) / f"{name}.parquet").exists()
        ]
        for i, series in enumerate(card.shards)
    }
    total = sum(series.count for series in card.shards)
    done = sum(len(names) for names in named.values())
    return OfficialTree(
        path=work.tree,
        adopted=(work.state / UNCONFIRMED).exists(),
        subset=f"a subset, {done} of {total} shards" if done < total else "",
        shards=named if done < total else {},
        hashes=hashes,
    )


def put_in_tree(
    file: File, path: Path, work: WorkFolder, *, report: Callable[[str], None], progress: Progress | None
) -> None:
    """Unpack an archive into the official tree, or give a plain file its place there; a broken archive: `DataError`."""
    folder = work.tree / file.into
    if file.archive is None:
        try:
            hard_link_or_copy(path, folder / file.name)
        except OSError as error:
            raise machine_error(folder / file.name, error) from error
        return
    report(f"unpacking {file.name}")
    tell = progress or (lambda _name, _done, _total: None)
    members = unpack_once(
        path,
        folder,
        work.state / f"{file.name}.parquet",
        selection=Selection(strip_prefix=file.strip_prefix, flatten=file.flatten),
        # No archive says before its end how much it holds.
        progress=lambda _, size: tell(f"unpacking {file.name}", size, None),
    )
    size = sum(member.size for member in members)
    tell(f"unpacking {file.name}", size, size)


def verified(file: File, path: Path) -> str:
    """Sha256 of a user's copy of an official file, checked against the card; nothing is written beside it."""
    size, sha256, md5 = hash_file(path, md5=file.md5 is not None)
    found = {"size": size, "sha256": sha256, "md5": md5}
    expected = {"size": file.size, "sha256": file.sha256, "md5": file.md5}
    wrong = [key for key, value in expected.items() if value is not None and found[key] != value]
    if wrong:
        again = f"fetch it again from {file.urls[0]}" if file.urls else "fetch it again"
        raise DataError(
            f"{path}: {wrong[0]} is {found[wrong[0]]}, expected {expected[wrong[0]]}. It is not the official file, or "
            f"it is damaged: {again}."
        )
    return sha256


def used_bytes(folder: Path) -> int:
    """Bytes on the disk below a folder; a file of two names takes its room once."""
    total = 0
    seen: set[int] = set()
    for inside, _, files in os.walk(folder):
        for name in files:
            facts = Path(inside, name).lstat()
            if facts.st_nlink > 1:
                if facts.st_ino in seen:
                    continue
                seen.add(facts.st_ino)
            total += facts.st_size
    return total
