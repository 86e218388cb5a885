"""Files that are something else than their name says: a web page or a Git LFS pointer saved in place of a file.

Both are what a download leaves that did not reach the file itself. Every reader asks here first, so that the message
names what lies there instead of what a parser stumbles over.
"""

from pathlib import Path

from vitret.core.errors import DataError

# How such files begin, lower case; what they are; what to do.
DISGUISES = {
    b"<!doctype html": ("a web page (HTML)", "Download the file itself."),
    b"<html": ("a web page (HTML)", "Download the file itself."),
    b"<head": ("a web page (HTML)", "Download the file itself."),
    b"<?xml": ("an XML document", "Download the file itself."),
    b"version https://git-lfs": ("a Git LFS pointer without its content", "Fetch the content: git lfs pull"),
}
# More bytes than any of them needs, with a byte-order mark and some empty lines before it.
HEAD = 256


def disguise(head: bytes) -> tuple[str, str] | None:
    """What a file really is by its first bytes, and what to do about it; None for anything else.

    >>> disguise(b" <HTML><body>302 Found")
    ('a web page (HTML)', 'Download the file itself.')
    >>> disguise(b"{}") is None
    True
    """
    start = head.lstrip(b"\xef\xbb\xbf \t\r\n").lower()
    return next((found for prefix, found in DISGUISES.items() if start.startswith(prefix)), None)


def require_undisguised(path: Path) -> bytes:
    """The first bytes of a file; raises `DataError` when it is a web page or a pointer, missing, or no file."""
    head = first_bytes(path)
    if found := disguise(head):
        what, advice = found
        raise DataError(f"{path}: is {what}, not the file itself. {advice}")
    return head


def require_content(path: Path) -> bytes:
    """The same of a file that may not be empty."""
    head = require_undisguised(path)
    if not head:
        raise DataError(f"{path}: is empty (0 bytes). Fetch or copy the file again.")
    return head


def first_bytes(path: Path) -> bytes:
    """The first `HEAD` bytes of a file; raises `DataError` when it is missing or cannot be read."""
    try:
        if path.exists() and not path.is_file():
            raise DataError(f"{path}: is a folder or a device, not a file.")
        with path.open("rb") as handle:
            return handle.read(HEAD)
    except OSError as error:
        raise unreadable(path, error) from error


def unreadable(path: Path, error: OSError) -> DataError:
    """What a user reads of an operating-system error on reading `path`."""
    if isinstance(error, FileNotFoundError):
        return DataError(f"{path}: no such file.")
    return DataError(f"{path}: cannot be read ({error.strerror or error}).")
