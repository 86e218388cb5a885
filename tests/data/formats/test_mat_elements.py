"""Matrices of MATLAB 5 files, read here: scipy reads outside its arrays when one is damaged."""

from pathlib import Path

import numpy as np
import pytest
import scipy.io
import scipy.sparse

from vitret.core.errors import DataError
from vitret.data.formats.mat import load_mat
from vitret.data.formats.mat_elements import read_matrix

LARGEST = 1 << 20


@pytest.fixture
def dense() -> np.ndarray:
    values = np.random.default_rng(0).standard_normal((7, 5))
    return np.where(np.abs(values) > 0.5, values, 0)


@pytest.mark.parametrize("compressed", [False, True])
@pytest.mark.parametrize("kind", [np.float64, np.bool_])
def test_equal_to_scipy(tmp_path: Path, dense: np.ndarray, compressed: bool, kind: type) -> None:
    path = tmp_path / "a.mat"
    sparse = scipy.sparse.csc_matrix(dense.astype(kind))
    scipy.io.savemat(path, {"names": ["a"], "X": sparse, "Y": dense}, do_compression=compressed)
    np.testing.assert_array_equal(read_matrix(path, "X", largest=LARGEST), sparse.toarray())
    np.testing.assert_array_equal(read_matrix(path, "Y", largest=1), dense)
    with pytest.raises(KeyError, match="names"):
        read_matrix(path, "names", largest=LARGEST)
    with pytest.raises(ValueError, match="takes 280 bytes when filled"):
        read_matrix(path, "X", largest=279)


@pytest.mark.parametrize("compressed", [False, True])
@pytest.mark.parametrize(
    "values", [np.arange(6.0), np.arange(6.0) / 7, np.float32(range(6)) / 7, [300.0] * 6]
)
def test_full_matrices_are_equal_to_scipy_too(tmp_path: Path, values: np.ndarray, compressed: bool) -> None:
    given = np.reshape(values, (2, 3))
    scipy.io.savemat(tmp_path / "a.mat", {"X": given}, do_compression=compressed)
    found = read_matrix(tmp_path / "a.mat", "X", largest=LARGEST)
    np.testing.assert_array_equal(found, given)
    assert found.dtype == given.dtype


def test_numbers_of_a_type_that_does_not_exist_are_refused(tmp_path: Path) -> None:
    """scipy 1.17 ends the process on this byte: it looks the type up in a table without it."""
    path = tmp_path / "a.mat"
    scipy.io.savemat(path, {"X": np.eye(2) / 7})
    whole = path.read_bytes()
    at = whole.index(b"\x09\x00\x00\x00\x20\x00\x00\x00")
    path.write_bytes(whole[:at] + b"\x00" + whole[at + 1 :])
    with pytest.raises(ValueError, match="numbers of the type 0"):
        read_matrix(path, "X", largest=LARGEST)
    with pytest.raises(DataError, match="numbers of the type 0"):
        load_mat(path)


def test_indices_outside_the_matrix_are_refused(tmp_path: Path, dense: np.ndarray) -> None:
    path = tmp_path / "a.mat"
    scipy.io.savemat(path, {"X": scipy.sparse.csc_matrix(dense)})
    whole = path.read_bytes()
    refused = 0
    for at in range(128, len(whole), 4):
        path.write_bytes(whole[:at] + b"\xff\xff\xff\x7f" + whole[at + 4 :])
        try:
            assert read_matrix(path, "X", largest=LARGEST).shape == dense.shape
        except (ValueError, KeyError):
            refused += 1
    assert refused > 20


@pytest.mark.parametrize("compressed", [False, True])
def test_a_ground_truth_holds_no_sparse_matrix_however_deep(tmp_path: Path, compressed: bool) -> None:
    sparse = scipy.sparse.csc_matrix(np.eye(2))
    plain = {"gnd": {"names": np.array(["a", 1.5, np.eye(2)], dtype=object), "at": 1j * np.eye(2)}}
    scipy.io.savemat(tmp_path / "a.mat", plain, do_compression=compressed)
    assert load_mat(tmp_path / "a.mat")["gnd"].shape == (1, 1)
    for value in ({"X": sparse}, {"gnd": {"X": sparse}}, {"c": np.array(["a", {"b": sparse}], dtype=object)}):
        scipy.io.savemat(tmp_path / "b.mat", value, do_compression=compressed)
        with pytest.raises(DataError, match="a sparse matrix, which no ground truth holds"):
            load_mat(tmp_path / "b.mat")
