from pathlib import Path

import miniatures
import pytest

from vitret.core.errors import DataError
from vitret.data.formats.mat import read_cars, read_instre


def test_matlab_counts_from_one(tmp_path: Path) -> None:
    path = tmp_path / "gnd_instre.mat"
    path.write_bytes(miniatures.instre().plain["gnd_instre.mat"])
    truth = read_instre(path)
    for query, rows in zip(truth.queries, truth.positives, strict=True):
        assert {truth.database[i][:12] for i in rows} == {query[:12]}
        assert len(rows) == 5
    assert truth.boxes.tolist() == [[3, 4, 50, 40]] * 3


def test_cars_in_both_forms(tmp_path: Path) -> None:
    content = miniatures.cars196()
    path = tmp_path / "cars_annos.mat"
    path.write_bytes(content.plain["cars_annos.mat"])
    listed = read_cars(path)
    assert (listed.paths[0], listed.labels[0], listed.labels[-1]) == ("car_ims/000001.jpg", "1", "196")
    form = content.peer["stanford_cars/devkit/cars_train_annos.mat"]
    assert isinstance(form, bytes)
    path.write_bytes(form)
    assert read_cars(path).paths[0] == "00001.jpg"
    with pytest.raises(DataError, match="not the ground truth of INSTRE"):
        read_instre(path)


def test_a_damaged_file_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "x.mat"
    for data in (b"", b"<html>", miniatures.instre().plain["gnd_instre.mat"][:300]):
        path.write_bytes(data)
        with pytest.raises(DataError):
            read_instre(path)
