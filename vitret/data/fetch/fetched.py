"""What is known of a fetched file: its record beside it, and whether the bytes are still the right ones.

`name.fetched.json` holds size, hashes and where they come from. Where no hash is published, the first use records
one, and a later fetch must give the same bytes.
"""

from dataclasses import asdict, dataclass
from pathlib import Path

from vitret.core.errors import DataError
from vitret.core.store import read_json_object, write_json
from vitret.data.fetch.archive import check_archive
from vitret.data.fetch.partial_file import hash_file
from vitret.data.fetch.remote_file import RemoteFile


@dataclass(frozen=True, kw_only=True)
class Fetched:
    """A file that is there, whole and verified; `hash_source` is 'first use' when only we have ever hashed it."""

    path: Path
    size: int
    sha256: str
    md5: str | None
    url: str | None
    hash_source: str


def find(file: RemoteFile, folder: Path) -> Fetched | None:
    """The file if it is in `folder`, whole and right, fetched before or put there by hand; None if it is not there.

    Nothing is written. A file that is not what its hash or its record says raises DataError.
    """
    final = folder / file.name
    if not final.exists():
        return None
    record_path = record_path_of(final)
    record = read_json_object(record_path) if record_path.exists() else None
    size, sha256, md5 = hash_file(final, md5=file.md5 is not None)
    problem = mismatch(file, size, sha256, md5)
    if problem is None and record is not None and record.get("sha256") != sha256:
        problem = "changed since it was fetched"
    if problem is None and record is None:
        with final.open("rb") as handle:
            problem = web_page(file.name, handle.read(1024))
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


def discard(path: Path) -> None:
    """Forget a fetched file that turned out to be unusable, with its record, so that it is fetched again."""
    for suffix in ("", ".fetched.json", ".part", ".part.json"):
        path.with_name(path.name + suffix).unlink(missing_ok=True)


def mismatch(file: RemoteFile, size: int, sha256: str, md5: str | None) -> str | None:
    """What of the size and the hashes is not as it was announced; None if all is."""
    if file.size is not None and size != file.size:
        return f"{size:,} bytes, {file.size:,} expected"
    for kind, found, known in (("sha256", sha256, file.sha256), ("md5", md5, file.md5)):
        if known and found != known.lower():
            return f"{kind} is {found}, {known.lower()} expected ({file.hash_source})"
    return None


def web_page(name: str, head: bytes) -> str | None:
    """A reason when a file begins as a web page although its name does not say so."""
    start = head[:1024].lstrip(b"\xef\xbb\xbf \t\r\n").lower()
    if name.lower().endswith((".html", ".htm")) or not start.startswith(
        (b"<!doctype html", b"<html", b"<head")
    ):
        return None
    return "gives a web page in place of the file (a login, a consent form or an error)"


def agree_with_first_use(fetched: Fetched, record_path: Path) -> None:
    """Raise DataError where these are not the bytes that were recorded first."""
    if not record_path.exists():
        return
    first = read_json_object(record_path)
    if fetched.hash_source == "first use" and first.get("sha256") != fetched.sha256:
        raise DataError(
            f"{fetched.url}: not the bytes of the first fetch (sha256 {fetched.sha256}, was {first.get('sha256')}): "
            "the publisher changed the file, or one of the two was tampered with. To accept the new one, remove "
            f"{record_path}."
        )


def write_fetched(fetched: Fetched, record_path: Path, *, validator: str | None) -> None:
    record = asdict(fetched) | {"validator": validator}
    del record["path"]
    if not record_path.exists() or read_json_object(record_path) != record:
        write_json(record_path, record)


def record_path_of(final: Path) -> Path:
    return final.with_name(f"{final.name}.fetched.json")
