"""Official files fetched whole or not at all: resumed by ranges, hashed while they stream, renamed when they are right.

Every file `name` has three companions in its folder: `name.part` and `name.part.json` while it is under way (the bytes
so far; the address and the version they belong to), and `name.fetched.json` afterwards (size, hashes, where they come
from). Where no hash is published, the first use records one, and a later fetch must give the same bytes.
What is asked of a host is bounded: few connections, pauses that grow, a fixed number of attempts.
"""

import os
import random
import threading
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from itertools import chain
from pathlib import Path
from types import NoneType

import httpx

from vitret.core.errors import DataError, UserError
from vitret.core.locks import locked
from vitret.core.store import machine_error, read_json_object, require_space
from vitret.data.fetch.archive import check_archive
from vitret.data.fetch.fetched import (
    Fetched,
    agree_with_first_use,
    discard,
    find,
    mismatch,
    record_path_of,
    web_page,
    write_fetched,
)
from vitret.data.fetch.http_ftp import GoneError, PastEndError, Stream, TransientError, client, open_stream
from vitret.data.fetch.partial_file import Part
from vitret.data.fetch.patience import Patience
from vitret.data.fetch.remote_file import RemoteFile, through, with_hash

CONNECTIONS = 4

Progress = Callable[[str, int, int | None], None]
"""Called with (file name, bytes so far, bytes in all or None), from one thread at a time."""


def fetch(
    files: Sequence[RemoteFile],
    folder: Path,
    *,
    progress: Progress | None = None,
    patience: Patience | None = None,
    stop: threading.Event | None = None,
) -> list[Fetched]:
    """Download every file to `folder/<name>`, in the order given; those that are there and right are not asked for.

    $VITRET_MIRROR is an address that stands in for every host: https://HOST/PATH is asked for as MIRROR/HOST/PATH.
    Safe to run twice at once: the second run waits for the first, file by file.

    Raises DataError when a file cannot be obtained or is not what its hash says, MachineError when the disk is full;
    the bytes so far are kept, and the same call continues from there. Setting `stop` ends it soon, with StoppedError.
    """
    if len({file.name for file in files}) < len(files):
        raise UserError("Two of the files to fetch have the same name.")
    if mirror := os.environ.get("VITRET_MIRROR"):
        files = [through(file, mirror) for file in files]
    patience = patience or Patience(jitter=random.Random())
    connections = max(1, min(CONNECTIONS, len(files)))
    stop = stop or threading.Event()
    with client(patience.timeout, connections) as http, ThreadPoolExecutor(connections) as pool:
        fetcher = _Fetcher(folder, http=http, patience=patience, progress=progress, stop=stop)
        futures = [pool.submit(fetcher.one, file) for file in files]
        try:
            for done in as_completed(futures):
                # A full disk ends all; a file that cannot be obtained does not stop the others.
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


class StoppedError(Exception):
    """Another file failed in a way that ends all, or the caller gave up."""


class _WrongBytes(Exception):  # noqa: N818 -- an answer about bytes, told to the user as DataError
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
        record_path_of(text).unlink(missing_ok=True)
        try:
            return self.one(with_hash(file, text))
        except DataError:
            discard(text)
            raise

    def _kept(self, file: RemoteFile, final: Path) -> Fetched | None:
        """The file if it is there and right; one that we fetched and that was damaged since is removed."""
        record_path = record_path_of(final)
        try:
            found = find(file, self.folder)
        except DataError:
            if not record_path.exists() or not file.urls:
                raise
            final.unlink()
            return None
        if found is not None:
            record = read_json_object(record_path) if record_path.exists() else {}
            write_fetched(found, record_path, validator=record.get("validator"))
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
        try:
            try:
                self._patiently(url, file, part)
            except _WrongBytes:
                # A proxy or a page for one moment may have given them: once more, from the first byte.
                self._patiently(url, file, part)
        except _WrongBytes as error:
            raise GoneError(str(error)) from error
        except TransientError as error:
            raise GoneError(f"{error}; {self.patience.attempts} attempts") from error

    def _patiently(self, url: str, file: RemoteFile, part: Part) -> None:
        self.patience.retrying(lambda: part.size, self.stop)(self._attempt, url, file, part)

    def _attempt(self, url: str, file: RemoteFile, part: Part) -> None:
        self._check_stop()
        if not _is_all(file, part):
            self._stream(url, file, part)
        if problem := _problem(file, part):
            part.clear()
            raise _WrongBytes(problem)

    def _stream(self, url: str, file: RemoteFile, part: Part) -> None:
        """Append what the host gives from the part's end on, or start again where that is not safe."""
        same = part.state.get("url") == url
        validator = part.state.get("validator") if same else None
        # Without a validator, or from another address, only a known hash can tell whether the two halves fit.
        if part.size and validator is None and not file.hash_known:
            part.clear()
        try:
            with open_stream(self.http, url, start=part.size, validator=validator) as stream:
                first = next(stream.chunks, b"")
                if stream.start == 0 and (page := web_page(file.name, first)):
                    raise _WrongBytes(page)
                total = _agree(stream, file, part, same=same)
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


def _agree(stream: Stream, file: RemoteFile, part: Part, *, same: bool) -> int | None:
    """Make the part fit what the host offers, or raise; returns the size to expect, None where none is known."""
    before = part.state if same else {}
    changed = any(
        old is not None and new is not None and old != new
        for old, new in ((before.get("validator"), stream.validator), (before.get("total"), stream.total))
    )
    if stream.start != part.size or (part.size and changed):
        asked = part.size
        part.clear()
        if stream.start:
            raise TransientError(f"asked for byte {asked:,}, began at {stream.start:,}, or changed meanwhile")
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
    """Why the part, which is all there is, is not the file, as far as can be known."""
    if problem := mismatch(file, part.size, part.sha256, part.md5) or web_page(file.name, part.head(1024)):
        return problem
    return None if file.hash_known else check_archive(part.path, name=file.name)


def _finish(file: RemoteFile, part: Part, final: Path, url: str) -> Fetched:
    """Record the hash, then rename: a final name without a record is a file that the user put there."""
    record_path = record_path_of(final)
    fetched = Fetched(
        path=final,
        size=part.size,
        sha256=part.sha256,
        md5=part.md5,
        url=url,
        hash_source=file.hash_source if file.hash_known else "first use",
    )
    try:
        agree_with_first_use(fetched, record_path)
    except DataError:
        part.clear()
        raise
    write_fetched(fetched, record_path, validator=part.state.get("validator"))
    part.become(final)
    return fetched


def _nowhere(file: RemoteFile, final: Path, refused: Sequence[str], *, kept: int) -> str:
    """What a user reads when no address gave the file."""
    tried = "".join(f"\n  {line}" for line in refused) or "\n  it has no public address"
    ways = file.by_hand or f"Fetch it by hand and put it at {final}, then run the same command again."
    so_far = f" The {kept:,} bytes so far are kept and will be used." if kept else ""
    return f"{file.name}: cannot be fetched.{tried}\n  {ways}{so_far}"
