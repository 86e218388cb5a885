"""HDF5 files with one array for each image: hloc's, in the order of the list and not of the file."""

import h5py
import numpy as np
import pytest

from vitret.core.errors import DataError
from vitret.measure.files import read_rows

NAMES = ["db/2014-11-03/b.jpg", "db/2014-11-03/a.jpg", "query/q.png"]


def write(path, names, leaf="global_descriptor", dtype=np.float32):
    with h5py.File(path, "w") as file:
        for name, row in zip(names, np.eye(len(names), 4, dtype=dtype), strict=True):
            file.create_dataset(f"{name}/{leaf}" if leaf else name, data=row)
            if leaf:
                file[name]["image_size"] = np.array([640, 480])
    return str(path)


def read(spec, images, role="database"):
    encoded = np.array([name.encode() for name in images])
    return read_rows(spec, role=role, count=len(images), images=encoded).rows


@pytest.mark.parametrize("dtype", [np.float16, np.float32])
def test_the_order_is_that_of_the_list(tmp_path, dtype):
    spec = write(tmp_path / "f.h5", NAMES, dtype=dtype)
    order = [1, 0]
    np.testing.assert_array_equal(read(spec, [NAMES[i] for i in order]), np.eye(3, 4)[order])
    np.testing.assert_array_equal(read(spec, [NAMES[2]], "queries"), np.eye(3, 4)[2:])


def test_suffixes_may_be_left_out_on_either_side(tmp_path):
    bare = [name.rpartition(".")[0] for name in NAMES]
    np.testing.assert_array_equal(read(write(tmp_path / "f.h5", NAMES), bare), np.eye(3, 4))
    np.testing.assert_array_equal(read(write(tmp_path / "g.h5", bare), NAMES), np.eye(3, 4))


def test_one_of_two_images_of_a_stem_is_not_guessed(tmp_path):
    spec = write(tmp_path / "f.h5", ["a.jpg", "a.png"])
    np.testing.assert_array_equal(read(spec, ["a.png", "a.jpg"]), np.eye(2, 4)[::-1])
    with pytest.raises(DataError, match="no descriptor of 1 of the 1 database of the list: a"):
        read(spec, ["a"])


def test_other_names_of_the_array_and_none(tmp_path):
    spec = write(tmp_path / "f.h5", NAMES, leaf="netvlad")
    np.testing.assert_array_equal(read(f"{spec}:netvlad", NAMES), np.eye(3, 4))
    np.testing.assert_array_equal(read(write(tmp_path / "g.h5", NAMES, leaf=""), NAMES), np.eye(3, 4))


def test_images_without_a_descriptor_are_counted_and_a_few_named(tmp_path):
    spec = write(tmp_path / "f.h5", NAMES)
    with pytest.raises(
        DataError, match=r"no descriptor of 3,?000 of the 3,?003.*x0, x1, x2 and 2,997 more"
    ) as error:
        read(spec, [*NAMES, *(f"x{i}" for i in range(3000))])
    assert len(str(error.value)) < 500


def test_without_a_list_there_is_no_order(tmp_path):
    spec = write(tmp_path / "f.h5", NAMES)
    with pytest.raises(DataError, match="puts in order"):
        read_rows(spec, role="queries", count=3)
    assert len(read_rows(spec, role="distractors", dim=4).rows) == 3
