"""Photographs that were replaced after their set was prepared are refused by name; what was only touched is not."""

import os
import shutil
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from vitret.core.errors import DataError
from vitret.data.layout import require_unchanged
from vitret.data.layout.changed_images import changed_images
from vitret.data.layout.stamps import stamps_file
from vitret.data.prepare.request import Request
from vitret.data.prepare.run import prepare

LONG_AGO = 10**9


def bitmap(path: Path, seed: int) -> None:
    """A BMP: whatever its pixels, it has the same size."""
    pixels = np.random.default_rng(seed).integers(0, 256, (12, 16, 3), dtype=np.uint8)
    Image.fromarray(pixels).save(path)


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    """A prepared set `pets` of photographs in two class folders."""
    for seed, name in enumerate(("x/a.bmp", "x/b.bmp", "y/c.bmp", "y/d.bmp")):
        path = tmp_path / "photos" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        bitmap(path, seed)
        os.utime(path, (LONG_AGO, LONG_AGO))
    prepare(Request("pets", data_root=tmp_path / "data", source=tmp_path / "photos", workers=1))
    return tmp_path / "photos"


def changed(photos: Path) -> list[str]:
    return changed_images(photos.parent / "data" / "pets")


def test_what_is_as_it_was_costs_no_hash(photos: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("vitret.data.layout.changed_images.file_sha256", None)
    assert changed(photos) == []


def replace_by_another_size(path: Path) -> None:
    Image.new("RGB", (40, 30)).save(path)


def replace_in_place(path: Path) -> None:
    bitmap(path, 99)


def replace_with_an_old_time(path: Path) -> None:
    bitmap(path, 99)
    os.utime(path, (LONG_AGO, LONG_AGO))


def replace_by_moving(path: Path) -> None:
    bitmap(path.with_name("new.bmp"), 99)
    os.utime(path.with_name("new.bmp"), (LONG_AGO, LONG_AGO))
    path.with_name("new.bmp").replace(path)


def replace_by_a_link(path: Path) -> None:
    other = path.parent.parent.with_name("other.bmp")
    bitmap(other, 99)
    os.utime(other, (LONG_AGO - 1, LONG_AGO - 1))
    path.unlink()
    path.symlink_to(other)


@pytest.mark.parametrize(
    "replace",
    [
        replace_by_another_size,
        replace_in_place,
        replace_with_an_old_time,
        replace_by_moving,
        replace_by_a_link,
    ],
)
def test_a_replaced_photograph_is_named_with_the_command(photos: Path, replace):
    replace(photos / "y" / "c.bmp")
    assert changed(photos) == ["y/c.bmp"]
    with pytest.raises(
        DataError, match=r"1 image has other bytes.*c\.bmp.*vitret prepare pets --from DIR --replace"
    ):
        require_unchanged(photos.parent / "data", "pets")
    # It stays refused.
    assert changed(photos) == ["y/c.bmp"]
    prepare(
        Request("pets", data_root=photos.parent / "data", source=photos, workers=1, replace=True),
    )
    assert changed(photos) == []


def test_what_was_only_touched_is_hashed_once(photos: Path, monkeypatch: pytest.MonkeyPatch):
    (photos / "x" / "a.bmp").touch()
    assert changed(photos) == []
    monkeypatch.setattr("vitret.data.layout.changed_images.file_sha256", None)
    assert changed(photos) == []


def test_a_folder_that_was_swapped_for_another_is_seen(photos: Path):
    """The files of the other folder are as old, and as large."""
    other = photos.with_name("before")
    shutil.copytree(photos, other)
    for path in other.rglob("*.bmp"):
        os.utime(path, (LONG_AGO - 5, LONG_AGO - 5))
    bitmap(other / "x" / "a.bmp", 5)
    os.utime(other / "x" / "a.bmp", (LONG_AGO - 5, LONG_AGO - 5))
    photos.rename(photos.with_name("old"))
    other.rename(photos)
    assert changed(photos) == ["x/a.bmp"]


def test_a_second_name_of_a_photograph_costs_no_hash(photos: Path, monkeypatch: pytest.MonkeyPatch):
    """As the archive beside a set of hard links has, until it is removed."""
    (photos.parent / "backup.bmp").hardlink_to(photos / "x" / "a.bmp")
    monkeypatch.setattr("vitret.data.layout.changed_images.file_sha256", None)
    assert changed(photos) == []


def test_a_set_of_before_is_held_to_the_time_of_its_manifest(photos: Path):
    folder = photos.parent / "data" / "pets"
    stamps_file(folder).unlink()
    assert changed(photos) == []
    assert stamps_file(folder).is_file()
    stamps_file(folder).write_bytes(b"not an array")
    bitmap(photos / "y" / "d.bmp", 8)
    assert changed(photos) == ["y/d.bmp"]


def test_images_in_a_tar_are_held_to_the_tar(photos: Path):
    from vitret.data.layout.stamps import take_stamps

    tar = photos / "x.tar"
    tar.write_bytes(b"x" * 7)
    found = take_stamps(photos, np.array([b"x.tar/1.jpg", b"x.tar/2.jpg", b"none.tar/1.jpg"]))
    assert found[:, 0].tolist() == [7, 7, -1]


def test_what_is_gone_is_left_to_whoever_reads_it(photos: Path):
    (photos / "x" / "a.bmp").unlink()
    assert changed(photos) == []


def test_a_set_that_was_moved_or_copied_is_as_it_was(photos: Path):
    root = photos.parent / "data"
    shutil.copytree(root / "pets", photos.parent / "copy" / "pets", symlinks=False)
    require_unchanged(photos.parent / "copy", "pets")
    Image.new("RGB", (9, 9)).save(photos.parent / "copy" / "pets" / "images" / "x" / "a.bmp")
    with pytest.raises(DataError, match=r"a\.bmp"):
        require_unchanged(photos.parent / "copy", "pets")


def test_a_photograph_that_changes_while_a_set_is_made_is_seen(photos: Path, monkeypatch: pytest.MonkeyPatch):
    """It was hashed, then replaced, and only then the set was finished."""
    from vitret.data.layout import write

    inventory = write.take_inventory

    def and_then(*args, **kwargs):
        found = inventory(*args, **kwargs)
        bitmap(photos / "x" / "b.bmp", 77)
        return found

    monkeypatch.setattr(write, "take_inventory", and_then)
    prepare(
        Request("pets", data_root=photos.parent / "data", source=photos, workers=1, replace=True),
    )
    assert changed(photos) == ["x/b.bmp"]
