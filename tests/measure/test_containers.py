"""Files of descriptors as users have them, and damaged ones: a right value, or one line."""

import h5py
import numpy as np
import pytest
import scipy.io
import scipy.sparse
import torch
from safetensors.numpy import save_file
from safetensors.torch import save_file as save_torch

from vitret.core.errors import DataError
from vitret.measure.files import read_rows

POINTER = b"version https://git-lfs.github.com/spec/v1\noid sha256:" + b"1" * 64 + b"\nsize 149871\n"
PAGE = b"<!DOCTYPE html><html><head><title>302 Found</title></head></html>"
KINDS = ["npy", "npz", "h5", "mat", "safetensors", "pt"]


@pytest.fixture
def rows():
    values = np.random.default_rng(0).standard_normal((40, 64)).astype(np.float32)
    return values / np.linalg.norm(values, axis=1, keepdims=True)


def read(path, name=""):
    return read_rows(f"{path}:{name}" if name else str(path), role="database", count=40).rows


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(
    ("content", "what"), [(POINTER, "a Git LFS pointer"), (PAGE, "a web page"), (b"", "empty")]
)
def test_what_lies_in_place_of_a_file_is_named(tmp_path, kind, content, what):
    path = tmp_path / f"f.{kind}"
    path.write_bytes(content)
    with pytest.raises(DataError, match=what) as error:
        read(path)
    assert len(str(error.value).splitlines()) == 1


def honest(folder, rows):
    np.save(folder / "f.npy", rows)
    scipy.io.savemat(folder / "f.mat", {"X": rows.T})
    scipy.io.savemat(folder / "c.mat", {"X": rows.T}, do_compression=True)
    np.savez(folder / "f.npz", database=rows)
    np.savez_compressed(folder / "c.npz", database=rows)
    with h5py.File(folder / "f.h5", "w") as file:
        file["database"] = rows
    with h5py.File(folder / "c.h5", "w") as file:
        file.create_dataset("database", data=rows, compression="gzip")
    save_file({"database": rows}, folder / "f.safetensors")
    torch.save({"database": torch.from_numpy(rows)}, folder / "f.pt")
    torch.save(torch.from_numpy(rows), folder / "one.pth")
    torch.save(torch.from_numpy(rows), folder / "old.pth", _use_new_zipfile_serialization=False)
    return sorted(folder.iterdir())


def test_damaged_files_end_in_one_line(tmp_path, rows):
    for path in honest(tmp_path, rows):
        whole = path.read_bytes()
        np.testing.assert_array_equal(read(path), rows)
        half = len(whole) // 2
        for damaged in (whole[:half], whole[:100], whole[:half] + b"\xff" * 40 + whole[half + 40 :]):
            path.write_bytes(damaged)
            with pytest.raises(DataError) as error:
                read(path)
            assert len(str(error.value)) < 400 + len(str(path))
            assert "\n" not in str(error.value)


def test_an_npz_with_objects_beside_the_descriptors(tmp_path, rows):
    names = np.array([f"im{i}" for i in range(40)], dtype=object)
    np.savez(tmp_path / "f.npz", feats=rows, names=names, allow_pickle=True)
    np.testing.assert_array_equal(read(tmp_path / "f.npz"), rows)
    with pytest.raises(DataError, match=r"'names' holds objects.*never unpickled"):
        read(tmp_path / "f.npz", "names")


def test_texts_beside_the_descriptors_are_not_taken_for_some(tmp_path, rows):
    with h5py.File(tmp_path / "f.h5", "w") as file:
        file["names"] = np.array([[f"d{i}"] for i in range(40)], dtype="S4")
        file["feat"] = rows
    np.testing.assert_array_equal(read(tmp_path / "f.h5"), rows)


def test_bfloat16(tmp_path, rows):
    given = torch.from_numpy(rows).bfloat16()
    save_torch({"other": torch.arange(4), "feats": given}, tmp_path / "f.safetensors")
    torch.save({"feats": given}, tmp_path / "f.pt")
    for name in ("f.safetensors", "f.pt"):
        stored = read(tmp_path / name)
        assert stored.dtype == np.float32
        unit = given.double().numpy()
        np.testing.assert_allclose(stored, unit / np.linalg.norm(unit, axis=1, keepdims=True), atol=1e-7 if np.abs(
            np.linalg.norm(unit, axis=1) - 1).max() > 2e-3 else 2e-3)  # fmt: skip


def test_types_of_eight_bits_are_refused_in_words(tmp_path, rows):
    save_torch({"feats": torch.from_numpy(rows).to(torch.float8_e4m3fn)}, tmp_path / "f.safetensors")
    with pytest.raises(DataError, match=r"feats.*F8_E4M3"):
        read(tmp_path / "f.safetensors")


def test_sparse_matrices_of_matlab(tmp_path, rows):
    thin = np.where(np.abs(rows) > 0.1, rows, 0).astype(np.float64)
    scipy.io.savemat(tmp_path / "f.mat", {"X": scipy.sparse.csc_matrix(thin.T)})
    expected = thin / np.linalg.norm(thin, axis=1, keepdims=True)
    np.testing.assert_allclose(read(tmp_path / "f.mat"), expected, atol=1e-7)
    scipy.io.savemat(tmp_path / "h.mat", {"X": scipy.sparse.csc_matrix((1 << 25, 40))})
    with pytest.raises(DataError, match="takes 10,737,418,240 bytes when filled"):
        read(tmp_path / "h.mat")


@pytest.mark.parametrize(
    "value", [{"X": np.eye(4), "names": ["a", "b"]}, np.array([[1.0], "a"], dtype=object), "text"]
)
def test_structs_and_cells_are_refused_in_words(tmp_path, value):
    scipy.io.savemat(tmp_path / "f.mat", {"feat": value})
    with pytest.raises(DataError, match=r"no matrix of descriptors; it has feat .* of (structs|cells|texts)"):
        read(tmp_path / "f.mat")
    with pytest.raises(DataError, match=r"'feat' holds (structs|cells|texts)"):
        read(tmp_path / "f.mat", "feat")


def test_links_that_lead_nowhere_are_passed_over(tmp_path, rows):
    with h5py.File(tmp_path / "f.h5", "w") as file:
        file["link"] = h5py.ExternalLink("gone.h5", "x")
        file["database"] = rows
        file["soft"] = h5py.SoftLink("/nowhere")
        file["alias"] = h5py.SoftLink("/database")
    np.testing.assert_array_equal(read(tmp_path / "f.h5"), rows)
    np.testing.assert_array_equal(read(tmp_path / "f.h5", "alias"), rows)
    for name in ("link", "soft"):
        with pytest.raises(DataError, match=f"has no array '{name}'"):
            read(tmp_path / "f.h5", name)


def test_what_a_header_announces_is_compared_with_what_is_there(tmp_path):
    with h5py.File(tmp_path / "f.h5", "w") as file:
        file.create_dataset("database", shape=(1 << 40, 1 << 20), chunks=(1024, 1024), dtype="f4")
    with pytest.raises(DataError, match="bytes announced, 0 there"):
        read(tmp_path / "f.h5")
    many = torch.zeros(1).expand(1 << 40, 64)
    torch.save(many, tmp_path / "f.pt")
    with pytest.raises(DataError, match="more numbers than are stored"):
        read(tmp_path / "f.pt")
