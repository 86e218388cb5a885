"""Official files fetched whole or not at all: resumed by ranges, hashed while they stream, renamed when they are right.

Every file `name` has three companions in its folder: `name.part` and `name.part.json` while it is under way (the bytes
so far; the address and the version they belong to), and `name.fetched.json` afterwards (size, hashes, where they come
from). Where nobody publishes a hash, the first use records one, and a later fetch must give the same bytes.
What is asked of a host is bounded: few connections, pauses that grow, a fixed number of attempts.
"""

import os
import random
import threading
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from dataclasses import asdict, dataclass, replace
from itertools import chain
from pathlib import Path, PurePosixPath
from types import NoneType
from urllib.parse import urlsplit

import httpx

from vitret.core.errors import DataError, UserError
from vitret.core.locks import locked
from vitret.core.store import machine_error, read_json, require_space, write_json
from vitret.data.fetch.archive import check_archive
from vitret.data.fetch.http_ftp import GoneError, PastEndError, Stream, TransientError, client, open_stream
from vitret.data.fetch.partial_file import Part, hash_file

MOST_CONNECTIONS = 8
PROGRESS_MADE = 1 << 20

Progress = Callable[[str, int, int | None], None]
"""Called with (file name, bytes so far, bytes in all or None), from one thread at a time."""


@dataclass(frozen=True, kw_only=True)
class RemoteFile:
    """A file of the publisher: where it is asked for, in order, and what is known about it.

    `name` is a relative path below the download folder. A size or hash that is given must be met.
    `hash_source` says whose hash it is; `by_hand` what a person can do when no address works. `hash_url` is the
    publisher's list of hashes, fetched before the file: see `with_hash`.
    """

    name: str
    urls: tuple[str, ...] = ()
    size: int | None = None
    sha256: str | None = None
    md5: str | None = None
    hash_source: str = "none"
    hash_url: str | None = None
    by_hand: str = ""

    def __post_init__(self) -> None:
        path = PurePosixPath(self.name)
        if not self.name or path.is_absolute() or ".." in path.parts or "\\" in self.name:
            raise UserError(f"'{self.name}' is not a file name inside the download folder.")

    @property
    def hash_known(self) -> bool:
        return bool(self.sha256 or self.md5)


@dataclass(frozen=True, kw_only=True)
class Patience:
    """How often a host is asked, with pauses of first, 2 × first, 4 × first … up to longest, in seconds.

    `attempts` are counted anew after every MiB of progress, so a host that drops each connection is still read to the
    end. `jitter` spreads the pauses over [½, 1] of their length; None leaves them as they are.
    """

    attempts: int = 6
    first: float = 1.0
    longest: float = 60.0
    timeout: float = 30.0
    jitter: random.Random | None = None

    def pause(self, failures: int, asked: float | None) -> float:
        """Seconds after so many failures in a row; what the host asked for is respected up to `longest`."""
        own = min(self.longest, self.first * 2.0 ** (failures - 1))
        if self.jitter is not None:
            own *= self.jitter.uniform(0.5, 1.0)
        return max(own, min(asked or 0.0, self.longest))


@dataclass(frozen=True, kw_only=True)
class Fetched:
    """A file that is there, whole and verified; `hash_source` is 'first use' when only we have ever hashed it."""

    path: Path
    size: int
    sha256: str
    md5: str | None
    url: str | None
    hash_source: str


def fetch(
    files: Sequence[RemoteFile],
    folder: Path,
    *,
    connections: int = 4,
    progress: Progress | None = None,
    mirror: str | None = None,
    patience: Patience | None = None,
    stop: threading.Event | None = None,
) -> list[Fetched]:
    """Bring every file to `folder/<name>`, in the order given; files that are there and right are not asked for again.

    `mirror` (default: $VITRET_MIRROR) is an address that stands in for every host: https://HOST/PATH is asked for
    as MIRROR/HOST/PATH. Safe to run twice at once: the second run waits for the first, file by file.

    Raises DataError when a file cannot be had or is not what its hash says, MachineError when the disk is full; what
    has come so far is kept, and the same call goes on from there. Setting `stop` ends it soon, with StoppedError.
    """
    if len({file.name for file in files}) < len(files):
        raise UserError("Two of the files to fetch have the same name.")
    mirror = mirror if mirror is not None else os.environ.get("VITRET_MIRROR")
    files = [through(file, mirror) for file in files] if mirror else list(files)
    patience = patience or Patience(jitter=random.Random())
    connections = max(1, min(connections, MOST_CONNECTIONS, len(files)))
    stop = stop or threading.Event()
    with client(patience.timeout, connections) as http, ThreadPoolExecutor(connections) as pool:
        fetcher = _Fetcher(folder, http=http, patience=patience, progress=progress, stop=stop)
        futures = [pool.submit(fetcher.one, file) for file in files]
        try:
            for done in as_completed(futures):
                # A full disk ends all; a file that cannot be had does not keep the others from coming.
                if not isinstance(done.exception(), DataError | NoneType):
                    stop.set()
        except BaseException:
            stop.set()
            raise
    problems = [error for future in futures if (error := future.exception()) is not None]
    for error in problems:
        if not isinstance(error, DataError | StoppedError):
            raise error
    if said := [str(error) for error in problems if isinstance(error, DataError)]:
        raise DataError("\n".join(said))
    return [future.result() for future in futures]


def through(file: RemoteFile, mirror: str) -> RemoteFile:
    """The same file, asked for from `mirror`.

    >>> through(RemoteFile(name="a.tgz", urls=("https://host.org/x/a.tgz",)), "http://localhost:8000/").urls
    ('http://localhost:8000/host.org/x/a.tgz',)
    """
    base = mirror.rstrip("/")

    def there(url: str) -> str:
        return f"{base}/{(parts := urlsplit(url)).netloc}{parts.path}"

    return replace(
        file,
        urls=tuple(dict.fromkeys(map(there, file.urls))),
        hash_url=file.hash_url and there(file.hash_url),
    )


def with_hash(file: RemoteFile, text: Path) -> RemoteFile:
    """`file` with the md5 or sha256 that a list of `hash address` lines gives for an address that ends in its name.

    A list without it raises DataError.
    """
    name = PurePosixPath(file.name).name
    rows = [line.split() for line in text.read_text(encoding="utf-8", errors="replace").splitlines()]
    found = {row[0].lower() for row in rows if len(row) == 2 and row[1].rpartition("/")[2] == name}
    digest = found.pop() if len(found) == 1 else ""
    if len(digest) not in (32, 64) or set(digest) - set("0123456789abcdef"):
        raise DataError(f"{file.hash_url}: gives no one md5 or sha256 of {name}. Run the same command again.")
    if len(digest) == 32:
        return replace(file, md5=digest, hash_source="publisher")
    return replace(file, sha256=digest, hash_source="publisher")


def discard(path: Path) -> None:
    """Forget a fetched file that turned out to be unusable, with its record, so that it is fetched anew."""
    for suffix in ("", ".fetched.json", ".part", ".part.json"):
        path.with_name(path.name + suffix).unlink(missing_ok=True)


class StoppedError(Exception):
    """Another file failed in a way that ends all, or the caller gave up."""


class _WrongBytes(Exception):  # noqa: N818 -- an answer about bytes, told to the person as DataError
    """What came is not the file; a host that does it twice is not asked again."""


class _Fetcher:
    """What all files of one call share: client, patience, progress, and the event that ends them all."""

    def __init__(
        self,
        folder: Path,
        *,
        http: httpx.Client,
        patience: Patience,
        progress: Progress | None,
        stop: threading.Event,
    ) -> None:
        self.folder, self.http, self.patience, self.stop = folder, http, patience, stop
        self._progress, self._speaking = progress, threading.Lock()

    def one(self, file: RemoteFile) -> Fetched:
        """This file, fetched or found, under a lock that keeps a second process from doing the same."""
        self._check_stop()
        if file.hash_url is not None and not file.hash_known:
            return self._listed(file, file.hash_url)
        final = self.folder / file.name
        try:
            final.parent.mkdir(parents=True, exist_ok=True)
            with locked(final.with_name(f".{final.name}.lock"), between=self._check_stop):
                return self._kept(file, final) or self._fetch(file, final)
        except OSError as error:
            self.stop.set()
            raise machine_error(final, error) from error

    def _listed(self, file: RemoteFile, url: str) -> Fetched:
        """The file, held to its publisher's list; neither a list that grows nor a mistake in one binds a later run."""
        text = self.one(RemoteFile(name=f"{file.name}.hashes.txt", urls=(url,))).path
        _record_path(text).unlink(missing_ok=True)
        try:
            return self.one(with_hash(file, text))
        except DataError:
            discard(text)
            raise

    def _kept(self, file: RemoteFile, final: Path) -> Fetched | None:
        """The file if it is there and right; one that we fetched and that was damaged since is removed."""
        record_path = _record_path(final)
        try:
            found = find(file, self.folder)
        except DataError:
            if not record_path.exists() or not file.urls:
                raise
            final.unlink()
            return None
        if found is not None:
            record = read_json(record_path) if record_path.exists() else {}
            _write_record(found, record_path, validator=record.get("validator"))
        return found

    def _check_stop(self) -> None:
        if self.stop.is_set():
            raise StoppedError

    def _tell(self, name: str, done: int, total: int | None) -> None:
        if self._progress is not None:
            with self._speaking:
                self._progress(name, done, total)

    def _fetch(self, file: RemoteFile, final: Path) -> Fetched:
        part = Part(final, md5=file.md5 is not None)
        refused: list[str] = []
        for url in file.urls:
            try:
                self._from(url, file, part)
                return _finish(file, part, final, url)
            except GoneError as error:
                refused.append(f"{url}: {error}")
        raise DataError(_nowhere(file, final, refused, kept=part.size))

    def _from(self, url: str, file: RemoteFile, part: Part) -> None:
        """Fill the part from one address and verify it; raises GoneError when this address is used up."""
        failures, wrong, furthest = 0, 0, part.size
        while True:
            asked = None
            try:
                self._check_stop()
                if not _is_all(file, part):
                    self._stream(url, file, part)
                if problem := _problem(file, part):
                    part.clear()
                    raise _WrongBytes(problem)
                return
            except _WrongBytes as error:
                wrong += 1
                if wrong == 2:
                    raise GoneError(str(error)) from error
                continue
            except TransientError as error:
                if part.size >= furthest + PROGRESS_MADE:
                    failures, furthest = 0, part.size
                failures += 1
                if failures >= self.patience.attempts:
                    raise GoneError(f"{error}; {failures} attempts") from error
                asked = error.wait
            self.stop.wait(self.patience.pause(failures, asked))

    def _stream(self, url: str, file: RemoteFile, part: Part) -> None:
        """One attempt: append what the host gives from the part's end on, or start again where that is not safe."""
        same = part.state.get("url") == url
        validator = part.state.get("validator") if same else None
        # Without a validator, or from another address, only a known hash can tell whether the two halves fit.
        if part.size and validator is None and not file.hash_known:
            part.clear()
        try:
            with open_stream(self.http, url, start=part.size, validator=validator) as stream:
                first = next(stream.chunks, b"")
                if stream.start == 0 and (page := _page(file.name, first)):
                    raise _WrongBytes(page)
                total = self._agree(stream, file, part, same=same)
                part.begin(url, stream.validator, total)
                with part.appending() as append:
                    for piece in chain((first,), stream.chunks):
                        self._check_stop()
                        append(piece)
                        if total is not None and part.size > total:
                            part.clear()
                            raise _WrongBytes(f"more than the {total:,} bytes expected")
                        self._tell(file.name, part.size, total)
            if total is not None and part.size < total:
                raise TransientError(f"ended after {part.size:,} of {total:,} bytes")
        except PastEndError as error:
            if error.total != part.size:
                part.clear()
                raise TransientError("the file there is shorter than the part here") from error

    def _agree(self, stream: Stream, file: RemoteFile, part: Part, *, same: bool) -> int | None:
        """Make the part fit what the host offers, or raise; returns the size to expect, None where nobody says one."""
        before = part.state if same else {}
        changed = any(
            old is not None and new is not None and old != new
            for old, new in ((before.get("validator"), stream.validator), (before.get("total"), stream.total))
        )
        if stream.start != part.size or (part.size and changed):
            asked = part.size
            part.clear()
            if stream.start:
                raise TransientError(
                    f"asked for byte {asked:,}, began at {stream.start:,}, or changed meanwhile"
                )
        if file.size is not None and stream.total is not None and stream.total != file.size:
            raise GoneError(f"{stream.total:,} bytes there, {file.size:,} expected")
        total = stream.total if stream.total is not None else file.size
        if total is None and not stream.end_is_sure and not file.hash_known:
            raise GoneError("does not say how long the file is, and no size or hash is known")
        require_space(part.path.parent, (total or 0) - part.size)
        return total


def _is_all(file: RemoteFile, part: Part) -> bool:
    """Whether the part was complete when an earlier run was interrupted before the rename."""
    total = file.size if file.size is not None else part.state.get("total")
    return part.size > 0 and total == part.size


def _problem(file: RemoteFile, part: Part) -> str | None:
    """Why the part, which is all there is, is not the file, as far as anybody can know."""
    if problem := _mismatch(file, part.size, part.sha256, part.md5) or _page(file.name, part.head(1024)):
        return problem
    return None if file.hash_known else check_archive(part.path, name=file.name)


def _mismatch(file: RemoteFile, size: int, sha256: str, md5: str | None) -> str | None:
    if file.size is not None and size != file.size:
        return f"{size:,} bytes, {file.size:,} expected"
    for kind, found, known in (("sha256", sha256, file.sha256), ("md5", md5, file.md5)):
        if known and found != known.lower():
            return f"{kind} is {found}, {known.lower()} expected ({file.hash_source})"
    return None


def _page(name: str, head: bytes) -> str | None:
    """A reason when a file begins as a web page although its name does not say so."""
    start = head[:1024].lstrip(b"\xef\xbb\xbf \t\r\n").lower()
    if name.lower().endswith((".html", ".htm")) or not start.startswith(
        (b"<!doctype html", b"<html", b"<head")
    ):
        return None
    return "gives a web page in place of the file (a login, a consent form or an error)"


def _finish(file: RemoteFile, part: Part, final: Path, url: str) -> Fetched:
    """Record the hash, then rename: a final name without a record is a file that a person put there."""
    record_path = _record_path(final)
    fetched = Fetched(
        path=final,
        size=part.size,
        sha256=part.sha256,
        md5=part.md5,
        url=url,
        hash_source=file.hash_source if file.hash_known else "first use",
    )
    try:
        _agree_with_first_use(fetched, record_path)
    except DataError:
        part.clear()
        raise
    _write_record(fetched, record_path, validator=part.state.get("validator"))
    part.become(final)
    return fetched


def _agree_with_first_use(fetched: Fetched, record_path: Path) -> None:
    if not record_path.exists():
        return
    first = read_json(record_path)
    if fetched.hash_source == "first use" and first.get("sha256") != fetched.sha256:
        raise DataError(
            f"{fetched.url}: not the bytes of the first fetch (sha256 {fetched.sha256}, was {first.get('sha256')}): "
            "the publisher changed the file, or somebody tampered with one of the two. To accept the new one, remove "
            f"{record_path}."
        )


def _write_record(fetched: Fetched, record_path: Path, *, validator: str | None) -> None:
    record = asdict(fetched) | {"validator": validator}
    del record["path"]
    if not record_path.exists() or read_json(record_path) != record:
        write_json(record_path, record)


def find(file: RemoteFile, folder: Path) -> Fetched | None:
    """The file if it is in `folder`, whole and right, fetched before or put there by hand; None if it is not there.

    Nothing is written. A file that is not what its hash or its record says raises DataError.
    """
    final = folder / file.name
    if not final.exists():
        return None
    record_path = _record_path(final)
    record = dict(read_json(record_path)) if record_path.exists() else None
    size, sha256, md5 = hash_file(final, md5=file.md5 is not None)
    problem = _mismatch(file, size, sha256, md5)
    if problem is None and record is not None and record.get("sha256") != sha256:
        problem = "changed since it was fetched"
    if problem is None and record is None:
        with final.open("rb") as handle:
            problem = _page(file.name, handle.read(1024))
        if problem is None and not file.hash_known:
            problem = check_archive(final, name=file.name)
    if problem:
        raise DataError(f"{final}: {problem}. Remove it, then run the same command again.")
    return Fetched(
        path=final,
        size=size,
        sha256=sha256,
        md5=md5,
        url=record.get("url") if record else None,
        hash_source=file.hash_source if file.hash_known else "first use",
    )


def _record_path(final: Path) -> Path:
    return final.with_name(f"{final.name}.fetched.json")


def _nowhere(file: RemoteFile, final: Path, refused: Sequence[str], *, kept: int) -> str:
    """What a person reads when no address gave the file."""
    tried = "".join(f"\n  {line}" for line in refused) or "\n  it has no public address"
    ways = file.by_hand or f"Fetch it by hand and put it at {final}, then run the same command again."
    so_far = f" The {kept:,} bytes so far are kept and will be used." if kept else ""
    return f"{file.name}: cannot be fetched.{tried}\n  {ways}{so_far}"
