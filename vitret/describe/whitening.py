"""Learned whitening of descriptors: a mean and a projection fitted on a training set, then unit length again.

`lw` is fitted on matching pairs (Mikolajczyk and Matas, ICCV 2007, as Radenović et al., TPAMI 2019, use it); `pca` is
plain PCA whitening (Jégou and Chum, ECCV 2012); `pca_power` divides by the variance to a power, 0.25 in Deep Image
Retrieval (Revaud et al., ICCV 2019), where 0.5 would be full whitening.
"""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import safetensors
import safetensors.numpy
from numpy.typing import NDArray

from vitret.core.disguise import require_content
from vitret.core.errors import DataError, UserError
from vitret.core.protocol import WhiteningSpec
from vitret.core.records import Descriptors, EvalSet, Float64, Int64, TrainSet
from vitret.core.store import digest, parse_json, write_bytes

VERSION = 1
BLOCK = 65536
# Keeps a vector at the origin from being divided by nothing; the constant of the published code.
EPS = 1e-6


@dataclass(frozen=True, kw_only=True, eq=False)
class Whitening:
    """y = projection (x − mean), then unit length.

    `mean` (D,), `projection` (d, D), rows by descending variance, float64. `about` says how and on what it was fitted.
    """

    mean: Float64
    projection: Float64
    about: dict[str, Any]

    def __post_init__(self) -> None:
        if self.mean.shape != self.projection.shape[1:]:
            raise ValueError(f"mean {self.mean.shape} and projection {self.projection.shape} do not fit")


def fit(
    spec: WhiteningSpec, descriptors: Descriptors, source: TrainSet, *, pairs: Int64 | None = None
) -> Whitening:
    """Fit what the spec asks for on the descriptors of a training set's images.

    `pairs` (P, 2) rows (query, positive) for `lw`; by default those of the set. An evaluation set is refused: whitening
    fitted there has seen the answers.
    """
    if isinstance(source, EvalSet) or not isinstance(source, TrainSet):
        raise UserError(
            f"whitening must not be fitted on the evaluation set '{source.name}'. Name a training set: data: sfm120k."
        )
    if spec.data is not None and spec.data != source.name:
        raise UserError(f"the protocol fits its whitening on '{spec.data}', given was '{source.name}'.")
    if len(descriptors) != len(source.images):
        raise DataError(f"{source.name}: {len(source.images)} images but {len(descriptors)} descriptors.")
    kept = np.setdiff1d(np.arange(len(descriptors)), descriptors.failed)
    if spec.kind == "lw":
        pairs = source.pairs if pairs is None else pairs
        if pairs is None or len(pairs) == 0:
            raise UserError(f"{source.name} has no pairs, which 'lw' is fitted on. Use kind: pca.")
        mean, projection = fit_lw(descriptors.rows, pairs[np.isin(pairs, kept).all(axis=1)], kept)
    elif spec.kind in ("pca", "pca_power"):
        power = 0.5 if spec.kind == "pca" else spec.power
        mean, projection = fit_pca(descriptors.rows, kept, power=power)
    else:
        raise UserError(f"there is nothing to fit for whitening '{spec.kind}'.")
    if spec.dim is not None and spec.dim > len(projection):
        raise UserError(f"whitening to {spec.dim} dimensions: the descriptors allow {len(projection)}.")
    about = {
        "version": VERSION,
        "spec": spec.model_dump(mode="json"),
        "data": source.name,
        "data_digest": source.digest,
        "images": len(kept),
        "model": descriptors.model_digest,
        "protocol": descriptors.protocol,
    }
    return Whitening(mean=mean, projection=projection[: spec.dim], about=about)


def fit_lw(rows: NDArray[Any], pairs: Int64, kept: Int64) -> tuple[Float64, Float64]:
    """Mean (D,) and projection (D, D) from matching pairs.

    The mean is that of the pairs' first members; the covariance of pair differences becomes the identity, then the axes
    are turned so that all `kept` rows are uncorrelated, by descending variance.
    """
    if len(pairs) == 0:
        raise DataError("no pair of readable images is left to fit 'lw' on.")
    dim = rows.shape[1]
    mean = np.zeros(dim)
    within = np.zeros((dim, dim))
    for start in range(0, len(pairs), BLOCK):
        block = pairs[start : start + BLOCK]
        queries = np.asarray(rows[block[:, 0]], dtype=np.float64)
        apart = queries - rows[block[:, 1]]
        mean += queries.sum(axis=0)
        within += apart.T @ apart
    mean /= len(pairs)
    inner = np.linalg.inv(_cholesky(within / len(pairs)))
    scatter = inner @ _scatter(rows, kept, mean) @ inner.T
    _, vectors = _descending(scatter)
    return mean, vectors.T @ inner


def fit_pca(rows: NDArray[Any], kept: Int64, *, power: float) -> tuple[Float64, Float64]:
    """Mean (D,) and projection (r, D): principal axes divided by variance^power; axes without variance are left out."""
    dim = rows.shape[1]
    if len(kept) == 0:
        raise DataError("no readable image is left to fit the whitening on.")
    mean = np.zeros(dim)
    for start in range(0, len(kept), BLOCK):
        mean += np.asarray(rows[kept[start : start + BLOCK]], dtype=np.float64).sum(axis=0)
    mean /= len(kept)
    variances, vectors = _descending(_scatter(rows, kept, mean) / len(kept))
    real = variances > variances[0] * 1e-12
    if not real.any():
        raise DataError("all descriptors are the same: there is no variance to whiten.")
    return mean, vectors[:, real].T / variances[real, None] ** power


def apply(whitening: Whitening, descriptors: Descriptors) -> Descriptors:
    """Whitened unit rows (n, d) float32; failed rows stay zeros."""
    if descriptors.dim != len(whitening.mean):
        raise DataError(
            f"whitening of {len(whitening.mean)} dimensions, descriptors of {descriptors.dim}. "
            "Fit it on descriptors of the same network."
        )
    rows = np.empty((len(descriptors), len(whitening.projection)), np.float32)
    for start in range(0, len(rows), BLOCK):
        x = np.asarray(descriptors.rows[start : start + BLOCK], dtype=np.float64)
        y = (x - whitening.mean) @ whitening.projection.T
        rows[start : start + BLOCK] = y / (np.linalg.norm(y, axis=1, keepdims=True) + EPS)
    rows[descriptors.failed] = 0
    return Descriptors(
        rows=rows,
        images_digest=descriptors.images_digest,
        model_digest=digest([descriptors.model_digest, whitening.about]),
        protocol=descriptors.protocol,
        failed=descriptors.failed,
    )


def save(path: Path, whitening: Whitening) -> None:
    """Write a .safetensors file with the two arrays, and `about` in its metadata."""
    arrays = {"mean": whitening.mean, "projection": np.ascontiguousarray(whitening.projection)}
    text = json.dumps(whitening.about, sort_keys=True)
    write_bytes(path, safetensors.numpy.save(arrays, metadata={"vitret.whitening": text}))


def read(path: Path) -> Whitening:
    """Read what `save` wrote; another file, or one of another version, raises `DataError`."""
    require_content(path)
    try:
        with safetensors.safe_open(path, framework="numpy") as file:
            text = (file.metadata() or {}).get("vitret.whitening")
            about = parse_json(text) if text else {}
            if not isinstance(about, dict) or about.get("version") != VERSION:
                raise DataError(f"{path}: not a whitening that this version reads. Fit it again.")
            return Whitening(
                mean=file.get_tensor("mean"), projection=file.get_tensor("projection"), about=about
            )
    except (safetensors.SafetensorError, ValueError) as error:
        raise DataError(f"{path}: not a whole file of a whitening ({error}).") from error


def _scatter(rows: NDArray[Any], kept: Int64, mean: Float64) -> Float64:
    """Sum of outer products of centred rows, (D, D)."""
    total = np.zeros((len(mean), len(mean)))
    for start in range(0, len(kept), BLOCK):
        centred = np.asarray(rows[kept[start : start + BLOCK]], dtype=np.float64) - mean
        total += centred.T @ centred
    return total


def _descending(symmetric: Float64) -> tuple[Float64, Float64]:
    """Eigenvalues, largest first, and eigenvectors as columns, each with its largest entry positive.

    The sign of an eigenvector is free; fixing it makes the same data give the same projection on every machine.
    """
    values, vectors = np.linalg.eigh(symmetric)
    vectors = vectors[:, ::-1]
    largest = np.abs(vectors).argmax(axis=0)
    signs = np.sign(vectors[largest, np.arange(vectors.shape[1])])
    return values[::-1], vectors * signs


def _cholesky(covariance: Float64) -> Float64:
    """Lower triangular factor; what is not positive definite gets a growing diagonal: 1e-10, 1e-9, … as in cirtorch."""
    diagonal = 0.0
    while True:
        try:
            return np.linalg.cholesky(covariance + diagonal * np.eye(len(covariance))).astype(np.float64)
        except np.linalg.LinAlgError:
            diagonal = max(1e-10, diagonal * 10)
            if diagonal > 1:
                raise
