import io
import zipfile
from pathlib import Path

import numpy as np
import pytest

from vitret.core.npz import DAMAGE, npz_array, npz_arrays, npz_headers


@pytest.mark.parametrize("save", [np.savez, np.savez_compressed])
def test_equal_to_numpy(tmp_path: Path, save) -> None:
    given = {
        "a": np.arange(12.0).reshape(3, 4),
        "f": np.asfortranarray(np.arange(12, dtype=">f4").reshape(3, 4)),
        "zero": np.zeros((0, 4)),
        "one": np.float64(3),
        "names": np.array(["a", "bc"]),
    }
    save(tmp_path / "a.npz", **given)
    found = npz_arrays(tmp_path / "a.npz")
    assert found.keys() == given.keys()
    for name, array in given.items():
        np.testing.assert_array_equal(found[name], array)
        assert npz_headers(tmp_path / "a.npz")[name] == (np.shape(array), np.asarray(array).dtype)


def member(header_of: np.ndarray, content: bytes) -> bytes:
    """A .npy whose header is that of another array than its content's."""
    made = io.BytesIO()
    np.lib.format.write_array_header_1_0(made, np.lib.format.header_data_from_array_1_0(header_of))
    return made.getvalue() + content


def test_no_room_is_made_for_what_is_not_there(tmp_path: Path) -> None:
    huge = np.lib.stride_tricks.as_strided(np.zeros(1), shape=(1 << 40, 8), strides=(0, 0))
    with zipfile.ZipFile(tmp_path / "a.npz", "w") as archive:
        archive.writestr("a.npy", member(huge, bytes(64)))
    with pytest.raises(ValueError, match=r"70,368,744,177,664 bytes announced, 64 there"):
        npz_array(tmp_path / "a.npz", "a")


def test_objects_are_never_unpickled(tmp_path: Path) -> None:
    np.savez(tmp_path / "a.npz", a=np.array([{}], dtype=object), allow_pickle=True)
    with pytest.raises(ValueError, match="never unpickled"):
        npz_array(tmp_path / "a.npz", "a")


def test_every_cut_is_noticed(tmp_path: Path) -> None:
    np.savez_compressed(tmp_path / "a.npz", a=np.arange(100.0))
    whole = (tmp_path / "a.npz").read_bytes()
    for length in range(0, len(whole), 7):
        (tmp_path / "b.npz").write_bytes(whole[:length])
        with pytest.raises(DAMAGE):
            npz_arrays(tmp_path / "b.npz")
