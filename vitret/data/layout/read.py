"""A prepared set as records: its training part, its evaluation part, its images, without opening any image."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vitret.core import plugins
from vitret.core.errors import DataError, did_you_mean
from vitret.core.records import EvalSet, Float64, Images, ImageSet, TrainSet
from vitret.core.store import read_json
from vitret.data.layout.groups import groups_of
from vitret.data.layout.parquet import read_table
from vitret.data.layout.parts import BOX
from vitret.data.layout.truth import read_truth
from vitret.data.layout.write import VERSION, exists


def list_sets(data_root: Path) -> list[str]:
    """Names of the prepared sets below a folder, sorted; none where the folder is absent."""
    if not data_root.is_dir():
        return []
    return sorted(folder.name for folder in data_root.iterdir() if exists(data_root, folder.name))


def load_manifest(data_root: Path, name: str) -> dict[str, Any]:
    """The manifest of a set; an unknown set raises `DataError` with near names and the command that prepares it."""
    if not exists(data_root, name):
        raise DataError(f"There is no set '{name}' in {data_root}. {_instead(data_root, name)}")
    manifest: dict[str, Any] = read_json(data_root / name / "manifest.json")
    version = manifest.get("version") if isinstance(manifest, dict) else None
    if version != VERSION:
        raise DataError(
            f"{data_root / name}: is of layout version {version}, this vitret reads {VERSION}. "
            f"Prepare it again: vitret prepare {name} --replace"
        )
    return manifest


def _instead(data_root: Path, name: str) -> str:
    """What to do about a set that is not there: prepare it, or the known or prepared set of a near name."""
    known, prepared = plugins.names("datasets"), list_sets(data_root)
    if name in known:
        return f"Prepare it: vitret prepare {name}"
    hint = did_you_mean(name, {*known, *prepared})
    if not hint.startswith("Did you mean"):
        there = f"Prepared: {', '.join(prepared)}. " if prepared else ""
        return f"{there}For your own images: vitret prepare {name} --from DIR"
    near = hint.split("'")[1]
    return (
        f"{hint} '{near}' is prepared." if near in prepared else f"{hint} Prepare it: vitret prepare {near}"
    )


def load_train(data_root: Path, name: str) -> TrainSet:
    """The training part of a set; a set without one raises `DataError`."""
    manifest = load_manifest(data_root, name)
    folder = data_root / name
    if not (folder / "train.parquet").is_file():
        raise DataError(
            f"{name}: has no training part. Sets that have one are marked in: vitret list datasets"
        )
    table = read_table(folder / "train.parquet")
    pairs = None
    if (folder / "pairs.parquet").is_file():
        columns = read_table(folder / "pairs.parquet")
        pairs = np.stack([columns["query"], columns["positive"]], axis=1)
    return TrainSet(
        name=name,
        images=_images(folder, table),
        labels=table["label"],
        pairs=pairs,
        validation=table["validation"].astype(bool),
        card=_card(folder),
        digest=manifest["digests"]["train"],
    )


def train_facts(data_root: Path, name: str) -> tuple[str, str]:
    """A training set's digest and, in words, what part of the set it holds ("" for all), without reading its tables."""
    return load_manifest(data_root, name)["digests"]["train"], subset_of(_card(data_root / name))


def subset_of(card: Mapping[str, Any]) -> str:
    """What part of a set is prepared, in words, from its card; empty for all of it.

    >>> subset_of({"title": "GLDv2", "subset": "a subset, 10 of 500 shards"})
    'a subset, 10 of 500 shards'
    """
    return str(card.get("subset") or "")


def load_eval(data_root: Path, name: str) -> EvalSet:
    """The evaluation part of a set: queries, database, truth; a set without one raises `DataError`."""
    manifest = load_manifest(data_root, name)
    folder = data_root / name
    if not (folder / "queries.parquet").is_file():
        raise DataError(f"{name}: has no queries. Sets that have some are marked in: vitret list datasets")
    queries = read_table(folder / "queries.parquet")
    database = read_table(folder / "database.parquet")
    truth = read_truth(folder / "truth.json", queries, database)
    # A `group` column of a user's own table will go before the rule, here.
    groups, rule = groups_of(truth, queries.get("label"))
    return EvalSet(
        name=name,
        queries=_images(folder, queries),
        database=_images(folder, database),
        truth=truth,
        query_rows=queries.get("database_row"),
        groups=groups,
        groups_rule=rule,
        card=_card(folder),
        digest=manifest["digests"]["evaluation"],
    )


def load_images(data_root: Path, name: str) -> ImageSet:
    """The database images of a set, or the training images where it has no database."""
    manifest = load_manifest(data_root, name)
    folder = data_root / name
    part = "database" if (folder / "database.parquet").is_file() else "train"
    return ImageSet(
        name=name,
        images=_images(folder, read_table(folder / f"{part}.parquet")),
        card=_card(folder),
        digest=manifest["digests"][part],
    )


def load_sizes(data_root: Path, name: str, images: Images) -> NDArray[np.int64]:
    """(n, 3) stored width, height and EXIF orientation of a prepared set's images, without opening any.

    Zeros for a file that lies in the set's folder and is not of the set.
    """
    files = read_table(data_root / name / "files.parquet")
    if not len(files["path"]):
        return np.zeros((len(images), 3), np.int64)
    rows = np.searchsorted(files["path"], images.paths).clip(max=len(files["path"]) - 1)
    sizes = np.stack(
        [files[key][rows].astype(np.int64) for key in ("width", "height", "orientation")], axis=1
    )
    return np.where((files["path"][rows] == images.paths)[:, None], sizes, 0)


def _card(folder: Path) -> dict[str, Any]:
    card: dict[str, Any] = read_json(folder / "card.json")
    return card


def _images(folder: Path, table: Mapping[str, NDArray[Any]]) -> Images:
    boxes: Float64 | None = None
    if BOX[0] in table:
        boxes = np.stack([table[side].astype(np.float64) for side in BOX], axis=1)
    return Images(root=folder / "images", paths=table["path"], boxes=boxes)
