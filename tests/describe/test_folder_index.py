"""The index of a folder: only what is new is described, and its rows are those of a plain extraction."""

from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from tests.describe.conftest import tiny
from vitret.core.protocol import Protocol
from vitret.core.records import Images
from vitret.describe import folder_index as module
from vitret.describe.extract import extract
from vitret.describe.folder_index import FolderIndex, folder_index
from vitret.describe.request import Request


def draw(folder: Path, *names: str, seed: int = 0) -> None:
    random = np.random.default_rng(seed)
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        small = Image.fromarray(random.integers(0, 256, (6, 6, 3), dtype=np.uint8))
        small.resize((64, 48), Image.Resampling.BICUBIC).save(folder / name, quality=95)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    draw(tmp_path / "photos", "a.jpg", "b.jpg", "inner/c.jpg")
    return tmp_path / "photos"


NETWORK = tiny()


def request(folder: Path) -> Request:
    names = sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*.jpg"))
    images = Images.of(folder, names)
    return Request(
        model=NETWORK, images=images, protocol=Protocol(size=64), device=torch.device("cpu"), precision="fp32"
    )


def index(folder: Path, home: Path) -> FolderIndex:
    return folder_index(request(folder), home=home)


def rows(found: FolderIndex) -> dict[str, bytes]:
    """Each image and the bytes of its row."""
    every = np.concatenate(found.parts)
    assert len(every) == len(found.images)
    return {found.images.name(i): every[i].tobytes() for i in range(len(every))}


def plain(folder: Path) -> dict[str, bytes]:
    asked = request(folder)
    described = extract(asked).rows
    return {asked.images.name(i): described[i].tobytes() for i in range(len(described))}


def test_what_was_described_is_not_described_again(folder: Path, tmp_path: Path):
    assert index(folder, tmp_path).described == 3
    draw(folder, "d.jpg", seed=1)
    found = index(folder, tmp_path)
    assert found.described == 1
    assert rows(found) == plain(folder)
    assert index(folder, tmp_path).described == 0


def test_changed_files_are_described_again_and_lost_ones_leave(folder: Path, tmp_path: Path):
    index(folder, tmp_path)
    draw(folder, "a.jpg", seed=2)
    (folder / "b.jpg").unlink()
    found = index(folder, tmp_path)
    assert found.described == 1
    assert rows(found) == plain(folder)
    (folder / "a.jpg").unlink()
    (folder / "inner" / "c.jpg").unlink()
    draw(folder, "new.jpg", seed=3)
    assert rows(index(folder, tmp_path)) == plain(folder)


def test_many_small_parts_are_joined(folder: Path, tmp_path: Path):
    for i in range(module.MOST_PARTS + 2):
        draw(folder, f"{i}.jpg", seed=i)
        found = index(folder, tmp_path)
        assert found.described == (4 if i == 0 else 1)
    assert len(found.parts) <= module.MOST_PARTS
    assert rows(found) == plain(folder)


def test_an_image_that_cannot_be_read_is_named_once_it_is_mended_described(folder: Path, tmp_path: Path):
    whole = (folder / "b.jpg").read_bytes()
    (folder / "b.jpg").write_bytes(b"no image")
    found = index(folder, tmp_path)
    assert list(found.failed) == ["b.jpg"]
    found = index(folder, tmp_path)
    assert (found.described, list(found.failed)) == (0, ["b.jpg"])
    (folder / "b.jpg").write_bytes(whole)
    found = index(folder, tmp_path)
    assert (found.described, dict(found.failed)) == (1, {})
    assert rows(found) == plain(folder)


def test_parts_that_are_joined_keep_why_a_row_has_no_image(folder: Path, tmp_path: Path):
    (folder / "b.jpg").write_bytes(b"no image")
    index(folder, tmp_path)
    draw(folder, "a.jpg", seed=5)
    found = index(folder, tmp_path)
    assert (len(found.parts), found.described, list(found.failed)) == (1, 1, ["b.jpg"])
    assert rows(found) == plain(folder)


class Killed(BaseException):
    """Ends an update as a signal would."""


def test_a_killed_update_continues(folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(module, "BLOCK", 1)

    def kill(done: int, total: int, words: str) -> None:
        if done == 2:
            raise Killed

    with pytest.raises(Killed):
        folder_index(request(folder), home=tmp_path, progress=kill)
    draw(folder, "later.jpg", seed=4)
    steps: list[tuple[int, int]] = []
    found = folder_index(
        request(folder), home=tmp_path, progress=lambda done, of, _: steps.append((done, of))
    )
    # Of the three images of the first update one was safe; the fourth came later and is a part of its own.
    assert steps == [(2, 3), (3, 3), (1, 1)]
    assert rows(found) == plain(folder)


def test_a_file_that_a_kill_left_without_its_name_goes(folder: Path, tmp_path: Path):
    """SIGKILL between writing and renaming; seen in one of twenty kills of an index of 3,000 images."""
    index(folder, tmp_path)
    (place,) = (one for one in (tmp_path / "indexes").iterdir() if one.is_dir())
    before = {path.name for path in place.iterdir()}
    (place / "1.npy.progress.json.4711.part").write_text("half a cou")
    index(folder, tmp_path)
    assert {path.name for path in place.iterdir()} == before


def test_another_network_has_another_index(folder: Path, tmp_path: Path):
    index(folder, tmp_path)
    other = Request(
        model=tiny("test_efficientnet"),
        images=request(folder).images,
        protocol=Protocol(size=64),
        device=torch.device("cpu"),
    )
    assert folder_index(other, home=tmp_path).described == 3
