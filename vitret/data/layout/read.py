"""A prepared set as records: its training part, its evaluation part, its images, without opening any image."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vitret.core import plugins
from vitret.core.errors import DataError, did_you_mean, listed
from vitret.core.recipes import has_track
from vitret.core.records import EvalSet, Float64, Images, ImageSet, TrainSet
from vitret.core.store import read_json_object
from vitret.data.layout.groups import groups_of
from vitret.data.layout.identity import copies_sentences, find_twins
from vitret.data.layout.parquet import read_table
from vitret.data.layout.parts import BOX
from vitret.data.layout.truth import read_truth
from vitret.data.layout.write import VERSION, exists

# What `source` of a manifest calls the user's own data; all other sets have official lists.
OWN_KINDS = ("table", "revisited", "folders", "flat", "places", "splits")


def list_sets(data_root: Path) -> list[str]:
    """Names of the prepared sets below a folder, sorted; none where the folder is absent."""
    if not data_root.is_dir():
        return []
    return sorted(folder.name for folder in data_root.iterdir() if exists(data_root, folder.name))


def load_manifest(data_root: Path, name: str) -> dict[str, Any]:
    """The manifest of a set; an unknown set raises `DataError` with near names and the command that prepares it."""
    if not exists(data_root, name):
        raise DataError(f"There is no set '{name}' in {data_root}. {_instead(data_root, name)}")
    again = f"Prepare it again: vitret prepare {name} --replace"
    manifest = read_json_object(data_root / name / "manifest.json", advice=again)
    version = manifest.get("version")
    if version != VERSION:
        raise DataError(
            f"{data_root / name}: is of layout version {version}, this vitret reads {VERSION}. {again}"
        )
    return manifest


def _instead(data_root: Path, name: str) -> str:
    """What to do about a set that is not there: prepare it, or the known or prepared set of a near name."""
    known, prepared = plugins.names("datasets"), list_sets(data_root)
    if name in known:
        return f"Prepare it: vitret prepare {name}"
    if has_track(name):
        return f"Prepare it from your copy of its images: vitret prepare {name} --from DIR"
    hint = did_you_mean(name, {*known, *prepared})
    if not hint.startswith("Did you mean"):
        there = f"Prepared: {listed(prepared, shown=12)}. " if prepared else ""
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
    groups, rule = groups_of(truth, queries.get("label"), queries.get("group"))
    # Labelled items and items of a boxed database are crops; a judged query's box marks a part of a photograph.
    marks = "label" not in queries and BOX[0] not in database
    return EvalSet(
        name=name,
        queries=replace(_images(folder, queries), marks=marks),
        database=_images(folder, database),
        truth=truth,
        query_rows=queries.get("database_row"),
        groups=groups,
        groups_rule=rule,
        card=_card(folder),
        digest=manifest["digests"]["evaluation"],
    )


def notes_of(data_root: Path, evalset: EvalSet) -> list[str]:
    """What a reader of a prepared set's numbers should know of its queries, a sentence each; opens no image."""
    notes = load_manifest(data_root, evalset.name).get("notes", [])
    return [*notes, *_copies(data_root, evalset)]


def copies_of(data_root: Path, name: str) -> list[str]:
    """The sentences on byte-identical copies of a set's queries in its database; none for a set without queries."""
    if not (data_root / name / "queries.parquet").is_file():
        return []
    return _copies(data_root, load_eval(data_root, name))


def _copies(data_root: Path, evalset: EvalSet) -> list[str]:
    name = evalset.name
    files = read_table(data_root / name / "files.parquet")
    own = load_manifest(data_root, name).get("source", {}).get("kind") in OWN_KINDS
    advice = f" To ignore copies: vitret prepare {name} --from DIR --without-copies --replace" if own else ""
    return copies_sentences(
        find_twins(evalset.queries, evalset.database, files), evalset.truth, advice=advice
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


def load_sizes(images: Images) -> NDArray[np.int64]:
    """(n, 3) stored width, height and EXIF orientation of images, from the table of their prepared set; opens none.

    Zeros for an image that is in no such table.
    """
    folder = images.root.parent
    files = read_table(folder / "files.parquet") if exists(folder.parent, folder.name) else {"path": ()}
    if not len(files["path"]):
        return np.zeros((len(images), 3), np.int64)
    rows = np.searchsorted(files["path"], images.paths).clip(max=len(files["path"]) - 1)
    sizes = np.stack(
        [files[key][rows].astype(np.int64) for key in ("width", "height", "orientation")], axis=1
    )
    return np.where((files["path"][rows] == images.paths)[:, None], sizes, 0)


def _card(folder: Path) -> dict[str, Any]:
    return read_json_object(
        folder / "card.json", advice=f"Prepare it again: vitret prepare {folder.name} --replace"
    )


def _images(folder: Path, table: Mapping[str, NDArray[Any]]) -> Images:
    boxes: Float64 | None = None
    if BOX[0] in table:
        boxes = np.stack([table[side].astype(np.float64) for side in BOX], axis=1)
    return Images(root=folder / "images", paths=table["path"], boxes=boxes)
