"""Where a network of others comes from: a repository at one commit, or a folder on this machine and its files."""

import os
import re
from pathlib import Path

import httpx

from vitret.core.errors import DataError, UserError, said
from vitret.core.store import digest, file_sha256

# What can be code or configuration. Weights are no part of it: every row has a digest of the network's own numbers.
CODE = (
    ".c",
    ".cfg",
    ".cpp",
    ".cu",
    ".cuh",
    ".h",
    ".json",
    ".py",
    ".pyi",
    ".so",
    ".toml",
    ".txt",
    ".yaml",
    ".yml",
)
FILES = "files-"
_COMMIT = re.compile(r"[0-9a-f]{40}")
_REPOSITORY = re.compile(r"[A-Za-z0-9][\w.-]*/[A-Za-z0-9_.-]+")
SECONDS = 10.0


def folder_of(source: str) -> Path | None:
    """The folder that a source names by a path (it begins with `/`, `.` or `~`); None for OWNER/NAME on a host."""
    return Path(source).expanduser() if source.startswith(("/", ".", "~")) else None


def require_repository(kind: str, source: str) -> None:
    """Raise `UserError` for what is neither OWNER/NAME nor a folder that is there."""
    folder = folder_of(source)
    if folder is not None:
        if not folder.is_dir():
            raise UserError(f"{kind}:{source}: there is no such folder.")
    elif not _REPOSITORY.fullmatch(source):
        raise UserError(
            f"{kind}:{source}: expected OWNER/NAME, or the path of a folder that begins with / or ./, as ./{source}"
        )


def is_commit(text: str) -> bool:
    """Whether a text is a whole commit.

    >>> is_commit("0123456789abcdef0123456789abcdef01234567"), is_commit("main")
    (True, False)
    """
    return bool(_COMMIT.fullmatch(text))


def require_commit(kind: str, source: str, commit: str) -> None:
    """Raise `UserError` for a branch, a tag or a short commit of a repository: they may stand for another one later."""
    if folder_of(source) is None and not is_commit(commit):
        raise UserError(
            f"{kind}:{source}: its commit is '{commit}', not the 40 hexadecimal digits of a whole one, and a row must "
            "say which network it measured. Write all of them into the file."
        )


def folder_digest(folder: Path) -> str:
    """What stands for the commit of a folder: a digest of the names and bytes of all files that can be code.

    Hidden folders and compiled files are left out, as are weights, which a network may fetch into its own folder.
    """
    files: dict[str, str] = {}
    for place, folders, names in os.walk(folder):
        folders[:] = sorted(name for name in folders if not name.startswith(".") and name != "__pycache__")
        for name in sorted(names):
            path = Path(place) / name
            if path.suffix.lower() in CODE and path.is_file():
                files[path.relative_to(folder).as_posix()] = file_sha256(path)
    return f"{FILES}{digest(files)}"


def github_commit(source: str, ref: str) -> str:
    """The commit that a branch, tag or short commit of a GitHub repository stands for now; `HEAD`: its default branch.

    Raises:
        DataError: GitHub cannot be asked, or knows no such thing.
    """
    address = f"https://api.github.com/repos/{source}/commits/{ref}"
    advice = f"Name a whole commit, which needs no question: torchhub:{source}@COMMIT:ENTRY"
    try:
        answer = httpx.get(
            address, headers={"Accept": "application/vnd.github.sha"}, timeout=SECONDS, follow_redirects=True
        )
    except httpx.HTTPError as error:
        raise DataError(f"{address}: no answer ({said(error)}). {advice}") from error
    found = answer.text.strip()
    if answer.status_code != httpx.codes.OK or not is_commit(found):
        raise DataError(
            f"{address}: answers {answer.status_code}; is '{ref}' a branch or tag of it? {advice}"
        )
    return found
