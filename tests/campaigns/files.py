"""What is in a folder or an archive, and how two folders differ."""

import hashlib
import os
import tarfile
import zipfile
from pathlib import Path


def tree(folder: Path) -> dict[str, str]:
    """Relative path → sha256 of every file."""
    return {
        str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }


def differences(found: dict[str, str], expected: dict[str, str]) -> str:
    changed = [name for name in found.keys() & expected.keys() if found[name] != expected[name]]
    missing, extra = sorted(expected.keys() - found.keys()), sorted(found.keys() - expected.keys())
    return f"missing {missing}, extra {extra}, changed {changed}"


def count(folder: Path) -> int:
    """Files below a folder; those that go while it looks are no matter."""
    return sum(len(files) for _, _, files in os.walk(folder))


def members_of(archive: Path) -> dict[str, bytes]:
    if archive.name.endswith(".zip"):
        with zipfile.ZipFile(archive) as source:
            return {name: source.read(name) for name in source.namelist()}
    with tarfile.open(archive) as tar:
        return {m.name: tar.extractfile(m).read() for m in tar.getmembers() if m.isfile()}
