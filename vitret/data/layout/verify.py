"""What of a prepared set is no longer as its manifest says: images, tables, truth, labels, card and lists."""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from vitret.core.errors import DataError
from vitret.core.store import file_sha256
from vitret.data.images import check_all
from vitret.data.layout.assemble import part_digests
from vitret.data.layout.image_check import Inventory, pool_size
from vitret.data.layout.parquet import read_table
from vitret.data.layout.read import load_manifest

TABLES = {
    "train": ("train.parquet", "pairs.parquet"),
    "database": ("database.parquet",),
    "evaluation": ("queries.parquet", "database.parquet", "truth.json"),
}


def verify(
    name: str, *, data_root: Path, workers: int, report: Callable[[str], None] = lambda _: None
) -> list[str]:
    """Hash every file of a prepared set again and open its images; what differs from the manifest, a sentence each."""
    manifest = load_manifest(data_root, name)
    folder = data_root / name
    sentences = changed_files(folder, manifest)
    try:
        expected = read_table(folder / "files.parquet")
    except DataError as error:
        return [*sentences, f"{error} No image was checked."]
    names = [path.decode() for path in expected["path"].tolist()]
    if len(names) != manifest["images"]:
        sentences.append(f"files.parquet: {len(names)} images, the manifest says {manifest['images']}.")
    reports = check_all([folder / "images" / name for name in names], pool_size(len(names), workers))
    for name, digest, found in zip(names, expected["sha256"].tolist(), reports, strict=True):
        if found.problem is not None:
            sentences.append(f"{name}: {found.problem}")
        elif found.sha256 != digest.hex():
            sentences.append(f"{name}: has other bytes than when it was prepared.")
    report(f"{len(names)} images checked")
    return sentences


def changed_files(folder: Path, manifest: Mapping[str, Any]) -> list[str]:
    """One sentence for each file beside the images that is gone or changed; none for a set that is as it was.

    A manifest of a vitret that did not list the files yet is held to its digests, which cover the tables.
    """
    listed = manifest.get("files", {})
    sentences = [sentence for name in listed if (sentence := _changed(folder / name, listed[name]))]
    # The digests cover no more than the files do: only a damaged manifest fails here alone.
    return sentences or _other_digests(folder, manifest["digests"])


def _changed(path: Path, sha256: str) -> str:
    if not path.is_file():
        return f"{path.name}: is gone."
    return "" if file_sha256(path) == sha256 else f"{path.name}: has other bytes than when it was prepared."


def _other_digests(folder: Path, known: Mapping[str, str]) -> list[str]:
    try:
        found = _digests(folder)
    except DataError as error:
        return [str(error)]
    return [
        f"{', '.join(name for name in TABLES[part] if (folder / name).is_file()) or part}: not the rows of the digest "
        f"that manifest.json has for '{part}'."
        for part in sorted({*known, *found})
        if known.get(part) != found.get(part)
    ]


def _digests(folder: Path) -> dict[str, str]:
    """The digests of a set, computed again from its tables."""

    def columns(name: str) -> dict[str, Any]:
        path = folder / f"{name}.parquet"
        return read_table(path) if path.is_file() else {}

    truth = folder / "truth.json"
    return part_digests(
        Inventory(files=read_table(folder / "files.parquet"), problems={}),
        train=columns("train"),
        pairs=columns("pairs"),
        database=columns("database"),
        queries=columns("queries"),
        truth=truth.read_bytes() if truth.is_file() else b"",
    )
