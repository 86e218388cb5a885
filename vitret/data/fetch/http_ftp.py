"""One attempt to read a remote file from a byte on: HTTP ranges (RFC 9110, 13.1.5 and 14) or FTP REST (RFC 3659).

A stream says where its bytes begin and what identifies the version they belong to. What goes wrong is one of two
things: `TransientError`, worth another attempt, or `GoneError`, for which another address is needed.
"""

import contextlib
import ftplib
import os
import re
import socket
import ssl
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from email.utils import parsedate_to_datetime
from urllib.parse import unquote, urlsplit

import httpx

from vitret import __version__
from vitret.core.errors import MachineError, UserError

AGENT = f"vitret/{__version__} (image-retrieval benchmark; polite client)"
CHUNK = 1 << 20
PROXIES = ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY")


class TransientError(Exception):
    """This attempt failed; the next may not. `wait` is what the host asked for, in seconds."""

    def __init__(self, reason: str, wait: float | None = None) -> None:
        super().__init__(reason)
        self.wait = wait


class GoneError(Exception):
    """This address will not give the file, however often it is asked."""


class PastEndError(Exception):
    """The host has nothing from this byte on; `total` is the size it names, if it does."""

    def __init__(self, total: int | None) -> None:
        super().__init__("nothing from this byte on")
        self.total = total


@dataclass(frozen=True, kw_only=True)
class Stream:
    """Bytes from `start` to the end of a file of `total` bytes (None: not said).

    `validator` is a value for If-Range (a strong ETag or a date), or None where the host gives nothing to rely on.
    `end_is_sure` is False where a broken connection looks like the end of the file.
    """

    start: int
    total: int | None
    validator: str | None
    end_is_sure: bool
    chunks: Iterator[bytes]


def client(timeout: float, connections: int) -> httpx.Client:
    """An HTTP client that follows redirects and takes proxies and SSL_CERT_FILE from the environment.

    A variable that cannot be followed raises `UserError`, a SOCKS proxy without its package `MachineError`.
    """
    try:
        return httpx.Client(
            follow_redirects=True,
            timeout=timeout,
            limits=httpx.Limits(max_connections=connections, max_keepalive_connections=connections),
            headers={"User-Agent": AGENT, "Accept": "*/*", "Accept-Encoding": "identity"},
        )
    except ImportError as error:
        raise MachineError(
            f"{_set(*PROXIES)}: a SOCKS proxy, for which a package is missing: pip install 'httpx[socks]'"
        ) from error
    except OSError as error:
        raise UserError(
            f"SSL_CERT_FILE={os.environ.get('SSL_CERT_FILE')}: not a readable file of certificates "
            f"({error.strerror or error}). Set it to the PEM file of your certificate authority, or unset it."
        ) from error
    except (ValueError, httpx.InvalidURL) as error:
        raise UserError(
            f"{_set(*PROXIES, 'NO_PROXY')}: not the address of a proxy ({error}). Set it to one like "
            "http://host:3128, or unset it."
        ) from error


def _set(*names: str) -> str:
    """Which of these variables are set, in capitals or not; their values may hold a password."""
    return ", ".join(sorted(key for key, value in os.environ.items() if key.upper() in names and value))


@contextlib.contextmanager
def open_stream(http: httpx.Client, url: str, *, start: int, validator: str | None) -> Iterator[Stream]:
    """Open `url` from byte `start` on.

    Raises TransientError or GoneError, while opening and while reading, and PastEndError while opening.
    """
    try:
        if urlsplit(url).scheme == "ftp":
            with _open_ftp(url, start, validator, http.timeout.read or 60.0) as stream:
                yield stream
        else:
            with _open_http(http, url, start, validator) as stream:
                yield stream
    except (httpx.UnsupportedProtocol, httpx.TooManyRedirects, httpx.InvalidURL) as error:
        raise GoneError(f"leads nowhere ({error})") from error
    except httpx.TimeoutException as error:
        raise TransientError(f"no bytes for {http.timeout.read:g} s") from error
    except httpx.TransportError as error:
        if isinstance(error.__cause__, ssl.SSLCertVerificationError) or "CERTIFICATE_VERIFY" in str(error):
            hint = "behind an own certificate authority, set SSL_CERT_FILE"
            raise GoneError(f"its certificate is not trusted ({error}); {hint}") from error
        raise TransientError(f"{type(error).__name__}: {error}".rstrip(": ")) from error


@contextlib.contextmanager
def _open_http(http: httpx.Client, url: str, start: int, validator: str | None) -> Iterator[Stream]:
    headers = {}
    if start:
        headers["Range"] = f"bytes={start}-"
        if validator:
            headers["If-Range"] = validator
    with http.stream("GET", url, headers=headers) as answer:
        _refuse(answer.status_code, answer.headers)
        begins, total = 0, _number(answer.headers.get("Content-Length"))
        if answer.status_code == 206:
            begins, total = _content_range(answer.headers.get("Content-Range", ""))
        encoding = answer.headers.get("Content-Encoding", "identity").lower()
        # Some hosts label a .tgz as gzip-encoded: its raw bytes are the file, and are what iter_raw gives.
        if encoding != "identity" and not url.split("?")[0].endswith(("gz", ".Z")):
            raise GoneError(f"answers in the encoding '{encoding}', which was not asked for")
        yield Stream(
            start=begins,
            total=total,
            validator=_validator(answer.headers),
            end_is_sure=total is not None or answer.headers.get("Transfer-Encoding", "").lower() == "chunked",
            chunks=answer.iter_raw(),
        )


def _refuse(status: int, headers: httpx.Headers) -> None:
    """Raise for every status that comes without the file."""
    if status in (200, 206):
        return
    if status == 416:
        total = re.fullmatch(r"bytes \*/(\d+)", headers.get("Content-Range", ""))
        raise PastEndError(int(total[1]) if total else None)
    if status in (408, 425, 429) or status >= 500:
        raise TransientError(f"answers {status}", _retry_after(headers))
    if status in (401, 403, 407, 451):
        raise GoneError(f"answers {status}: it asks for permission")
    raise GoneError(
        f"answers {status}: the file is not there" if status in (404, 410) else f"answers {status}"
    )


def _validator(headers: Mapping[str, str]) -> str | None:
    """A strong ETag, else Last-Modified: weak ETags must not be sent in If-Range."""
    etag = headers.get("ETag")
    if etag and not etag.startswith("W/"):
        return etag
    return headers.get("Last-Modified")


def _content_range(text: str) -> tuple[int, int | None]:
    found = re.fullmatch(r"bytes (\d+)-\d+/(\d+|\*)", text)
    if not found:
        raise TransientError(f"a partial answer with Content-Range '{text}'")
    return int(found[1]), _number(found[2])


def _number(text: str | None) -> int | None:
    return int(text) if text and text.isascii() and text.isdigit() else None


def _retry_after(headers: httpx.Headers) -> float | None:
    """Seconds from a Retry-After header; a date counts from the host's own Date."""
    text = headers.get("Retry-After")
    if text is None:
        return None
    if (seconds := _number(text)) is not None:
        return float(seconds)
    try:
        until, now = parsedate_to_datetime(text), parsedate_to_datetime(headers.get("Date", ""))
        return max(0.0, (until - now).total_seconds())
    except (ValueError, TypeError):
        return None


@contextlib.contextmanager
def _open_ftp(url: str, start: int, validator: str | None, timeout: float) -> Iterator[Stream]:
    parts = urlsplit(url)
    path = unquote(parts.path).lstrip("/")
    if "\r" in path or "\n" in path:
        raise GoneError("a line break in an FTP path")
    with contextlib.ExitStack() as stack:
        with _ftp_errors(timeout):
            ftp = ftplib.FTP(timeout=timeout)
            stack.callback(ftp.close)
            ftp.connect(parts.hostname or "", parts.port or ftplib.FTP_PORT)
            ftp.login()
            ftp.voidcmd("TYPE I")
            total = ftp.size(path)
            version = f"ftp:{total}:{_modified(ftp, path)}"
            if validator not in (None, version):
                start = 0
            if total is not None and start and start >= total:
                raise PastEndError(total)
            start, connection = _retrieve(ftp, path, start)
            stack.enter_context(connection)
        yield Stream(
            start=start,
            total=total,
            validator=version,
            end_is_sure=total is not None,
            chunks=_received(connection, timeout),
        )


def _retrieve(ftp: ftplib.FTP, path: str, start: int) -> tuple[int, socket.socket]:
    """The byte from which the host gives the file, and the connection it comes on.

    From 0 where a host does not restart: it may not know REST, or know it and refuse the transfer then.
    """
    try:
        return start, ftp.transfercmd(f"RETR {path}", rest=start or None)
    except ftplib.error_perm:
        if not start:
            raise
        return 0, ftp.transfercmd(f"RETR {path}")


def _received(connection: socket.socket, timeout: float) -> Iterator[bytes]:
    while True:
        with _ftp_errors(timeout):
            piece = connection.recv(CHUNK)
        if not piece:
            return
        yield piece


@contextlib.contextmanager
def _ftp_errors(timeout: float) -> Iterator[None]:
    """Sort what ftplib and sockets raise; never around code that writes to our own disk, whose errors are not these."""
    try:
        yield
    except ftplib.error_perm as error:
        raise GoneError(f"answers {error}") from error
    except TimeoutError as error:
        raise TransientError(f"no bytes for {timeout:g} s{_past_proxies()}") from error
    except (ftplib.Error, EOFError, OSError) as error:
        raise TransientError(f"FTP: {error}{_past_proxies()}") from error


def _past_proxies() -> str:
    """What a user behind a proxy must know of FTP."""
    proxies = _set("FTP_PROXY", *PROXIES)
    return f"; FTP does not go through the proxy of {proxies}" if proxies else ""


def _modified(ftp: ftplib.FTP, path: str) -> str:
    with contextlib.suppress(ftplib.Error):
        return ftp.voidcmd(f"MDTM {path}").removeprefix("213 ").strip()
    return ""
