"""What lies in a folder, so that two can be compared."""

import hashlib
from pathlib import Path


def tree(folder: Path) -> dict[str, str]:
    """Digest of every file and target of every link below a folder, by path."""
    return {
        str(path.relative_to(folder)): str(path.readlink())
        if path.is_symlink()
        else hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(folder.rglob("*"))
        if path.is_symlink() or path.is_file()
    }
