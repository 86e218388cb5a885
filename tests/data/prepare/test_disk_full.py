"""A disk that really fills up: a small tmpfs. Needs root and leave to mount; skipped elsewhere."""

import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from folders import tree
from PIL import Image

from vitret.data import layout
from vitret.data.layout.verify import verify

SMALL, ENOUGH = "600k", "40m"
# The town has few photographs: what is tested is the disk.
TOWN = ("--set", "quarters=2", "--set", "photos=4", "--workers", "0")


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of `SMALL` bytes."""
    place = tmp_path / "disk"
    place.mkdir()
    try:
        subprocess.run(
            ["mount", "-t", "tmpfs", "-o", f"size={SMALL}", "tmpfs", place], check=True, capture_output=True
        )
    except (subprocess.CalledProcessError, FileNotFoundError):
        pytest.skip("needs leave to mount a tmpfs")
    yield place
    subprocess.run(["umount", place], check=True)


def enlarge(disk: Path) -> None:
    subprocess.run(["mount", "-o", f"remount,size={ENOUGH}", disk], check=True)


def run(root: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, "VITRET_DATA": str(root)}
    return subprocess.run(
        [sys.executable, "-m", "vitret", "prepare", *arguments],
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )


def photographs(folder: Path) -> Path:
    """Photographs of 1 MB in all, two classes."""
    for i in range(20):
        place = folder / f"class{i % 2}" / f"{i}.png"
        place.parent.mkdir(parents=True, exist_ok=True)
        pixels = np.random.default_rng(i).integers(0, 255, (120, 150, 3), dtype=np.uint8)
        Image.fromarray(pixels).save(place)
    return folder


@pytest.mark.slow
def test_a_synthetic_set_on_a_full_disk_says_so_and_is_finished_later(disk: Path, tmp_path: Path):
    (disk / "ballast").write_bytes(bytes(450_000))
    first = run(disk / "data", "minitown-clean", *TOWN)
    check_refusal(first, disk / "data", "minitown-clean")
    enlarge(disk)
    assert run(disk / "data", "minitown-clean", *TOWN).returncode == 0
    assert verify("minitown-clean", data_root=disk / "data", workers=0) == []
    assert run(tmp_path / "calm", "minitown-clean", *TOWN).returncode == 0
    assert tree(disk / "data" / "minitown-clean") == tree(tmp_path / "calm" / "minitown-clean")


def test_files_that_are_copied_onto_a_full_disk_are_whole_or_absent(disk: Path, tmp_path: Path):
    """Where links cannot be made own photographs are copied: here the data folder's disk refuses links."""
    source = photographs(tmp_path / "photos")
    first = run_without_links(disk / "data", source)
    check_refusal(first, disk / "data", "mine")
    for path in (disk / "data" / "mine.part" / "images").rglob("*.png"):
        assert path.read_bytes() == (source / path.parent.name / path.name).read_bytes()
    enlarge(disk)
    second = run_without_links(disk / "data", source)
    assert second.returncode == 0, second.stderr
    images = disk / "data" / "mine" / "images"
    assert len([path for path in images.rglob("*") if path.is_file() and not path.is_symlink()]) == 20
    assert verify("mine", data_root=disk / "data", workers=0) == []


def run_without_links(root: Path, source: Path) -> subprocess.CompletedProcess[str]:
    """`vitret prepare mine --from source` in a process whose file systems have no symbolic links, as exFAT has none."""
    code = (
        "import errno, os, sys\n"
        "def refuse(*_, **__): raise OSError(errno.EPERM, os.strerror(errno.EPERM))\n"
        "os.symlink = refuse\n"
        "from vitret.cli import main\n"
        "sys.argv = ['vitret', 'prepare', 'mine', '--from', sys.argv[1], '--workers', '0']\n"
        "main()\n"
    )
    environment = {**os.environ, "VITRET_DATA": str(root)}
    return subprocess.run(
        [sys.executable, "-c", code, source], env=environment, capture_output=True, text=True, check=False
    )


def check_refusal(done: subprocess.CompletedProcess[str], root: Path, name: str) -> None:
    """Exit 6, one line that says the disk is full, and no set."""
    assert done.returncode == 6, done.stderr
    assert "Traceback" not in done.stderr
    (line,) = [line for line in done.stderr.splitlines() if re.search("No space left on device", line)]
    assert "Free some space" in line
    assert done.stderr.splitlines()[-1] == line
    assert not layout.exists(root, name)
