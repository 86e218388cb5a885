"""Files that are whole or absent: written as `name.part`, synced, renamed; digests of files and of values."""

import contextlib
import hashlib
import json
import os
import shutil
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import IO, Any

from vitret.core.disguise import require_content, unreadable
from vitret.core.errors import DataError, MachineError, said


@contextlib.contextmanager
def writing(path: Path, mode: str = "wb") -> Iterator[IO[Any]]:
    """Open `path.part` for writing; on success sync it and rename it to `path`, on failure remove it.

    A full disk or a folder without permission ends as `MachineError`; the old file, if any, is untouched.
    """
    part = path.with_name(f"{path.name}.{os.getpid()}.part")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with part.open(mode, encoding=None if "b" in mode else "utf-8") as handle:
            yield handle
            handle.flush()
            os.fsync(handle.fileno())
        part.replace(path)
    except OSError as error:
        with contextlib.suppress(OSError):
            part.unlink(missing_ok=True)
        raise machine_error(path, error) from error
    except BaseException:
        part.unlink(missing_ok=True)
        raise


def machine_error(path: Path, error: OSError) -> MachineError:
    """What a user reads of an operating-system error on writing `path`."""
    reason = error.strerror or str(error)
    return MachineError(
        f"{path}: cannot write ({reason}). Free some space or choose another folder: `vitret env` shows "
        "every location and how to change it."
    )


def write_bytes(path: Path, data: bytes) -> None:
    with writing(path) as handle:
        handle.write(data)


def write_text(path: Path, text: str) -> None:
    write_bytes(path, text.encode())


def copy_file(source: Path, target: Path) -> None:
    """Copy a file's bytes; the copy is whole or absent."""
    with writing(target) as handle, source.open("rb") as original:
        shutil.copyfileobj(original, handle, 1 << 20)


def write_json(path: Path, value: Any) -> None:
    """Sorted keys, two spaces, a final newline: the same value always gives the same bytes."""
    write_text(path, json.dumps(value, indent=2, sort_keys=True, ensure_ascii=False, allow_nan=False) + "\n")


# What to do about a damaged file that vitret itself wrote and makes again. Never said of a user's own file.
REMAKE = "Remove it and run the same command again."


def read_bytes(path: Path) -> bytes:
    """The content of a file; raises `DataError` for what is missing, no file, not readable, or a `disguise`."""
    require_content(path)
    try:
        return path.read_bytes()
    except OSError as error:
        raise unreadable(path, error) from error


def read_json(path: Path, *, advice: str = "Correct the file, or write it again.") -> Any:
    """The value in a JSON file, in UTF-8 or, as its first bytes tell, UTF-16 or UTF-32, with a byte-order mark or not.

    What is none, nests too deep or has numbers too long raises `DataError` with the place and the `advice`.
    """
    data = read_bytes(path)
    try:
        return parse_json(data.decode(json.detect_encoding(data)))
    except ValueError as error:
        raise DataError(f"{path}: not readable as JSON ({said(error)}). {advice}") from error


def read_json_object(path: Path, *, advice: str = REMAKE) -> dict[str, Any]:
    """The mapping in a JSON file, by default one that vitret itself wrote; anything else raises `DataError`."""
    value = read_json(path, advice=advice)
    if not isinstance(value, dict):
        raise DataError(f"{path}: holds a {type(value).__name__}, expected keys with values. {advice}")
    return value


def parse_json(text: str) -> Any:
    """The value of a JSON text; every text that cannot be one raises `ValueError`."""
    try:
        value = json.loads(text)
        # Half a surrogate pair can be escaped in JSON, but not be written to any file.
        if "\\ud" in text.lower():
            json.dumps(value, ensure_ascii=False).encode()
    except RecursionError as error:
        raise ValueError("lists inside lists, too deep") from error
    return value


def file_sha256(path: Path) -> str:
    with path.open("rb") as handle:
        return hashlib.file_digest(handle, "sha256").hexdigest()


def digest(value: Any) -> str:
    """Sha256 of a value's canonical JSON: the same for the same content, whatever the order of keys.

    >>> digest({"a": 1, "b": 2}) == digest({"b": 2, "a": 1})
    True
    """
    text = json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False)
    return hashlib.sha256(text.encode()).hexdigest()


def own_digest(content: Mapping[str, Any]) -> str:
    """The digest that a record holds of itself: of its JSON without the key "digest".

    It is of what stands in the file, so a key that a later version adds with a default does not change it.
    """
    return digest({key: value for key, value in content.items() if key != "digest"})


def free_space(folder: Path) -> int:
    """Bytes free on the disk of a folder, which need not be there yet."""
    whole = folder.absolute()
    return shutil.disk_usage(next(p for p in (whole, *whole.parents) if p.exists())).free


def require_space(folder: Path, needed: int) -> None:
    """Raise `MachineError` before work starts when `folder`'s disk has fewer than `needed` bytes free."""
    free = free_space(folder)
    if free < needed:
        raise MachineError(
            f"{folder}: {needed / 1e9:.1f} GB needed, {free / 1e9:.1f} GB free. Free some space or choose another "
            "folder: `vitret env` shows every location and how to change it."
        )
