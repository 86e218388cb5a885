import numpy as np
import pytest

from vitret.core.errors import DataError
from vitret.measure.narrow import norms, widened

HALVES = np.arange(2**16, dtype=np.uint16).view(np.float16)


def test_every_float16_number_is_widened_as_numpy_does_it():
    finite = HALVES[np.isfinite(HALVES)].reshape(-1, 16)
    expected = finite.astype(np.float32)
    wide, norm = widened(finite, what="database")
    assert (wide.view(np.uint32) == expected.view(np.uint32)).all()  # bits: zeros keep their sign
    assert norm == pytest.approx(np.sqrt((expected**2).sum(axis=1).max()), rel=1e-6)
    assert (widened(finite[:, ::-2], what="database")[0] == expected[:, ::-2]).all()


@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64])
@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_a_row_that_is_not_finite_is_named(dtype, bad):
    rows = np.ones((4, 3), dtype=dtype)
    rows[2, 1] = bad
    with pytest.raises(DataError, match="database: row 12 holds NaN"):
        widened(rows, what="database", offset=10)


def test_float32_rows_are_not_copied():
    rows = np.eye(3, dtype=np.float32)
    wide, norm = widened(rows, what="queries")
    assert np.shares_memory(wide, rows)
    assert norm == 1.0


@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64])
def test_only_finite_rows_of_length_one_have_norms_near_one(dtype):
    bad = [[np.nan, 0], [np.inf, 0], [0, -np.inf], [0, 0], [np.finfo(dtype).max, 1], [0.5, 0.5]]
    with np.errstate(invalid="ignore"):
        found = norms(np.array([[0.6, 0.8], [1, 0], *bad], dtype=dtype))
    assert (np.abs(found - 1) <= 1e-3).tolist() == [True, True, *[False] * 6]
