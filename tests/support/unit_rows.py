"""Random descriptors."""

from typing import Any

import numpy as np
from numpy.typing import DTypeLike, NDArray


def unit_rows(rng: np.random.Generator, n: int, dim: int, dtype: DTypeLike = np.float32) -> NDArray[Any]:
    """Rows (n, dim) of length one, in random directions."""
    rows = rng.standard_normal((n, dim))
    return (rows / np.linalg.norm(rows, axis=1, keepdims=True)).astype(dtype)
