"""Rows in the precision in which the product runs: float16 to float32 at the speed of memory, norms on the way."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from vitret.measure.scoring import Float32, largest_norm

_FINITE = 65536.0  # float16 numbers are smaller; what `_widen_half` makes of its infinities and NaN is not


def widened(rows: NDArray[Any], *, what: str, offset: int = 0) -> tuple[Float32, float]:
    """Rows (n, D) as contiguous float32, and the largest norm among them.

    Raises `DataError` that names the first row that is not finite; `offset` is the index of the first row.
    """
    if rows.dtype == np.float16:
        wide = _widen_half(rows)
        norm = _largest(wide)
        if norm < _FINITE:
            return wide, norm
    wide = np.ascontiguousarray(rows, dtype=np.float32)
    return wide, largest_norm(wide, what=what, offset=offset)


def norms(rows: NDArray[Any]) -> Float32:
    """The norms of rows (n, D) in float32; of a row that is not finite a number that is not near one, or NaN."""
    with np.errstate(over="ignore"):
        wide = _widen_half(rows) if rows.dtype == np.float16 else np.asarray(rows, dtype=np.float32)
        lengths: Float32 = np.sqrt(np.einsum("nd,nd->n", wide, wide))
    return lengths


def _largest(rows: Float32) -> float:
    return float(np.sqrt(np.einsum("nd,nd->n", rows, rows).max(initial=0.0)))


def _widen_half(rows: NDArray[Any]) -> Float32:
    """Finite float16 numbers as float32, exactly.

    numpy converts one number at a time. Here the bits move to their places in a float32, thirteen to the left, and a
    product with 2¹¹² makes up for the exponents' different biases (2⁷ − 2⁴), denormal numbers included.
    """
    wide = np.empty(rows.shape, dtype=np.float32)
    bits = wide.view(np.int32)
    np.copyto(bits, rows.view(np.int16))
    np.left_shift(bits, 13, out=bits)
    np.bitwise_and(
        bits, np.int32(~0x70001FFF), out=bits
    )  # the sign was copied into the bits above the exponent
    np.multiply(wide, np.float32(2.0**112), out=wide)
    return wide
