"""A file under a second name: a link where the file system can, a copy where it cannot."""

from __future__ import annotations

import errno
import shutil
from pathlib import Path

# How a file system says that it has no links of the kind asked for.
NO_LINKS = {errno.EPERM, errno.EACCES, errno.ENOSYS, errno.ENOTSUP, errno.EOPNOTSUPP}


def hard_link_or_copy(target: Path, place: Path) -> None:
    """Give a file a second name, or a copy where the file system has no hard links or the target is on another one.

    The folder of `place` is made; a failure is an `OSError`.
    """
    place.parent.mkdir(parents=True, exist_ok=True)
    if place.exists() and place.samefile(target):
        return
    place.unlink(missing_ok=True)
    try:
        # What an official tree links to (a folder of another set) is followed: the set holds files.
        place.hardlink_to(target.resolve())
    except OSError as error:
        if error.errno not in {*NO_LINKS, errno.EXDEV, errno.EMLINK}:
            raise
        if target.is_symlink() and error.errno == errno.EXDEV:
            # A user's own archive on another disk stays there.
            place.symlink_to(target.resolve())
            return
        copy_whole(target, place)


def copy_whole(target: Path, place: Path) -> None:
    """Copy a file or a folder; the copy has its name only when it is whole."""
    fresh = place.with_name(f".{place.name}.new")
    if target.is_dir():
        shutil.copytree(target, fresh, dirs_exist_ok=True)
    else:
        shutil.copyfile(target, fresh)
    fresh.replace(place)


def symlink_or_copy(target: Path, place: Path) -> None:
    """Point to a file or folder, or copy it where the file system has no symbolic links."""
    if place.is_symlink() and place.readlink() == target:
        return
    if place.is_symlink() or place.is_file():
        place.unlink()
    try:
        place.symlink_to(target, target_is_directory=target.is_dir())
    except OSError as error:
        if error.errno not in NO_LINKS:
            raise
        copy_whole(target, place)
