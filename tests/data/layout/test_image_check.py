import os
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from vitret.data.layout import image_check as inventory
from vitret.data.layout.image_check import take_inventory


def photographs(folder: Path, n: int) -> np.ndarray:
    folder.mkdir(parents=True)
    for i in range(n):
        Image.new("RGB", (10 + i, 7), (i, i, i)).save(folder / f"{i}.png")
    return np.array(sorted(f"{i}.png".encode() for i in range(n)))


@pytest.fixture
def opened(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Names of the files that were opened, in order."""
    names: list[str] = []
    real = inventory.check_all

    def noted(paths, workers):  # type: ignore[no-untyped-def]
        paths = list(paths)
        names.extend(path.name for path in paths)
        return real(paths, workers)

    monkeypatch.setattr(inventory, "check_all", noted)
    return names


def take(folder: Path, paths: np.ndarray) -> inventory.Inventory:
    return take_inventory(folder / "images", paths, folder / "journal", workers=0, report=lambda _: None)


def test_what_the_journal_knows_is_not_opened_again(tmp_path: Path, opened: list[str]):
    paths = photographs(tmp_path / "images", 5)
    first = take(tmp_path, paths)
    assert len(opened) == 5
    (tmp_path / "images" / "2.png").write_bytes((tmp_path / "images" / "3.png").read_bytes())
    os.utime(tmp_path / "images" / "4.png", ns=(1, 1))
    opened.clear()
    second = take(tmp_path, paths)
    assert opened == ["2.png", "4.png"]
    assert second.files["width"].tolist() == [10, 11, 13, 13, 14]
    assert first.files["sha256"][4] == second.files["sha256"][4]


def test_broken_files_are_opened_every_time(tmp_path: Path, opened: list[str]):
    paths = photographs(tmp_path / "images", 3)
    (tmp_path / "images" / "1.png").write_bytes(b"<html>")
    (tmp_path / "images" / "2.png").unlink()
    for _ in range(2):
        opened.clear()
        found = take(tmp_path, paths)
        assert opened[-2:] == ["1.png", "2.png"]
        assert set(found.problems) == {"1.png", "2.png"}
        assert found.rows(paths).tolist() == [0, -1, -1]


@pytest.mark.parametrize(
    "rest", ["{", '["0.png", 1', "[]\n", '["0.png"]\n', "\xff\n", "7\n", '["0.png", 1, 2, "zz"]\n']
)
def test_a_damaged_journal_costs_work_and_nothing_else(tmp_path: Path, rest: str):
    paths = photographs(tmp_path / "images", 2)
    expected = take(tmp_path, paths).files
    journal = tmp_path / "journal"
    lines = journal.read_text().strip().splitlines()
    journal.write_text(rest + "\n" + lines[1] + "\n" + rest)
    found = take(tmp_path, paths).files
    assert {name: values.tolist() for name, values in found.items()} == {
        name: values.tolist() for name, values in expected.items()
    }
