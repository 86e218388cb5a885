import pickle
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from vitret.core.errors import DataError
from vitret.data.formats.sfm import cid_path, read_sfm


def written(folder: Path, value: Any) -> Path:
    path = folder / "db.pkl"
    path.write_bytes(pickle.dumps(value, protocol=2))
    return path


def test_parts_pairs_and_clusters(tmp_path: Path) -> None:
    part = {"cids": ["a", "b", "c"], "cluster": [4, 4, 9], "qidxs": [0], "pidxs": [1]}
    parts = read_sfm(written(tmp_path, {"train": part, "val": {**part, "cluster": np.array([0, 0, 1])}}))
    assert list(parts) == ["train", "val"]
    assert parts["train"].clusters.tolist() == [4, 4, 9]
    assert parts["val"].clusters.tolist() == [0, 0, 1]
    assert parts["train"].pairs.tolist() == [[0, 1]]


def test_without_clusters_connected_images_share_a_label(tmp_path: Path) -> None:
    flat = {"cids": ["a", "b", "c", "d"], "qidxs": np.array([0, 2]), "pidxs": np.array([2, 3])}
    assert read_sfm(written(tmp_path, flat))["train"].clusters.tolist() == [0, 1, 0, 0]


@pytest.mark.parametrize(
    "part",
    [
        {"cids": ["a"], "cluster": [0], "qidxs": [0], "pidxs": [1]},
        {"cids": ["a"], "cluster": [0, 1], "qidxs": [0], "pidxs": [0]},
        {"cids": ["a"], "cluster": [0], "qidxs": [0, 0], "pidxs": [0]},
        {"cids": ["a"]},
        [1, 2],
    ],
)
def test_what_does_not_fit_is_refused(tmp_path: Path, part: Any) -> None:
    with pytest.raises(DataError):
        read_sfm(written(tmp_path, {"train": part}))


def test_an_image_lies_in_folders_of_its_last_six_characters() -> None:
    assert cid_path("5b3fc3b1a1e9e3d2c1b0a9f8e7d6c5b4") == "b4/c5/d6/5b3fc3b1a1e9e3d2c1b0a9f8e7d6c5b4"
