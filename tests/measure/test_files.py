import pickle

import numpy as np
import pytest
import scipy.io
from safetensors.numpy import save_file

from vitret.core.errors import DataError, UserError
from vitret.measure.files import read_rows


@pytest.fixture
def rows():
    values = np.random.default_rng(0).standard_normal((6, 4)).astype(np.float32)
    return values / np.linalg.norm(values, axis=1, keepdims=True)


def write(path, array, key="anything"):
    if path.suffix == ".npy":
        np.save(path, array)
    elif path.suffix == ".npz":
        np.savez(path, **{key: array})
    elif path.suffix == ".mat":
        scipy.io.savemat(path, {key: array})
    elif path.suffix == ".safetensors":
        save_file({key: np.ascontiguousarray(array)}, path)
    else:
        h5py = pytest.importorskip("h5py", reason="needs the formats extra")
        with h5py.File(path, "w") as file:
            file[f"group/{key}"] = array
    return str(path)


SUFFIXES = [".npy", ".npz", ".h5", ".mat", ".safetensors"]


@pytest.mark.parametrize("suffix", SUFFIXES)
@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64])
def test_every_format_gives_the_rows_back(tmp_path, rows, suffix, dtype):
    if (suffix, dtype) == (".mat", np.float16):
        pytest.skip("MATLAB 5 has no half precision")
    stored = read_rows(write(tmp_path / f"f{suffix}", rows.astype(dtype)), role="queries", count=6)
    np.testing.assert_allclose(stored.rows, rows, atol=1e-3)
    assert stored.rows.dtype == (np.float16 if dtype is np.float16 else np.float32)
    assert len(stored.notes) == (dtype is np.float64)


def test_npy_stays_on_disk(tmp_path, rows):
    assert isinstance(read_rows(write(tmp_path / "f.npy", rows), role="queries", count=6).rows, np.memmap)


def test_matlab_columns_are_turned_by_the_length_of_the_list_and_others_are_not(tmp_path, rows):
    stored = read_rows(write(tmp_path / "f.mat", rows.T), role="queries", count=6)
    np.testing.assert_allclose(stored.rows, rows)
    assert "turned" in stored.notes[0]
    turned = read_rows(write(tmp_path / "d.mat", rows.T), role="distractors", dim=4)
    np.testing.assert_allclose(turned.rows, rows)
    for suffix in (".npy", ".npz", ".h5", ".safetensors"):
        with pytest.raises(DataError, match=r"\(4, 6\), which is D×N.*transposed"):
            read_rows(write(tmp_path / f"t{suffix}", rows.T), role="queries", count=6)


def test_matlab_7_3_is_read_as_hdf5(tmp_path, rows):
    h5py = pytest.importorskip("h5py", reason="needs the formats extra")
    path = tmp_path / "f.mat"
    with h5py.File(path, "w", userblock_size=512) as file:
        file["X"] = rows  # MATLAB stores D×N column by column, which is N×D here
    with path.open("r+b") as file:
        file.write(b"MATLAB 7.3 MAT-file".ljust(124))
    np.testing.assert_allclose(read_rows(str(path), role="database", count=6).rows, rows)


def test_square_arrays_are_taken_as_rows_and_said(tmp_path):
    stored = read_rows(write(tmp_path / "f.mat", np.eye(4)[[1, 0, 2, 3]]), role="queries", count=4)
    assert "square" in stored.notes[0]


def test_rows_of_any_length_are_normalised_and_said(tmp_path, rows):
    stored = read_rows(write(tmp_path / "f.npy", rows * np.arange(1, 7)[:, None]), role="queries", count=6)
    np.testing.assert_allclose(stored.rows, rows, atol=1e-6)
    assert "lengths 1 to 6; normalised" in " ".join(stored.notes)


@pytest.mark.parametrize(
    ("value", "message"),
    [
        (np.nan, "1 of 6 rows of the queries hold NaN"),
        (np.inf, "first: 2"),
        (0.0, "1 of 6 rows of the queries are all"),
    ],
)
def test_rows_without_a_direction_are_refused(tmp_path, rows, value, message):
    rows[2] = value
    with pytest.raises(DataError, match=message):
        read_rows(write(tmp_path / "f.npy", rows), role="queries", count=6)


def test_files_of_several_arrays(tmp_path, rows):
    path = tmp_path / "f.npz"
    np.savez(path, X=rows, Q=rows[:2], names=np.arange(3))
    assert len(read_rows(str(path), role="queries", count=2).rows) == 2
    assert len(read_rows(str(path), role="database", count=6).rows) == 6
    assert len(read_rows(f"{path}:X", role="queries", count=6).rows) == 6
    with pytest.raises(DataError, match="has no array 'Y'"):
        read_rows(f"{path}:Y", role="queries")
    np.savez(path, a=rows, b=rows)
    with pytest.raises(DataError, match=r"which array holds the queries\? It has a \(6, 4\), b \(6, 4\)"):
        read_rows(str(path), role="queries")


@pytest.mark.parametrize(
    ("array", "message"),
    [
        (np.ones(6, dtype=np.float32), r"shape \(6,\); descriptors are \(n, D\)"),
        (np.ones((6, 4), dtype=np.int64), "are int64"),
        (np.ones((5, 4), dtype=np.float32), r"shape \(5, 4\), but the list has 6 images"),
    ],
)
def test_what_cannot_be_descriptors_of_the_list(tmp_path, array, message):
    with pytest.raises(DataError, match=message):
        read_rows(write(tmp_path / "f.npy", array), role="queries", count=6)


def test_other_dimensions_than_the_database(tmp_path, rows):
    with pytest.raises(DataError, match="4 dimensions, the others 9"):
        read_rows(write(tmp_path / "f.npy", rows), role="distractors", dim=9)


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_a_damaged_file_is_named(tmp_path, suffix):
    path = tmp_path / f"f{suffix}"
    path.write_bytes(b"PK or anything else" * 20)
    with pytest.raises(DataError, match=f"f{suffix}: not readable"):
        read_rows(str(path), role="queries")


def test_nothing_is_unpickled(tmp_path):
    class Bomb:
        def __reduce__(self):
            return (exec, ("raise SystemExit('the pickle ran')",))

    np.save(tmp_path / "f.npy", np.array([Bomb()], dtype=object), allow_pickle=True)
    np.savez(tmp_path / "f.npz", X=np.array([Bomb()], dtype=object), allow_pickle=True)
    for name in ("g.npy", "g.pt", "g.pth"):
        (tmp_path / name).write_bytes(pickle.dumps(Bomb()))
    for name in ("f.npy", "f.npz", "g.npy", "g.pt", "g.pth"):
        with pytest.raises(DataError, match=r"not readable|never unpickled"):
            read_rows(str(tmp_path / name), role="database")


def test_unknown_files(tmp_path):
    with pytest.raises(DataError, match="no such file"):
        read_rows(str(tmp_path / "none.npy"), role="queries")
    (tmp_path / "f.xyz").write_bytes(b"")
    with pytest.raises(UserError, match="unknown kind of file"):
        read_rows(str(tmp_path / "f.xyz"), role="queries")


def test_float64_is_normalised_before_it_is_narrowed(tmp_path, rows):
    for scale in (1e-60, 1e-300, 1e200):  # none of them is a float32
        stored = read_rows(
            write(tmp_path / "f.npy", rows.astype(np.float64) * scale), role="queries", count=6
        )
        np.testing.assert_allclose(stored.rows, rows, atol=1e-6)
        assert stored.rows.dtype == np.float32


@pytest.mark.parametrize("suffix", [".NPY", ".NPZ", ".MAT", ".SAFETENSORS", ".H5"])
def test_suffixes_in_capitals(tmp_path, rows, suffix):
    path = write(tmp_path / f"f{suffix.lower()}", rows)
    (tmp_path / f"g{suffix}").write_bytes((tmp_path / f"f{suffix.lower()}").read_bytes())
    assert path.endswith(suffix.lower())
    np.testing.assert_array_equal(read_rows(str(tmp_path / f"g{suffix}"), role="queries", count=6).rows, rows)


def test_numbers_in_the_byte_order_of_another_machine(tmp_path, rows):
    stored = read_rows(write(tmp_path / "f.npy", rows.astype(">f4")), role="queries", count=6).rows
    assert stored.dtype == np.float32
    assert stored.dtype.isnative
    np.testing.assert_array_equal(stored, rows)
