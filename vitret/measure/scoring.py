"""One score for one pair: the dot product of two rows, the same wherever and however it is computed.

A float32 matrix product gives a pair a slightly different value depending on the shape of the block, the library and
the machine, so two identical images may fail to tie and a rank may depend on a block size. Here the product only
*proposes*: what it cannot tell apart within its own error is scored again, in float64 rounded once to float32
(`exact_scores`), and that value decides. Ranks are therefore a function of the descriptors alone. The idea is the
filtered predicate of computational geometry (Shewchuk, Discrete & Computational Geometry 18, 1997); the error bound
is the probabilistic one of Higham and Mary, SIAM J. Sci. Comput. 41 (2019), with λ = 2.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vitret.core.errors import DataError, MachineError
from vitret.core.records import Int64

Float32 = NDArray[np.float32]

BLOCK = 8192  # database rows a block: its scores stay in the second-level cache while they are counted
_INDEX = 0xFFFFFFFF
_PAIRED = 2**18  # numbers of both sides that are widened to float64 at a time


@dataclass(frozen=True, kw_only=True, eq=False)
class Rows:
    """Arrays (n_i, D) read as one, end to end: a database, then its distractors; often memory-mapped."""

    parts: tuple[NDArray[Any], ...]

    @classmethod
    def of(cls, *arrays: NDArray[Any]) -> Rows:
        """Raises `DataError` when the arrays are not (n, D) with one D, or not of a floating type."""
        for array in arrays:
            if array.ndim != 2 or array.dtype.kind != "f":
                raise DataError(
                    f"descriptors must be floats (n, D), got {array.dtype} of shape {array.shape}."
                )
            if array.shape[1] != arrays[0].shape[1]:
                raise DataError(
                    f"descriptors of {array.shape[1]} and of {arrays[0].shape[1]} dimensions cannot be compared: "
                    "extract both with one model."
                )
        return cls(parts=tuple(arrays))

    def __len__(self) -> int:
        return sum(len(part) for part in self.parts)

    @property
    def dim(self) -> int:
        return int(self.parts[0].shape[1])

    def blocks(self, size: int) -> Iterator[tuple[int, NDArray[Any]]]:
        """(index of the first row, rows) until all are read; a block never spans two arrays."""
        offset = 0
        for part in self.parts:
            for start in range(0, len(part), size):
                yield offset + start, part[start : start + size]
            offset += len(part)

    def take(self, indices: Int64) -> NDArray[np.float64]:
        """The rows of some indices, in that order, as float64."""
        out = np.empty((len(indices), self.dim))
        offset = 0
        for part in self.parts:
            here = (indices >= offset) & (indices < offset + len(part))
            out[here] = part[indices[here] - offset]
            offset += len(part)
        return out


def exact_scores(query: NDArray[Any], rows: NDArray[Any]) -> Float32:
    """The score that decides: products and sum in float64, rounded once to float32.

    `query` (D,), `rows` (n, D); returns (n,). A row's score does not depend on the rows beside it.
    """
    wide = np.ascontiguousarray(rows, dtype=np.float64)
    # einsum walks each row on its own and in order; a BLAS product would not.
    scores: Float32 = np.einsum("nd,d->n", wide, query.astype(np.float64)).astype(np.float32)
    return scores


def exact_pairs(queries: NDArray[Any], rows: NDArray[Any]) -> Float32:
    """As `exact_scores`, of pairs: `queries` (n, D), `rows` (n, D); returns (n,), the same bits."""
    some = max(1, _PAIRED // max(1, rows.shape[1]))
    scores = np.empty(len(rows), dtype=np.float32)
    for start in range(0, len(rows), some):
        pair = slice(start, start + some)
        wide = (np.ascontiguousarray(side[pair], dtype=np.float64) for side in (queries, rows))
        scores[pair] = np.einsum("nd,nd->n", *wide)
    return scores


def order_keys(scores: Float32, indices: Int64) -> Int64:
    """One integer per (score, database index) that orders them: higher score first, then the smaller index.

    Indices lie in 0…2³²−1.
    >>> keys = order_keys(np.array([0.5, -0.5, 0.5], np.float32), np.array([7, 8, 2]))
    >>> np.argsort(keys)[::-1].tolist()
    [2, 0, 1]
    """
    return (rising(scores).astype(np.int64) << 32) | (_INDEX - indices)


def key_indices(keys: Int64) -> Int64:
    """The database indices inside `order_keys`."""
    return _INDEX - (keys & _INDEX)


def key_scores(keys: Int64) -> Float32:
    """The scores inside `order_keys`."""
    return _rising((keys >> 32).astype(np.int32)).view(np.float32)


def rising(scores: Float32) -> NDArray[np.int32]:
    """One integer per score, in the same order."""
    return _rising((scores + np.float32(0)).view(np.int32))  # adding zero makes −0 into 0


def _rising(bits: NDArray[np.int32]) -> NDArray[np.int32]:
    # IEEE 754 floats are ordered by sign and magnitude, integers by two's complement. Its own inverse.
    return bits ^ ((bits >> 31) & np.int32(0x7FFFFFFF))


def largest_norm(rows: NDArray[Any], *, what: str, offset: int = 0) -> float:
    """The largest norm among the rows (n, D); raises `DataError` naming the first row that is not finite."""
    wide = np.asarray(rows, dtype=np.float32)
    squares = np.einsum("nd,nd->n", wide, wide)
    if not np.isfinite(squares).all():
        first = int(np.flatnonzero(~np.isfinite(squares))[0])
        raise DataError(
            f"{what}: row {offset + first} holds NaN or infinity. Extract that image again, or leave it out."
        )
    return float(np.sqrt(squares.max(initial=0.0)))


def tolerance(dim: int, norms: float) -> float:
    """How far a float32 product may lie from the exact score; `norms` is the product of the two largest norms.

    With λ = 2 the bound is 2·√D·2⁻²⁴; rounding the exact score adds at most one more 2⁻²⁴.
    """
    return 2.0 * (math.sqrt(dim) + 1.0) * 2.0**-24 * norms


def confirm(proposed: Float32, exact: Float32, tau: float) -> None:
    """Raise `MachineError` when the matrix product was less exact than float32: TF32 or bfloat16 is on."""
    worst = float(np.abs(proposed - exact).max(initial=0.0))
    if worst > tau:
        raise MachineError(
            f"scores are off by {worst:.1e}, float32 allows {tau:.1e}: the matrix product runs in a lower precision. "
            "Unset NVIDIA_TF32_OVERRIDE and the like, or measure with `--engine numpy`."
        )
