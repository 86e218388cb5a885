"""One JSON per measured row, with everything needed to doubt it; the per-query ranks lie beside it as .npz.

results/<train set>/<system>/<eval set>[+<distractors>]/<fingerprint8>-<run8>.json

Values are fractions in [0, 1]. A row carries a digest of itself and of its ranks; `validation` checks both.
"""

import functools
import hashlib
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal

import numpy as np
from pydantic import Field, model_validator

from vitret.core.approximate import SearchFacts
from vitret.core.config import Strict, validate
from vitret.core.cost import NetworkCost
from vitret.core.errors import DataError, said
from vitret.core.npz import DAMAGE, npz_arrays
from vitret.core.protocol import Protocol, split_key
from vitret.core.recipes import Recipe
from vitret.core.records import Float64, Ranks
from vitret.core.store import machine_error, own_digest, read_json, read_json_object, write_json, writing
from vitret.measure.evaluate import parse_metric

ADVICE = "Remove it and run the same `vitret bench` again."
_PARTS = ("values", "offsets", "n_positive")


class ForeignCode(Strict):
    """A network that came as code or weights of another project's repository, at a commit or a digest of a folder."""

    source: str
    entry: str = ""
    commit: str
    trusted: bool = Field(description="whether the user consented to run code of that repository")


class ModelFacts(Strict):
    system: str
    title: str
    backbone: str
    head: str
    dim: int = Field(gt=0)
    parameters: int = Field(ge=0)
    weights_sha256: str
    foreign: ForeignCode | None = Field(
        default=None,
        exclude_if=lambda value: value is None,
        description="of a torchhub: or hf: network; left out of all other rows",
    )


class TrainingFacts(Strict):
    """What the network was trained on. `images_seen` is 0 for a frozen network."""

    set: str
    manifest: str = Field(description="digest of the training set's manifest; empty when nothing was trained")
    subset: str = Field(
        default="", description="what part of the set was prepared, in words; empty for all of it"
    )
    images_seen: int = Field(ge=0)
    start_sha256: str = Field(
        default="",
        exclude_if=lambda value: not value,
        description="of the file of weights that training started from; empty where none is known",
    )
    seed: int
    budget: Literal["track", "own"]
    pretraining: str


class DataFacts(Strict):
    """What was searched, with the manifests' digests: another image-set version is another table."""

    set: str
    manifest: str
    image_set_version: str
    queries: int = Field(gt=0)
    database: int = Field(gt=0)
    distractors: str | None = None
    distractors_manifest: str = ""
    distractor_images: int = Field(default=0, ge=0)
    subset: str = Field(
        default="", description="what part of database or distractors was prepared, in words; empty for all"
    )
    whitening_manifest: str = Field(
        default="", description="digest of the training set that the protocol's whitening was fitted on"
    )
    failed_images: int = Field(default=0, ge=0)
    warning: str = Field(default="", description="what every page that shows the number must say")


class Metric(Strict):
    """A mean over queries and its 95 % interval; `n` queries, of which `n_effective` have a positive."""

    value: float = Field(ge=0, le=1)
    low: float = Field(ge=0, le=1)
    high: float = Field(ge=0, le=1)
    n: int
    n_effective: int
    higher_is_better: Literal[True] = True


class Cost(Strict):
    """What the row costs. Timings are of this run on this device; no row is known by them."""

    descriptor_bytes: int = Field(ge=0, description="of one image")
    train_seconds: float | None = None
    # Left out of rows that were written before it was measured, and so of their digests.
    network: NetworkCost | None = Field(default=None, exclude_if=lambda value: value is None)

    @model_validator(mode="before")
    @classmethod
    def _without_what_was_never_filled(cls, value: Any) -> Any:
        """Rows written until version 0.1 hold these two keys, always null."""
        if not isinstance(value, Mapping):
            return value
        empty = {key for key in ("flops", "images_per_second") if value.get(key, 0) is None}
        return {key: item for key, item in value.items() if key not in empty}


class Environment(Strict):
    device: str
    precision: str
    search_engine: str
    commit: str
    dirty: bool | None
    versions: dict[str, str]


class SuiteFacts(Strict):
    name: str
    primary: str
    metrics: tuple[str, ...]
    levels: tuple[str, ...]


class Result(Strict):
    """The numbers of one run under one protocol on one evaluation set.

    Rows of schema version 1 have no digest: tables still read them, `vitret results validate` refuses them.
    """

    schema_version: Literal[1, 2] = 2
    status: Literal["complete"] = "complete"
    model: ModelFacts
    training: TrainingFacts
    data: DataFacts
    suite: SuiteFacts
    protocol: Protocol
    fingerprint: str
    metrics: dict[str, Metric]
    cost: Cost
    environment: Environment
    command: str
    recipe: Recipe
    # Of approximate search alone, so that the digests of all other rows stay as they are.
    search: SearchFacts | None = Field(default=None, exclude_if=lambda value: value is None)
    ranks_sha256: str = Field(default="", description="of the ranks beside the row; see `ranks_digest`")
    digest: str = Field(default="", description="of the row's JSON without this key; see `own_digest`")

    @property
    def eval_name(self) -> str:
        """The evaluation set and, behind a plus, its distractors."""
        return eval_name(self.data.set, self.data.distractors)


def eval_name(eval_set: str, distractors: str | None) -> str:
    return f"{eval_set}+{distractors}" if distractors else eval_set


def result_path(root: Path, recipe: Recipe, eval_name: str, protocol: Protocol) -> Path:
    name = f"{protocol.fingerprint}-{recipe.digest[:8]}.json"
    return root / recipe.track.train_set / recipe.system.name / eval_name / name


def path_of(root: Path, result: Result) -> Path:
    return result_path(root, result.recipe, result.eval_name, result.protocol)


def write_result(root: Path, result: Result, ranks: Mapping[str, Ranks]) -> Path:
    """Write the ranks of every level, then the row: a row never stands without its own ranks."""
    path = path_of(root, result)
    try:
        path.unlink(missing_ok=True)
    except OSError as error:
        raise machine_error(path, error) from error
    arrays = {
        f"{level}.{part}": getattr(one, part) for level, one in sorted(ranks.items()) for part in _PARTS
    }
    with writing(path.with_suffix(".npz")) as handle:
        np.savez_compressed(handle, allow_pickle=False, **arrays)
    write_json(path, sealed(result.model_dump(mode="json"), ranks))
    return path


def sealed(row: Mapping[str, Any], ranks: Mapping[str, Ranks]) -> dict[str, Any]:
    """The JSON of a row with the digests of its ranks and of itself."""
    whole = {**row, "ranks_sha256": ranks_digest(ranks)}
    return {**whole, "digest": own_digest(whole)}


def ranks_digest(ranks: Mapping[str, Ranks]) -> str:
    """Sha256 of the ranks of every level: their numbers, however the file was compressed."""
    found = hashlib.sha256()
    for level, one in sorted(ranks.items()):
        for part in _PARTS:
            numbers = np.ascontiguousarray(getattr(one, part), dtype="<i8")
            found.update(f"{level}.{part}.{len(numbers)}:".encode())
            found.update(numbers.tobytes())
    return found.hexdigest()


def read_result(path: Path) -> Result:
    """A row; only of a file that is named as rows are it is said that a bench makes it again."""
    ours = named_as_row(path)
    advice = ADVICE if ours else _where_rows_are(path)
    data = read_json(path, advice=advice)
    if not isinstance(data, dict) or not (ours or "fingerprint" in data):
        raise DataError(f"{path}: not a row of results. {advice}")
    return validate(Result, data, str(path), advice=ADVICE if ours else "")


def named_as_row(path: Path) -> bool:
    """Whether a file has the name that `result_path` gives."""
    return re.fullmatch(r"[0-9a-f]{8}-[0-9a-f]{8}\.json", path.name) is not None


def _where_rows_are(path: Path) -> str:
    """What to name in place of a file that is no row."""
    if path.suffix == ".npz":
        return f"A row of results is the .json beside its ranks: {path.with_suffix('.json')}"
    return "A row of results is a .json below results/, which `vitret bench` writes."


def read_ranks(path: Path) -> dict[str, Ranks]:
    """Level → ranks, from the .npz beside a result's JSON."""
    file = path.with_suffix(".npz")
    try:
        arrays = npz_arrays(file)
        levels = sorted({name.partition(".")[0] for name in arrays})
        return {
            level: Ranks(
                values=arrays[f"{level}.values"],
                offsets=arrays[f"{level}.offsets"],
                n_positive=arrays[f"{level}.n_positive"],
            )
            for level in levels
        }
    except DAMAGE as error:
        raise DataError(f"{file}: no readable ranks ({said(error)}). {_again(path)}") from error


def _again(path: Path) -> str:
    """How to get the ranks beside a row again: a bench measures what has no row; a copy needs those of its original."""
    if not named_as_row(path):
        return f"Copy the ranks of the row, its .npz, beside {path.name}."
    return f"Remove {path.name} beside it and run the same `vitret bench` again."


def result_files(root: Path) -> list[Path]:
    """Every row below a results folder, sorted; the published folder is not among them."""
    return sorted(p for p in root.glob("*/*/*/*.json") if p.relative_to(root).parts[0] != "published")


def per_query(path: Path, key: str) -> Float64:
    """A row's per-query values of one metric, (Q,), NaN for queries without positives; from the stored ranks.

    Raises `DataError` where there are no readable ranks of the metric's level, or those of another row.
    """
    metric, level = split_key(key)
    file = path.with_suffix(".npz")
    changed = file.stat().st_mtime_ns if file.exists() else None
    ranks = _kept_ranks(path, changed)
    if level not in ranks:
        raise DataError(f"{file}: has no ranks of level '{level}', which {key} follows from. {_again(path)}")
    return parse_metric(metric)(ranks[level])


@functools.lru_cache(maxsize=16)  # the rows of one recipe: a table asks each for all its metrics in turn
def _kept_ranks(path: Path, changed: int | None) -> dict[str, Ranks]:
    """The ranks of a row as they are since `changed`, in nanoseconds."""
    ranks = read_ranks(path)
    written = read_json_object(path, advice=ADVICE).get("ranks_sha256")  # rows of version 1 have none
    if written and written != ranks_digest(ranks):
        raise DataError(
            f"{path.with_suffix('.npz')}: is not what {path.name} was written with. {_again(path)}"
        )
    return ranks
