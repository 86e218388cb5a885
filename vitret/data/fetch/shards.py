"""Datasets of many archives, one by one: fetch, verify, unpack, delete; any number of finished shards is a valid state.

A shard is finished when its record `<state>/<name>.parquet` exists (path, size and sha256 of every file in it), which
is written after its files are on the disk. So a kill at any moment costs one shard, and the same call continues.
"""

import itertools
import threading
from collections.abc import Callable, Container, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path

from vitret.core.errors import DataError, UserError
from vitret.core.locks import locked
from vitret.data.fetch.archive import extract
from vitret.data.fetch.download import Progress, fetch
from vitret.data.fetch.fetched import Fetched, discard
from vitret.data.fetch.hashed_files import Member
from vitret.data.fetch.member_names import Selection
from vitret.data.fetch.patience import Patience
from vitret.data.fetch.remote_file import RemoteFile, with_md5
from vitret.data.fetch.tar_index import index_path, make_index
from vitret.data.fetch.unpack import lock_of, write_record

Told = Callable[[str, int, int], None]
"""Called with (shard, how many are finished, of how many)."""


@dataclass(frozen=True, kw_only=True)
class Shard:
    """One archive of many: `about` is its rounded size in bytes, `md5_file` a text that begins with its md5."""

    file: RemoteFile
    about: int
    md5_file: RemoteFile | None = None
    strip_prefix: str = ""

    @property
    def name(self) -> str:
        return self.file.name


@dataclass(frozen=True, kw_only=True)
class Places:
    """Folders: of the archives while they are needed, of the files in them, of the records of finished shards."""

    downloads: Path
    folder: Path
    state: Path

    def record(self, shard: Shard) -> Path:
        return self.state / f"{shard.name}.parquet"

    def fetched_bytes(self, shard: Shard) -> int:
        """Bytes of a shard's archive that an interrupted run has fetched."""
        places = [self.downloads / f"{shard.name}{suffix}" for suffix in ("", ".part")]
        return sum(place.stat().st_size for place in places if place.is_file())


@dataclass(frozen=True, kw_only=True)
class Keeping:
    """What stays on the disk: files unpacked, all or the `wanted` paths, or the tars themselves, and how much of it.

    `packed` moves a tar to `folder/<name>` with an index instead of unpacking it; `archives` leaves archives in
    `downloads`. `max_disk` bounds the bytes of archives and files together (None: no bound), `used` of which are taken
    already, all that lies in `downloads` and `folder` among them.
    """

    wanted: Container[str] | None = None
    packed: bool = False
    archives: bool = False
    max_disk: int | None = None
    used: int = 0


@dataclass(frozen=True, kw_only=True)
class Progressed:
    """Which shards are finished, in their order, which are not, and why it stopped early (empty: it did not)."""

    done: tuple[str, ...]
    left: tuple[str, ...]
    stopped: str


def room(archive: int, *, packed: bool) -> int:
    """Bytes that must be free to take an archive of so many: it and, for a while, what is in it."""
    return archive * (1 if packed else 2)


def extract_shards(
    shards: Sequence[Shard],
    places: Places,
    keeping: Keeping,
    *,
    progress: Progress | None = None,
    told: Told | None = None,
    patience: Patience | None = None,
) -> Progressed:
    """Unpack shards one after the other, the next being fetched while one is unpacked.

    The shard that would not fit into `max_disk` is not begun; an archive needs room twice while it is unpacked.

    Raises DataError at the first shard that cannot be obtained or is broken (a broken archive is forgotten, so that
    the next run fetches it again), MachineError when the disk is full. Finished shards stay finished.
    """
    names = [shard.name for shard in shards]
    if len(set(names)) < len(names):
        raise UserError("Two shards have the same name.")
    with locked(lock_of(places.state / "shards")), _Fetching(places, progress, patience) as fetching:
        todo = [shard for shard in shards if not places.record(shard).exists()]
        done = set(names) - {shard.name for shard in todo}
        budget = _Budget(keeping, {shard.name: places.fetched_bytes(shard) for shard in todo})
        stopped = ""
        for shard, following in itertools.zip_longest(todo, todo[1:]):
            if stopped := budget.refusal(shard):
                break
            fetched = fetching.wait_for(shard)
            if following is not None and budget.fits_both(shard, following):
                fetching.begin(following)
            size = _finish(shard, fetched, places, keeping)
            budget.spend(shard, size + (fetched.size if _keep_or_remove(fetched, keeping) else 0))
            done.add(shard.name)
            if told is not None:
                told(shard.name, len(done), len(shards))
    return Progressed(
        done=tuple(name for name in names if name in done),
        left=tuple(name for name in names if name not in done),
        stopped=stopped,
    )


@dataclass
class _Budget:
    """The bytes that are taken, against `max_disk`; `there` holds what an interrupted run has fetched of each shard."""

    keeping: Keeping
    there: dict[str, int]
    used: int = field(init=False)

    def __post_init__(self) -> None:
        self.used = self.keeping.used

    def _need(self, shard: Shard) -> int:
        return room(shard.about, packed=self.keeping.packed)

    def refusal(self, shard: Shard) -> str:
        """Why a shard is not begun; empty where there is room."""
        most, need = self.keeping.max_disk, self._need(shard) - self.there[shard.name]
        if most is None or self.used + need <= most:
            return ""
        return f"--max-disk {most:,}: {self.used:,} bytes are taken, the next shard needs {need:,} more"

    def fits_both(self, shard: Shard, following: Shard) -> bool:
        """Whether the next archive may lie on the disk while this one is unpacked."""
        both = self.used + self._need(shard) - self.there[shard.name] + self._need(following)
        return self.keeping.max_disk is None or both <= self.keeping.max_disk

    def spend(self, shard: Shard, size: int) -> None:
        self.used += size - self.there[shard.name]


class _Fetching:
    """Fetches one shard ahead on a thread of its own; whatever ends the work with the others also ends that fetch."""

    def __init__(self, places: Places, progress: Progress | None, patience: Patience | None) -> None:
        self._downloads, self._progress, self._patience = places.downloads, progress, patience
        self._stop = threading.Event()
        self._ahead: Future[Fetched] | None = None

    def __enter__(self) -> "_Fetching":
        self._pool = ThreadPoolExecutor(1)
        return self

    def __exit__(self, kind: object, *_: object) -> None:
        if kind is not None:
            self._stop.set()
        self._pool.shutdown()

    def begin(self, shard: Shard) -> None:
        self._ahead = self._pool.submit(self._fetch, shard)

    def wait_for(self, shard: Shard) -> Fetched:
        """The archive of a shard, which is the one begun last, if any."""
        ahead, self._ahead = self._ahead, None
        return ahead.result() if ahead is not None else self._fetch(shard)

    def _fetch(self, shard: Shard) -> Fetched:
        return self._one(self._with_md5(shard), self._progress)

    def _with_md5(self, shard: Shard) -> RemoteFile:
        """The shard's file with the md5 that its publisher offers in a text of its own."""
        if shard.md5_file is None or shard.file.hash_known:
            return shard.file
        text = self._one(shard.md5_file, None).path
        try:
            return with_md5(shard.file, text)
        except DataError:
            discard(text)
            raise

    def _one(self, file: RemoteFile, progress: Progress | None) -> Fetched:
        (fetched,) = fetch(
            [file], self._downloads, progress=progress, patience=self._patience, stop=self._stop
        )
        return fetched


def _finish(shard: Shard, fetched: Fetched, places: Places, keeping: Keeping) -> int:
    """Unpack or move one archive and record it; returns the bytes it takes in `folder`."""
    try:
        if keeping.packed:
            found = _move(shard, fetched, places.folder)
        else:
            selection = Selection(strip_prefix=shard.strip_prefix, wanted=keeping.wanted)
            found = extract(fetched.path, places.folder, selection)
    except DataError:
        discard(fetched.path)
        raise
    write_record(places.record(shard), found)
    return fetched.size if keeping.packed else sum(member.size for member in found)


def _move(shard: Shard, fetched: Fetched, folder: Path) -> list[Member]:
    """Index a tar and move both to `folder`."""
    found = make_index(fetched.path, strip_prefix=shard.strip_prefix)
    folder.mkdir(parents=True, exist_ok=True)
    target = folder / fetched.path.name
    index_path(fetched.path).replace(index_path(target))
    fetched.path.replace(target)
    return found


def _keep_or_remove(fetched: Fetched, keeping: Keeping) -> bool:
    """Whether the archive stays in `downloads`; its record always stays, so that a later fetch must give the same."""
    if keeping.archives and not keeping.packed:
        return True
    fetched.path.unlink(missing_ok=True)
    return False
