import gzip
from pathlib import Path

import pytest

from vitret.core.errors import DataError
from vitret.data.datasets._conversion import split_classes
from vitret.data.formats.text import Labelled, cub, inshop, label_path_csv, path_label, sop


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
    path = tmp_path / "l.csv.gz"
    path.write_bytes(gzip.compress(b"1,a.jpg\n" * 1000)[:-12])
    with pytest.raises(DataError, match="not readable as text"):
        label_path_csv(path)


# Official counts: shared/reference/datasets.md 1.9.
@pytest.mark.parametrize(
    ("name", "images", "classes"),
    [
        ("stanford_online_train", 59_551, 11_318),
        ("stanford_online_test", 60_502, 11_316),
        ("cub_train", 5_864, 100),
        ("cub_test", 5_924, 100),
        ("deep_fashion_train", 25_882, 3_997),
        ("deep_fashion_test", 26_830, 3_985),
    ],
)
def test_the_real_lists_have_the_official_counts(shared: Path, name: str, images: int, classes: int) -> None:
    listed = label_path_csv(shared / "splits" / f"{name}.csv.gz")
    assert (len(listed.paths), len(set(listed.labels)), len(set(listed.paths))) == (images, classes, images)


def test_the_real_lists_in_their_official_form(shared: Path, tmp_path: Path) -> None:
    """The real names and labels, written as the publishers write them, through the very readers of the parts."""
    real = {
        path.name.removesuffix(".csv.gz"): label_path_csv(path) for path in (shared / "splits").glob("*.gz")
    }
    for part, count in (("train", 59_551), ("test", 60_502)):
        listed = real[f"stanford_online_{part}"]
        rows = "".join(f"{i} {c} 1 {p}\n" for i, (p, c) in enumerate(zip(*listed, strict=True), start=1))
        read = sop(write(tmp_path / "ebay.txt", f"image_id class_id super_class_id path\n{rows}"))
        assert read == listed
        assert len(read.paths) == count
    both = Labelled(*(real["cub_train"][k] + real["cub_test"][k] for k in (0, 1)))
    numbers = range(1, len(both.paths) + 1)
    images = write(
        tmp_path / "images.txt", "".join(f"{i} {p}\n" for i, p in zip(numbers, both.paths, strict=True))
    )
    classes = "".join(f"{i} {int(c)}\n" for i, c in zip(numbers, both.labels, strict=True))
    train, test = split_classes(cub(images, write(tmp_path / "classes.txt", classes)), train=range(1, 101))
    assert (train.paths, test.paths) == (real["cub_train"].paths, real["cub_test"].paths)
    # The public split merges queries and gallery; the gallery is as large as the publisher says.
    merged, kinds = real["deep_fashion_test"], {"train": 25_882, "query": 14_218, "gallery": 12_612}
    rows = [(p, c, "train") for p, c in zip(*real["deep_fashion_train"], strict=True)]
    rows += [
        (p, c, "query" if i < 14_218 else "gallery") for i, (p, c) in enumerate(zip(*merged, strict=True))
    ]
    head = f"{len(rows)}\nimage_name item_id evaluation_status\n"
    parts = inshop(
        write(tmp_path / "partition.txt", head + "".join(f"{p}    {c}   {s}\n" for p, c, s in rows))
    )
    assert {kind: len(part.paths) for kind, part in parts.items()} == kinds
