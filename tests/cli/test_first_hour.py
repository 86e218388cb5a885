"""From a folder of photographs to a fine-tuned network measured beside frozen ones, as a new user goes."""

from pathlib import Path

import pytest
import yaml

from tests.describe.test_folder_index import draw
from vitret.cli import run


@pytest.fixture
def folder(tmp_path: Path, own_home: Path) -> Path:
    folder = tmp_path / "photos"
    for kind in range(4):
        draw(folder, *(f"kind{kind}/{i}.jpg" for i in range(4)), seed=kind)
    return folder


def prepare(folder: Path, *words: str) -> int:
    return run(["prepare", "mine", "--from", str(folder), *words])


def test_the_next_command_is_said_and_a_first_track_written(folder: Path, own_home: Path, capsys):
    assert prepare(folder) == 0
    said = capsys.readouterr().err
    assert "Next: vitret bench --train-set mine" in said
    track = yaml.safe_load((own_home / "tracks" / "mine.yaml").read_text())
    assert (track["train_set"], track["images_seen"], track["suite"]) == ("mine", 32, "own-classes")
    assert run(["bench", "--train-set", "mine", "--plan", "--systems", "tiny_cls_vit"]) == 0
    plan = capsys.readouterr().out
    assert "mine-tiny_cls_vit-s0" in plan
    assert "measure mine" in plan


def test_a_track_that_was_edited_is_kept(folder: Path, own_home: Path, capsys):
    assert prepare(folder) == 0
    path = own_home / "tracks" / "mine.yaml"
    path.write_text(path.read_text().replace("images_seen: 32", "images_seen: 64"))
    capsys.readouterr()
    assert prepare(folder) == 0
    assert "images_seen: 64" in path.read_text()
    assert f"{path}: kept" in capsys.readouterr().err


def test_where_all_classes_train_the_command_that_holds_some_out_is_said(
    folder: Path, own_home: Path, capsys
):
    assert prepare(folder, "--hold-out", "0") == 0
    assert f"vitret prepare mine --from {folder} --hold-out 0.5 --replace" in capsys.readouterr().err
    assert not (own_home / "tracks").exists()


def test_a_plan_says_the_split_and_what_is_left_out(folder: Path, capsys):
    (folder / "loose.jpg").write_bytes(b"")
    assert prepare(folder, "--plan") == 0
    said = capsys.readouterr().out
    assert "held out to measure: 2 classes (kind2 to kind3)" in said
    assert "1 image lies beside the class folders" in said
