"""Sets of many archives, one by one: fetch, verify, unpack, delete; any number of finished shards is a valid state.

A shard is finished when its record `<state>/<name>.parquet` exists (path, size and sha256 of every file it brought),
which is written after its files are on the disk. So a kill at any moment costs one shard, and the same call goes on.
"""

import contextlib
import itertools
import threading
from collections.abc import Callable, Container, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from vitret.core.errors import DataError, UserError
from vitret.core.locks import locked
from vitret.data.fetch.archive import extract
from vitret.data.fetch.download import Fetched, Patience, Progress, RemoteFile, discard, fetch
from vitret.data.fetch.hashed_files import Member
from vitret.data.fetch.member_names import Selection
from vitret.data.fetch.tar_index import index_path, make_index
from vitret.data.fetch.unpack import lock_of, read_record, write_record


@dataclass(frozen=True, kw_only=True)
class Shard:
    """One archive of many: `about` is its rounded size in bytes, `md5_file` a text that begins with its md5."""

    file: RemoteFile
    about: int
    md5_file: RemoteFile | None = None
    strip_prefix: str = ""


@dataclass(frozen=True, kw_only=True)
class Progressed:
    """Which shards are finished, in their order, which are not, and why it stopped early (empty: it did not)."""

    done: tuple[str, ...]
    left: tuple[str, ...]
    stopped: str

    @property
    def complete(self) -> bool:
        return not self.left


def room(archive: int, *, packed: bool) -> int:
    """Bytes that must be free to take an archive of so many: it and, for a while, what is in it."""
    return archive * (1 if packed else 2)


def extract_shards(
    shards: Sequence[Shard],
    *,
    downloads: Path,
    folder: Path,
    state: Path,
    max_disk: int | None = None,
    used: int = 0,
    wanted: Container[str] | None = None,
    packed: bool = False,
    keep: bool = False,
    progress: Progress | None = None,
    told: Callable[[str, int, int], None] | None = None,
    mirror: str | None = None,
    patience: Patience | None = None,
) -> Progressed:
    """Bring shards into `folder` one after the other, the next being fetched while one is unpacked.

    `max_disk` bounds the bytes of archives and files together, `used` of which are taken already (all that lies in
    `downloads` and `folder` among them); the shard that would not fit is not begun. An archive needs room twice while
    it is unpacked. `wanted` names the paths that are unpacked (None: all).
    `packed` moves the tar to `folder/<name>` with an index instead of unpacking it; `keep` leaves archives in
    `downloads`. `told` gets (shard, how many are finished, of how many).

    Raises DataError at the first shard that cannot be had or is broken (a broken archive is forgotten, so that the
    next run fetches it anew), MachineError when the disk is full. Finished shards stay finished.
    """
    if len({shard.file.name for shard in shards}) < len(shards):
        raise UserError("Two shards have the same name.")
    stop = threading.Event()

    def bring(shard: Shard) -> Fetched:
        file = _with_md5(shard, downloads, mirror=mirror, patience=patience)
        (fetched,) = fetch([file], downloads, progress=progress, mirror=mirror, patience=patience, stop=stop)
        return fetched

    with locked(lock_of(state / "shards")), ThreadPoolExecutor(1) as pool, _set_on_error(stop):
        done = {shard.file.name for shard in shards if _record(state, shard).exists()}
        todo = [shard for shard in shards if shard.file.name not in done]
        there = {shard.file.name: _there(downloads, shard) for shard in todo}
        stopped = ""
        ahead: Future[Fetched] | None = None
        for shard, following in itertools.zip_longest(todo, todo[1:]):
            need = room(shard.about, packed=packed) - there[shard.file.name]
            if max_disk is not None and used + need > max_disk:
                stopped = (
                    f"--max-disk {max_disk:,}: {used:,} bytes are taken, the next shard needs {need:,} more"
                )
                break
            fetched = ahead.result() if ahead else bring(shard)
            both = used + need + (room(following.about, packed=packed) if following else 0)
            fits = max_disk is None or both <= max_disk
            ahead = pool.submit(bring, following) if following and fits else None
            used += _finish(shard, fetched, folder, state, wanted=wanted, packed=packed)
            used -= there[shard.file.name]
            if keep and not packed:
                used += fetched.size
            else:
                # Its record stays: should it ever be fetched again, it must be the same.
                fetched.path.unlink(missing_ok=True)
            done.add(shard.file.name)
            if told is not None:
                told(shard.file.name, len(done), len(shards))
    names = [shard.file.name for shard in shards]
    return Progressed(
        done=tuple(name for name in names if name in done),
        left=tuple(name for name in names if name not in done),
        stopped=stopped,
    )


def _there(downloads: Path, shard: Shard) -> int:
    """Bytes of a shard's archive that an interrupted run has fetched."""
    places = [downloads / f"{shard.file.name}{suffix}" for suffix in ("", ".part")]
    return sum(place.stat().st_size for place in places if place.is_file())


@contextlib.contextmanager
def _set_on_error(stop: threading.Event) -> Iterator[None]:
    """Whatever ends the loop also ends the fetch that runs ahead of it."""
    try:
        yield
    except BaseException:
        stop.set()
        raise


def members(state: Path, shard: Shard) -> list[Member]:
    """The files that a finished shard brought; raises DataError for a shard that is not finished."""
    return read_record(_record(state, shard))


def _record(state: Path, shard: Shard) -> Path:
    return state / f"{shard.file.name}.parquet"


def _finish(
    shard: Shard, fetched: Fetched, folder: Path, state: Path, *, wanted: Container[str] | None, packed: bool
) -> int:
    """Unpack or adopt one archive and record it; returns the bytes it takes in `folder`."""
    brought: Sequence[Member]
    try:
        if packed:
            found = make_index(fetched.path, strip_prefix=shard.strip_prefix)
            folder.mkdir(parents=True, exist_ok=True)
            target = folder / fetched.path.name
            index_path(fetched.path).replace(index_path(target))
            fetched.path.replace(target)
            brought = found
        else:
            brought = extract(fetched.path, folder, Selection(strip_prefix=shard.strip_prefix, wanted=wanted))
    except DataError:
        discard(fetched.path)
        raise
    write_record(_record(state, shard), brought)
    return fetched.size if packed else sum(member.size for member in brought)


def _with_md5(shard: Shard, downloads: Path, *, mirror: str | None, patience: Patience | None) -> RemoteFile:
    """The shard's file with the md5 that its publisher offers in a text of its own."""
    if shard.md5_file is None or shard.file.hash_known:
        return shard.file
    (text,) = fetch([shard.md5_file], downloads, mirror=mirror, patience=patience)
    return with_md5(shard.file, text.path)


def with_md5(file: RemoteFile, text: Path) -> RemoteFile:
    """`file` with the first word of `text` as its md5; raises DataError, and forgets the text, when that is none."""
    md5 = md5_in(text)
    if md5 is None:
        discard(text)
        raise DataError(f"{text}: does not begin with an md5. Run the same command again.")
    return RemoteFile(
        name=file.name,
        urls=file.urls,
        size=file.size,
        md5=md5,
        hash_source="publisher",
        by_hand=file.by_hand,
    )


def md5_in(text: Path) -> str | None:
    """The md5 with which a publisher's text begins, in lower case; None where it begins otherwise."""
    words = text.read_text(encoding="utf-8", errors="replace")[:200].split(maxsplit=1)
    if not words or len(words[0]) != 32 or set(words[0].lower()) - set("0123456789abcdef"):
        return None
    return words[0].lower()
