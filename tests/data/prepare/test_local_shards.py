"""Shards and lists that a user fetched, as their publisher lays them, flat, in part, damaged, packed."""

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import miniatures
import pytest
from folders import tree
from miniatures import Miniature
from official_server import OfficialServer

from vitret.core.errors import DataError, UserError
from vitret.data import layout
from vitret.data.layout.verify import verify
from vitret.data.prepare.local_shards import find_local_shards
from vitret.data.prepare.request import Choices

# Where a publisher lays a set below its host.
BASES = {
    "gldv2-clean": "s3.amazonaws.com/google-landmark",
    "gldv2-retrieval": "s3.amazonaws.com/google-landmark",
    "revisitop1m": "ptak.felk.cvut.cz/revisitop/revisitop1m",
}


@pytest.fixture
def make(tmp_path: Path) -> Callable[[str], tuple[Miniature, Path]]:
    """A miniature, and a folder with its files as they are published."""

    def run(name: str) -> tuple[Miniature, Path]:
        miniature = miniatures.build(name, tmp_path / "miniature")
        return miniature, miniature.published / BASES[name]

    return run


def fetched(miniature: Miniature, root: Path, monkeypatch: pytest.MonkeyPatch, **more: Any) -> Path:
    with OfficialServer(miniature.published) as server:
        monkeypatch.setenv("VITRET_MIRROR", server.mirror)
        return miniature.prepare(root, **more)


@pytest.mark.parametrize("packed", [False, True])
@pytest.mark.parametrize("name", ["gldv2-clean", "gldv2-retrieval"])
def test_archives_with_their_md5_give_what_a_fetch_gives(
    name: str, packed: bool, make: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    miniature, source = make(name)
    before = tree(source)
    choices = Choices(packed=packed)
    taken = miniature.prepare(tmp_path / "taken", source, choices=choices)
    there = fetched(miniature, tmp_path / "fetched", monkeypatch, choices=choices)
    assert tree(taken) == tree(there)
    assert tree(source) == before
    assert not [path for path in (tmp_path / "taken" / ".work").rglob("*") if path.suffix in {".jpg", ".tar"}]
    assert verify(name, data_root=tmp_path / "taken", workers=0) == []


def test_what_has_no_md5_is_taken_and_not_confirmed(make: Any, tmp_path: Path) -> None:
    miniature, source = make("revisitop1m")
    said: list[str] = []
    miniature.prepare(tmp_path / "data", source, report=said.append)
    assert any("2 archives have no md5" in line for line in said)
    manifest = layout.load_manifest(tmp_path / "data", "revisitop1m")
    assert (manifest["counts"]["database"], manifest["image_set_version"]) == (12, "adopted, not confirmed")
    assert [failed["path"] for failed in manifest["failed"]] == ["jpg/00a/0001357.jpg"]


def test_any_subset_is_named_and_a_fetch_brings_the_rest(
    make: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    miniature, source = make("gldv2-clean")
    flat = tmp_path / "flat"
    flat.mkdir()
    shutil.copy(source / "train" / "images_001.tar", flat)
    shutil.copy(source / "metadata" / "train_clean.csv", flat)
    folder = miniature.prepare(tmp_path / "data", flat)
    manifest = layout.load_manifest(tmp_path / "data", "gldv2-clean")
    assert manifest["shards"] == {"train": ["train_images_001.tar"]}
    assert manifest["image_set_version"] == "adopted, not confirmed"
    assert not (folder / "train_attribution.csv").exists()
    fetched(miniature, tmp_path / "data", monkeypatch, replace=True)
    manifest = layout.load_manifest(tmp_path / "data", "gldv2-clean")
    assert (manifest["counts"]["train"], manifest["shards"]) == (39, None)
    assert manifest["image_set_version"] == "adopted, not confirmed"  # One shard still is.


def test_some_of_what_is_there_can_be_chosen(make: Any, tmp_path: Path) -> None:
    miniature, source = make("gldv2-clean")
    (source / "train" / "images_000.tar").unlink()
    miniature.prepare(tmp_path / "data", source, choices=Choices(shards="2"))
    assert layout.load_manifest(tmp_path / "data", "gldv2-clean")["shards"] == {
        "train": ["train_images_002.tar"]
    }
    with pytest.raises(DataError, match=r"train_images_000\.tar of gldv2-clean is not in the folder"):
        miniature.prepare(tmp_path / "data", source, choices=Choices(shards="0-1"), replace=True)
    with pytest.raises(UserError, match="--max-disk bounds what is fetched"):
        miniature.prepare(tmp_path / "other", source, choices=Choices(max_disk=10**9))


def test_a_damaged_archive_is_refused_and_left_where_it_is(make: Any, tmp_path: Path) -> None:
    miniature, source = make("gldv2-clean")
    archive = source / "train" / "images_001.tar"
    data = bytearray(archive.read_bytes())
    data[len(data) // 2] ^= 0xFF
    archive.write_bytes(data)
    with pytest.raises(DataError, match=r"images_001\.tar: md5 is"):
        miniature.prepare(tmp_path / "data", source)
    shutil.rmtree(source / "md5sum")
    archive.write_bytes(data[: len(data) // 3])
    with pytest.raises(DataError, match=r"images_001\.tar"):
        miniature.prepare(tmp_path / "data", source)
    assert archive.is_file()
    assert not layout.exists(tmp_path / "data", "gldv2-clean")


def test_what_is_missing_is_named(make: Any, tmp_path: Path) -> None:
    miniature, source = make("gldv2-retrieval")
    shutil.move(source / "test", tmp_path / "aside")
    with pytest.raises(DataError, match=r"none of test/.*test/images_000\.tar"):
        miniature.prepare(tmp_path / "data", source)
    shutil.move(tmp_path / "aside", source / "test")
    (source / "metadata" / "index.csv").unlink()
    with pytest.raises(DataError, match=r"not index\.csv.*https://s3"):
        miniature.prepare(tmp_path / "data", source)


def test_archives_beside_their_unpacked_tree_are_not_unpacked_again(make: Any) -> None:
    miniature, source = make("gldv2-clean")
    assert [len(series) for series in find_local_shards(miniature.card, source)] == [3]
    (source / "train" / "0").mkdir()
    assert find_local_shards(miniature.card, source) == [[]]
    assert [len(series) for series in find_local_shards(miniature.card, source, packed=True)] == [3]


def test_a_name_that_two_series_share_tells_nothing_without_its_folder(make: Any, tmp_path: Path) -> None:
    miniature, source = make("gldv2-retrieval")
    shutil.copy(source / "test" / "images_000.tar", tmp_path)
    assert find_local_shards(miniature.card, tmp_path) == [[], []]
    shutil.copy(source / "test" / "images_000.tar", tmp_path / "test_images_000.tar")
    assert [len(series) for series in find_local_shards(miniature.card, tmp_path)] == [0, 1]
