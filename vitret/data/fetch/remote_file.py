"""A file of a publisher: its name, its addresses, and what is known of its bytes before they are fetched."""

from dataclasses import dataclass, replace
from pathlib import Path, PurePosixPath
from urllib.parse import urlsplit

from vitret.core.errors import DataError, UserError


@dataclass(frozen=True, kw_only=True)
class RemoteFile:
    """A file of the publisher: where it is asked for, in order, and what is known about it.

    `name` is a relative path below the download folder. A size or hash that is given must be met.
    `hash_source` says whose hash it is; `by_hand` what a user can do when no address works. `hash_url` is the
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


def with_md5(file: RemoteFile, text: Path) -> RemoteFile:
    """`file` with the first word of `text` as its md5; raises DataError when that is none."""
    md5 = md5_in(text)
    if md5 is None:
        raise DataError(f"{text}: does not begin with an md5. Run the same command again.")
    return replace(file, md5=md5, hash_source="publisher")


def md5_in(text: Path) -> str | None:
    """The md5 with which a publisher's text begins, in lower case; None where it begins otherwise."""
    with text.open(encoding="utf-8", errors="replace") as lines:
        words = lines.read(200).split(maxsplit=1)
    if not words or len(words[0]) != 32 or set(words[0].lower()) - set("0123456789abcdef"):
        return None
    return words[0].lower()
