"""`vitret maps` as a user calls it."""

import base64
import io
import re
import shutil
from pathlib import Path

import numpy as np
import pytest
from page_checks import faults
from PIL import Image

from tests.describe.test_folder_index import draw
from vitret.cli import run
from vitret.pages.board.maps import RAMP, SIDE, overlay


@pytest.fixture
def folder(tmp_path: Path, own_home: Path) -> Path:
    folder = tmp_path / "photos"
    for i, name in enumerate(("a.jpg", "b.jpg", "c & d.jpg")):
        draw(folder, name, seed=i)
    return folder


def maps(network: str, folder: Path, *words: str) -> int:
    photos = [str(folder / name) for name in ("a.jpg", "b.jpg", "c & d.jpg")]
    return run(["maps", network, *photos, "--size", "64", "--device", "cpu", *words])


def test_a_page_holds_the_maps_of_every_pair_the_best_first(folder: Path, tmp_path: Path, capsys):
    page = tmp_path / "maps.html"
    shutil.copy(folder / "a.jpg", folder / "c & d.jpg")
    assert maps("untrained_vit", folder, "--html", str(page)) == 0
    text = page.read_text(encoding="utf-8")
    assert text.index("c &amp; d.jpg, cosine 1.000") < text.index("b.jpg, cosine")
    # Two pairs of two photographs: each with itself, attention, similarity to the descriptor, best match.
    assert text.count("data:image/jpeg;base64,") == 16
    assert "http" not in text
    assert "3 × 4 tokens" in text
    assert not faults(text)
    pictures = re.findall(r'alt="([^"]+)" src="data:image/jpeg;base64,([^"]+)"', text)
    assert "Attention" in pictures[1][0]
    assert "% from the left" in pictures[1][0]
    shown = [Image.open(io.BytesIO(base64.b64decode(data))) for _, data in pictures]
    assert {image.size for image in shown} == {(SIDE, SIDE * 48 // 64)}
    assert "1.0000" in capsys.readouterr().out
    before = page.read_bytes()
    assert maps("untrained_vit", folder, "--html", str(page)) == 0
    assert page.read_bytes() == before


def test_what_is_not_defined_is_said(folder: Path, tmp_path: Path):
    page = tmp_path / "maps.html"
    network = "timm:test_efficientnet:pretrained=false:head=gem_fc"
    assert maps(network, folder, "--html", str(page)) == 0
    text = page.read_text(encoding="utf-8")
    assert "not made of a class token" in text
    assert "into another space" in text
    assert text.count("data:image/jpeg;base64,") == 8


def test_a_map_lies_where_its_tokens_are():
    pixels = np.zeros((32, 64, 3), np.uint8)
    values = np.zeros((2, 4), np.float32)
    values[0, 3] = 1
    drawn = overlay(pixels, values, low=0, high=1)
    assert drawn.shape == (SIDE // 2, SIDE, 3)
    lit = drawn[:, :, 0] > 100
    assert lit[: SIDE // 4, 3 * SIDE // 4 :].all()
    assert lit.sum() == (SIDE // 4) ** 2
    lightness = [0.3 * r + 0.59 * g + 0.11 * b for r, g, b in RAMP]
    assert lightness == sorted(lightness)


@pytest.mark.parametrize(
    ("network", "words", "code", "said"),
    [
        ("untrained_vit", ["--attention", "first"], 2, "--attention first: unknown"),
        ("untrained_vit", ["--box", "1,2"], 2, "four numbers are needed"),
        ("untrained_vit", ["missing.jpg"], 3, "missing.jpg: there is no such file"),
        ("no-such-run", [], 3, "no-such-run"),
        ("timm:test_efficientnet:pretrained=false", ["--attention", "rollout"], 2, "no class token"),
    ],
)
def test_mistakes_end_in_one_line(
    network: str, words: list[str], code: int, said: str, folder: Path, tmp_path: Path, capsys
):
    assert maps(network, folder, *words, "--html", str(tmp_path / "maps.html")) == code
    found = capsys.readouterr().err
    assert said in found
    assert "Traceback" not in found
    assert not (tmp_path / "maps.html").exists()


def test_a_photograph_is_never_overwritten(folder: Path, capsys):
    before = (folder / "b.jpg").read_bytes()
    assert maps("untrained_vit", folder, "--html", str(folder / "b.jpg")) == 2
    assert "would be overwritten" in capsys.readouterr().err
    assert (folder / "b.jpg").read_bytes() == before


def test_a_photograph_that_is_none_is_named(folder: Path, tmp_path: Path, capsys):
    (folder / "b.jpg").write_bytes(b"no image")
    assert maps("untrained_vit", folder, "--html", str(tmp_path / "maps.html")) == 3
    assert "b.jpg" in capsys.readouterr().err
    assert not (tmp_path / "maps.html").exists()
