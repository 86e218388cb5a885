"""Whether the images of a prepared set are still those that were hashed: one stat each, a hash where it differs.

An image is hashed again when its mtime is another than before, or its ctime is while it has as many names: removing an
archive whose images were hard-linked changes nothing. What is found unchanged gets its new stamp, so that it is hashed
once. A set without stamps is held to the time of its manifest.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from vitret.core.errors import DataError, MachineError
from vitret.core.records import Int64
from vitret.core.store import file_sha256
from vitret.data.images import check_all
from vitret.data.layout.parquet import read_table
from vitret.data.layout.read import OWN_KINDS, load_manifest
from vitret.data.layout.stamps import read_stamps, take_stamps, write_stamps

THREADS = 8
# So many hashes take long enough to be worth a word.
MANY = 1000


def require_unchanged(data_root: Path, name: str, *, say: Callable[[str], None] = lambda _: None) -> None:
    """Raise `DataError` with the first of the images that have other bytes than when the set was prepared.

    Images that are gone or out of reach are left to whoever reads them.
    """
    manifest = load_manifest(data_root, name)
    changed = changed_images(data_root / name, say=say)
    if not changed:
        return
    own = manifest.get("source", {}).get("kind") in OWN_KINDS
    count = "1 image has" if len(changed) == 1 else f"{len(changed)} images have"
    raise DataError(
        f"{name}: {count} other bytes than when it was prepared; first: {data_root / name / 'images' / changed[0]}. "
        f"Prepare it again: vitret prepare {name}{' --from DIR' if own else ''} --replace. "
        f"All of them: vitret verify {name}"
    )


def changed_images(folder: Path, *, say: Callable[[str], None] = lambda _: None) -> list[str]:
    """The images of a prepared set with other bytes than files.parquet says, by name, sorted."""
    files = read_table(folder / "files.parquet")
    now = take_stamps(folder / "images", files["path"])
    there, before = now[:, 0] >= 0, read_stamps(folder, len(now))
    # The size of a member of a tar is not asked for.
    packed = np.char.find(files["path"], b".tar/") >= 0
    resized = there & ~packed & (now[:, 0] != files["size"])
    suspect = np.flatnonzero(there & ~resized & _touched(folder, now, before))
    if len(suspect) > MANY:
        say(f"{folder.name}: {len(suspect):,} images were touched since and are hashed again")
    names = [name.decode() for name in files["path"][suspect].tolist()]
    changed = _with_other_bytes(folder, names, files["sha256"][suspect].tolist())
    changed += [name.decode() for name in files["path"][resized].tolist()]
    if not changed and (len(suspect) or before is None):
        # What is out of reach now will be compared with what it was.
        known = np.zeros_like(now) if before is None else before
        with contextlib.suppress(MachineError):
            write_stamps(folder, np.where(there[:, None], now, known))
    return sorted(changed)


def _touched(folder: Path, now: Int64, before: Int64 | None) -> NDArray[np.bool_]:
    if before is None:
        found: NDArray[np.bool_] = now[:, 1] >= (folder / "manifest.json").stat().st_mtime_ns
        return found
    size, mtime, ctime, names = (now != before).T
    touched: NDArray[np.bool_] = size | mtime | (ctime & ~names)
    return touched


def _with_other_bytes(folder: Path, names: Sequence[str], known: Sequence[bytes]) -> list[str]:
    """Those of some images whose bytes are not the known ones; what cannot be read is not among them."""
    with ThreadPoolExecutor(THREADS) as pool:
        found = pool.map(_sha256, [folder / "images" / name for name in names])
        pairs = zip(names, known, found, strict=True)
        return [name for name, old, new in pairs if new is not None and new != old.hex()]


def _sha256(path: Path) -> str | None:
    try:
        return file_sha256(path)
    except NotADirectoryError:
        return next(iter(check_all([path], 0))).sha256 or None
    except OSError:
        return None
