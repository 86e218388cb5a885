import gzip
from pathlib import Path

import pytest

from vitret.core.errors import DataError
from vitret.data.datasets._conversion import split_classes
from vitret.data.formats.text import Labelled, cub, inshop, path_label, sop


def write(path: Path, text: str) -> Path:
    path.write_text(text)
    return path


def test_sop_has_four_columns_and_a_header(tmp_path: Path) -> None:
    listed = sop(write(tmp_path / "e.txt", "image_id class_id super_class_id path\n1 7 1 a_final/b c.JPG\n"))
    assert listed == Labelled(["a_final/b c.JPG"], ["7"])
    with pytest.raises(DataError, match="header"):
        sop(write(tmp_path / "f.txt", "1 7 1 a.JPG\n"))


def test_cub_joins_paths_and_classes_by_image_id(tmp_path: Path) -> None:
    images = write(tmp_path / "images.txt", "2 002.B/b.jpg\n1 001.A/a.jpg\n")
    listed = cub(images, write(tmp_path / "classes.txt", "1 1\n2 102\n"))
    assert listed == Labelled(["002.B/b.jpg", "001.A/a.jpg"], ["102", "1"])
    train, test = split_classes(listed, train=range(1, 101))
    assert (train.paths, test.paths) == (["001.A/a.jpg"], ["002.B/b.jpg"])
    with pytest.raises(DataError, match="no class for image 2"):
        cub(images, write(tmp_path / "short.txt", "1 1\n"))


def test_inshop_counts_its_rows(tmp_path: Path) -> None:
    head = "image_name item_id evaluation_status\n"
    rows = "img/a.jpg   id_1   train\nimg/b.jpg id_2 query\nimg/c.jpg id_2 gallery\n"
    parts = inshop(write(tmp_path / "p.txt", f"3\n{head}{rows}"))
    assert parts["gallery"] == Labelled(["img/c.jpg"], ["id_2"])
    with pytest.raises(DataError, match="3 images listed, 4 announced"):
        inshop(write(tmp_path / "short.txt", f"4\n{head}{rows}"))
    for count in ("²", "9" * 5_000):
        with pytest.raises(DataError, match="expected a count"):
            inshop(write(tmp_path / "odd.txt", f"{count}\n{head}{rows}"))
    with pytest.raises(DataError, match="status 'val'"):
        inshop(write(tmp_path / "odd.txt", f"1\n{head}img/a.jpg id_1 val\n"))


def test_a_path_may_hold_spaces_and_a_label_not(tmp_path: Path) -> None:
    assert path_label(write(tmp_path / "l.txt", "http://h/a b.jpg 12\n")) == Labelled(
        ["http://h/a b.jpg"], ["12"]
    )


def test_a_line_without_end_is_refused(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="longer than"):
        sop(write(tmp_path / "long.txt", "x" * 10_000_000))


def test_a_damaged_gzip_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "l.txt.gz"
    path.write_bytes(gzip.compress(b"a.jpg 1\n" * 1000)[:-12])
    with pytest.raises(DataError, match="not readable as text"):
        path_label(path)
