"""Photographs looked for in a folder: the most similar images of each, and the images of a folder that are alike."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from vitret.core.errors import DataError, EmptyError
from vitret.core.protocol import Protocol
from vitret.core.records import Descriptors, Images, Int64
from vitret.describe.folder_index import FolderIndex
from vitret.measure.scoring import Rows
from vitret.measure.search import search

# Rows asked at a time when a whole folder is compared with itself.
AT_A_TIME = 1024


@dataclass(frozen=True, kw_only=True)
class Hit:
    """An image of the folder by its path below it, and its cosine with what was asked."""

    path: str
    cosine: float


def search_protocol(size: int) -> Protocol:
    """How photographs and the images of a folder are described: whole, upright, all at one size.

    Small images are enlarged: a thumbnail described at its own size is not like the photograph that it was made from.
    """
    return Protocol(size=size, upscale=True, query_size="same_size", decode="scaled", exif="apply")


def most_similar(
    asked: Images, described: Descriptors, index: FolderIndex, *, k: int
) -> list[tuple[str, list[Hit]]]:
    """The k most similar images of the folder for each photograph, best first; ties in the order of the index.

    A photograph that lies in the folder does not find itself. One that could not be read raises `DataError`.
    """
    if len(described.failed):
        raise DataError(f"{asked.file(int(described.failed[0]))}: cannot be read as an image.")
    _require_images(index)
    own = [_inside(asked.file(row), index.images.root) for row in range(len(asked))]
    rows = Rows.of(*index.parts)
    found = _nearest(np.asarray(described.rows), rows, k=k + 1 + len(index.failed))
    answers = []
    for row, itself in enumerate(own):
        hits = [
            Hit(path=index.images.name(int(i)), cosine=float(score))
            for i, score in zip(*found[row], strict=True)
        ]
        kept = [hit for hit in hits if hit.path != itself and hit.path not in index.failed]
        answers.append((str(asked.file(row)), kept[:k]))
    return answers


def alike(index: FolderIndex, *, k: int, at_least: float) -> list[tuple[str, Hit]]:
    """Pairs of images of the folder whose cosine is `at_least` so much, each once, the most alike first.

    The k most similar images of each are looked at: of more than k that are alike, some pairs may be missing, but no
    image is.
    """
    _require_images(index)
    rows = Rows.of(*index.parts)
    pairs: dict[tuple[int, int], float] = {}
    for start in range(0, len(rows), AT_A_TIME):
        some = np.arange(start, min(start + AT_A_TIME, len(rows)))
        found = _nearest(rows.take(some).astype(np.float32), rows, k=k + 1 + len(index.failed))
        for row, (others, scores) in zip(some.tolist(), found, strict=True):
            near = others[scores >= at_least].tolist()
            pairs |= {
                (min(row, other), max(row, other)): float(score)
                for other, score in zip(near, scores, strict=False)
                if other != row
            }
    names = [(index.images.name(i), Hit(path=index.images.name(j), cosine=c)) for (i, j), c in pairs.items()]
    kept = [(a, hit) for a, hit in names if a not in index.failed and hit.path not in index.failed]
    return sorted(kept, key=lambda pair: (-pair[1].cosine, pair[0], pair[1].path))


def _nearest(asked: NDArray[np.float32], rows: Rows, *, k: int) -> list[tuple[Int64, NDArray[np.float32]]]:
    """Rows and cosines of the k nearest of each, best first."""
    found = search(asked, rows, k=min(len(rows), k))
    assert found.scores is not None
    return list(zip(found.indices, found.scores, strict=True))


def _require_images(index: FolderIndex) -> None:
    if len(index.images) <= len(index.failed):
        raise EmptyError(f"{index.images.root}: 0 images that can be read.")


def _inside(photo: Path, root: Path) -> str | None:
    """The path of a photograph below a folder that holds it, links followed; None for any other."""
    real, real_root = photo.resolve(), root.resolve()
    return real.relative_to(real_root).as_posix() if real.is_relative_to(real_root) else None
