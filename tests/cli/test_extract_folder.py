"""The folder of `vitret extract` holds what one call made, whole, or nothing."""

import json
from pathlib import Path

import numpy as np
import pytest
import safetensors.torch
import torch
from PIL import Image

from vitret.cli import run
from vitret.core.config import location
from vitret.models.backbones.timm_model import timm


def photographs(folder: Path, count: int) -> list[Path]:
    folder.mkdir(parents=True)
    paths = []
    for i in range(count):
        pixels = np.random.default_rng(i).integers(0, 256, (32, 32, 3), dtype=np.uint8)
        Image.fromarray(pixels).save(folder / f"{i}.png")
        paths.append(folder / f"{i}.png")
    return paths


@pytest.fixture
def extract(tmp_path: Path):
    """`flat` has four images and no queries, `pairs` three that ask each other; gives the call."""
    photographs(tmp_path / "flat", 4)
    photographs(tmp_path / "pairs" / "one", 3)
    photographs(tmp_path / "pairs" / "two", 3)
    assert run(["prepare", "flat", "--from", str(tmp_path / "flat")]) == 0
    assert run(["prepare", "pairs", "--from", str(tmp_path / "pairs"), "--hold-out", "0.5"]) == 0
    torch.manual_seed(0)
    file = tmp_path / "w.safetensors"
    safetensors.torch.save_file(timm.create_model("test_vit", num_classes=0).state_dict(), file)

    def call(dataset: str, *more: str) -> int:
        words = ["extract", "timm:test_vit", dataset, "--weights", str(file), "--size", "32", "--head", "cls"]
        return run([*words, "--out", str(tmp_path / "out"), *more])

    return call


def holds(folder: Path) -> dict[str, int]:
    """The arrays of a folder and their rows, which the card must agree with; nothing else lies there."""
    card = json.loads((folder / "card.json").read_text())
    found = {path.stem: len(np.load(path)) for path in folder.glob("*.npy")}
    assert found == {stem: about["rows"] for stem, about in card["files"].items()}
    assert sorted(p.name for p in folder.iterdir()) == sorted(
        ["card.json", *(f"{stem}.npy" for stem in found)]
    )
    return found


@pytest.mark.slow
def test_what_another_call_left_goes(tmp_path: Path, extract):
    assert extract("pairs") == 0
    assert holds(tmp_path / "out") == {"queries": 3, "database": 3}
    assert extract("flat") == 0
    assert holds(tmp_path / "out") == {"database": 4}
    assert extract("pairs") == 0
    assert holds(tmp_path / "out") == {"queries": 3, "database": 3}


def test_a_call_that_is_cut_short_leaves_the_old_arrays_whole(tmp_path: Path, extract, monkeypatch):
    from vitret.cli import extract as module

    assert extract("pairs") == 0
    before = {path.name: path.read_bytes() for path in (tmp_path / "out").iterdir()}
    describe = module._describe
    made = []

    def once(*given):
        if made:
            raise KeyboardInterrupt
        made.append(describe(*given))
        return made[0]

    monkeypatch.setattr(module, "_describe", once)
    assert extract("pairs", "--set", "interpolation=bilinear") != 0
    assert {path.name: path.read_bytes() for path in (tmp_path / "out").iterdir()} == before


@pytest.mark.parametrize("name", ["card.json", "queries.npy"])
def test_files_of_others_are_not_touched(tmp_path: Path, extract, capsys, name: str):
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / name).write_bytes(b'{"title": "mine"}')
    assert extract("flat") == 2
    assert f"holds {name}" in capsys.readouterr().err or name == "card.json"
    assert (tmp_path / "out" / name).read_bytes() == b'{"title": "mine"}'
    assert len(list((tmp_path / "out").iterdir())) == 1


def test_a_prepared_set_is_no_place_for_descriptors(tmp_path: Path, extract):
    prepared = location("data").path / "flat"
    assert extract("flat", "--out", str(prepared)) == 2
    assert json.loads((prepared / "card.json").read_text())["name"] == "flat"


def test_a_replaced_photograph_is_refused(tmp_path: Path, extract, capsys):
    assert extract("flat") == 0
    Image.new("RGB", (9, 9)).save(tmp_path / "flat" / "2.png")
    assert extract("flat") == 3
    said = " ".join(capsys.readouterr().err.split())
    assert "2.png" in said
    assert "vitret prepare flat --from DIR --replace" in said
    assert run(["prepare", "flat", "--from", str(tmp_path / "flat"), "--replace"]) == 0
    assert extract("flat") == 0


def test_an_image_that_could_not_be_read_is_described_when_it_is_back(tmp_path: Path, extract):
    photo = tmp_path / "flat" / "2.png"
    photo.rename(tmp_path / "away")
    assert extract("flat") == 4
    assert not np.load(tmp_path / "out" / "database.npy")[2].any()
    (tmp_path / "away").rename(photo)
    assert extract("flat") == 0
    assert np.load(tmp_path / "out" / "database.npy")[2].any()
