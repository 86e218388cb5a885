"""A local stand-in for the official hosts: HTTP with ranges, and every way in which a host can misbehave.

    with OfficialServer() as server:                                    # or the fixture `official_server`
        server.put("www.robots.ox.ac.uk/~vgg/data/a.tgz", b"...")        # bytes, or a Path of a file to copy
        server.serve(folder)                                            # or a whole tree: folder/<host>/<path>
        server.url("www.robots.ox.ac.uk/~vgg/data/a.tgz")               # its address here
        server.mirror                                                   # for $VITRET_MIRROR:
                                                                        # https://HOST/PATH is asked as /HOST/PATH
        server.fault("www.robots.ox.ac.uk/~vgg/data/a.tgz", Drop(1000))  # the next request for it fails this way
        server.fault("*", Status(503), times=2)                         # the next two requests, whatever they ask for
        server.fault(path, NoRanges(), times=None)                      # for ever
        server.requests                                                 # what was asked: Request(path, range, agent)

Faults on a path are used up in the order given, one a request; `*` is looked at after the path's own.
An ETag is the sha256 of the file served, so two servers with the same files agree.
Every fault is one class below.
"""

import contextlib
import hashlib
import http.server
import re
import shutil
import socket
import socketserver
import tempfile
import threading
import time
from collections import defaultdict, deque
from dataclasses import dataclass, field
from pathlib import Path
from typing import Self
from urllib.parse import unquote, urlsplit

HTML = b"<!DOCTYPE html>\n<html><head><title>302 Found</title></head><body>The document has moved.</body></html>\n"
CHUNK = 1 << 16


@dataclass(frozen=True)
class Drop:
    """The connection is closed after this many bytes of the body."""

    after: int


@dataclass(frozen=True)
class Truncate:
    """The file ends after this many bytes and the headers say that this is all of it."""

    after: int


@dataclass(frozen=True)
class Stall:
    """Nothing more comes after this many bytes, for so many seconds; then the connection is closed."""

    after: int
    seconds: float = 30.0


@dataclass(frozen=True)
class Slow:
    """A pause after every chunk of so many bytes, so that there is time to be killed."""

    chunk: int = 4096
    pause: float = 0.01


@dataclass(frozen=True)
class Status:
    """An answer with this status and a short text."""

    code: int
    retry_after: str | None = None


@dataclass(frozen=True)
class Redirect:
    """A 302 to this path here, or to a full address."""

    to: str


@dataclass(frozen=True)
class Html:
    """200 with a web page in place of the file, as a login or an error page comes."""


@dataclass(frozen=True)
class Wrong:
    """Bytes of the right length, one of which (at this place) is not right."""

    at: int = 0


@dataclass(frozen=True)
class NoRanges:
    """Ranges are ignored: 200 and the whole file."""


@dataclass(frozen=True)
class BadRange:
    """A 206 whose Content-Range begins elsewhere than asked."""


@dataclass(frozen=True)
class NoLength:
    """The whole file without Content-Length and without ETag: its end is the end of the connection."""


Fault = Drop | Truncate | Stall | Slow | Status | Redirect | Html | Wrong | NoRanges | BadRange | NoLength


@dataclass(frozen=True)
class Request:
    path: str
    range: str | None
    agent: str | None


@dataclass
class _Queue:
    faults: deque[tuple[Fault, int | None]] = field(default_factory=deque)

    def take(self) -> Fault | None:
        if not self.faults:
            return None
        fault, times = self.faults[0]
        if times is not None:
            self.faults.popleft()
            if times > 1:
                self.faults.appendleft((fault, times - 1))
        return fault


class OfficialServer:
    """Serves a folder until the `with` block ends; see the module's first lines."""

    def __init__(self, folder: Path | None = None) -> None:
        self._own = tempfile.mkdtemp(prefix="official-") if folder is None else None
        self.folder = Path(self._own) if folder is None else folder
        self.requests: list[Request] = []
        self._queues: defaultdict[str, _Queue] = defaultdict(_Queue)
        self._etags: dict[tuple[str, int, int], str] = {}
        self._lock = threading.Lock()
        self._closing = threading.Event()

    def __enter__(self) -> Self:
        handler = type("Handler", (_Handler,), {"official": self})
        self._server = _Server(("127.0.0.1", 0), handler)
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.02,), daemon=True)
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._closing.set()
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()
        if self._own is not None:
            shutil.rmtree(self._own, ignore_errors=True)

    @property
    def mirror(self) -> str:
        return f"http://127.0.0.1:{self._server.server_address[1]}"

    def url(self, path: str) -> str:
        return f"{self.mirror}/{path.lstrip('/')}"

    def serve(self, folder: Path) -> None:
        """From now on, files come from this folder (`folder/<host>/<path>`)."""
        self.folder = folder

    def put(self, path: str, content: bytes | Path) -> str:
        """Offer these bytes at this path; returns the address."""
        target = self.folder / path.lstrip("/")
        target.parent.mkdir(parents=True, exist_ok=True)
        if isinstance(content, Path):
            shutil.copyfile(content, target)
        else:
            target.write_bytes(content)
        return self.url(path)

    def fault(self, path: str, fault: Fault, *, times: int | None = 1) -> None:
        """Let the next `times` requests for `path` (or `*`) go wrong like this; None is for ever."""
        with self._lock:
            self._queues[path.lstrip("/")].faults.append((fault, times))

    def heal(self) -> None:
        """Forget every fault that has not happened yet."""
        with self._lock:
            self._queues.clear()

    def _next_fault(self, path: str) -> Fault | None:
        with self._lock:
            for key in (path, "*"):
                if key in self._queues and (fault := self._queues[key].take()) is not None:
                    return fault
        return None

    def _etag(self, file: Path) -> str:
        stat = file.stat()
        key = (str(file), stat.st_size, stat.st_mtime_ns)
        if key not in self._etags:
            with file.open("rb") as handle:
                self._etags[key] = f'"{hashlib.file_digest(handle, "sha256").hexdigest()[:32]}"'
        return self._etags[key]


class _Server(socketserver.ThreadingMixIn, http.server.HTTPServer):
    daemon_threads = True
    block_on_close = False
    request_queue_size = 64


class _Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    official: OfficialServer

    def log_message(self, *_: object) -> None:
        pass

    def handle(self) -> None:
        with contextlib.suppress(ConnectionError, TimeoutError):
            super().handle()

    def do_HEAD(self) -> None:
        self.do_GET()

    def do_GET(self) -> None:
        path = unquote(urlsplit(self.path).path).lstrip("/")
        wanted = self.headers.get("Range")
        self.official.requests.append(Request(path, wanted, self.headers.get("User-Agent")))
        fault = self.official._next_fault(path)
        match fault:
            case Status(code, retry_after):
                extra = {"Retry-After": retry_after} if retry_after else {}
                return self._small(code, b"not now\n", **extra)
            case Redirect(to):
                return self._small(302, b"", Location=to if "://" in to else self.official.url(to))
            case Html():
                return self._small(200, HTML, **{"Content-Type": "text/html; charset=utf-8"})
        file = self.official.folder / path
        if ".." in path.split("/") or not file.is_file():
            return self._small(404, b"no such file\n")
        self._file(file, wanted, fault)
        return None

    def _small(self, code: int, body: bytes, **headers: str) -> None:
        self.send_response(code)
        for name, value in headers.items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    def _file(self, file: Path, wanted: str | None, fault: Fault | None) -> None:
        size, etag = file.stat().st_size, self.official._etag(file)
        if isinstance(fault, Truncate):
            size = min(size, fault.after)
        start = 0
        match_ = re.fullmatch(r"bytes=(\d+)-", wanted or "")
        fresh = self.headers.get("If-Range") in (None, etag)
        if match_ and fresh and not isinstance(fault, NoRanges | NoLength):
            start = int(match_[1])
            if start >= size:
                return self._small(416, b"", **{"Content-Range": f"bytes */{size}"})
            said = start + 1 if isinstance(fault, BadRange) else start
            self.send_response(206)
            self.send_header("Content-Range", f"bytes {said}-{size - 1}/{size}")
        else:
            self.send_response(200)
        self.send_header("Content-Type", "application/octet-stream")
        if isinstance(fault, NoLength):
            self.close_connection = True
            self.send_header("Connection", "close")
        else:
            self.send_header("Content-Length", str(size - start))
            self.send_header("ETag", etag)
            if not isinstance(fault, NoRanges):
                self.send_header("Accept-Ranges", "bytes")
        self.end_headers()
        if self.command != "HEAD":
            self._body(file, start, size, fault)
        return None

    def _body(self, file: Path, start: int, size: int, fault: Fault | None) -> None:
        step = fault.chunk if isinstance(fault, Slow) else CHUNK
        stop = min(size, start + fault.after) if isinstance(fault, Drop | Stall) else size
        with file.open("rb") as handle:
            handle.seek(start)
            at = start
            while at < stop:
                piece = bytearray(handle.read(min(step, stop - at)))
                if isinstance(fault, Wrong) and at <= fault.at < at + len(piece):
                    piece[fault.at - at] ^= 0xFF
                self.wfile.write(piece)
                at += len(piece)
                if isinstance(fault, Slow):
                    time.sleep(fault.pause)
        if stop < size or isinstance(fault, Drop | Stall):
            self.wfile.flush()
            if isinstance(fault, Stall):
                self.official._closing.wait(fault.seconds)
            self.close_connection = True
            with contextlib.suppress(OSError):
                self.connection.shutdown(socket.SHUT_RDWR)
