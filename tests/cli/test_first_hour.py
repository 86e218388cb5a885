"""From a folder of photographs to a fine-tuned network measured beside frozen ones, as a new user goes."""

import shlex
import shutil
from pathlib import Path

import pytest
import yaml
from page_commands import commands
from safetensors.torch import save_file

from tests.describe.test_folder_index import draw
from vitret.cli import run
from vitret.models.backbones import timm_model

PAGE = Path(__file__).resolve().parents[2] / "docs" / "first-hour.md"


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


@pytest.fixture
def everyday(tmp_path: Path) -> Path:
    """Photographs as people have them: two languages, a loose image, a broken one among those that measure, a note."""
    folder = tmp_path / "everyday"
    for seed, kind in enumerate(("apple", "bread", "mjölk", "молоко")):
        draw(folder, *(f"{kind}/{i}.jpg" for i in range(3)), seed=seed)
    shutil.copy(folder / "apple" / "0.jpg", folder / "loose.jpg")
    (folder / "молоко" / "9.jpg").write_bytes((folder / "молоко" / "0.jpg").read_bytes()[:400])
    (folder / "notes.txt").write_text("milk")
    return folder


@pytest.fixture
def weights(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Untrained networks in place of the weights that vitret would fetch."""
    monkeypatch.setenv("VITRET_WEIGHTS", str(tmp_path / "weights"))
    (tmp_path / "weights").mkdir()
    for arch in ("vit_tiny_patch16_224", "tf_efficientnet_lite0"):
        network = timm_model.build(arch=arch, pretrained=False)
        save_file(network.model.state_dict(), tmp_path / "weights" / f"{arch}.safetensors")


@pytest.mark.slow
@pytest.mark.usefixtures("weights")
def test_the_commands_of_the_page_end_with_a_table_and_a_report(
    everyday: Path, own_home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys
):
    monkeypatch.chdir(tmp_path)
    lines = commands(PAGE.read_text(encoding="utf-8"))
    assert [line.split()[1] for line in lines] == ["prepare", "bench", "report"]
    for line in lines:
        words = shlex.split(line.replace("~/photos", str(everyday)))[1:]
        # A broken photograph ends a preparation as partial, as the page says.
        assert run(words) == (4 if words[0] == "prepare" else 0), capsys.readouterr().err
        if words[0] == "prepare":
            _shrink(own_home / "tracks" / "mine.yaml")
    said = capsys.readouterr()
    assert "left out: молоко/9.jpg is damaged" in said.err
    assert "Next: vitret bench --train-set mine" in said.err
    for title in ("ViT-Ti/16 CLS, frozen", "EfficientNet-Lite0 GeM", "ViT-Ti/16 CLS, ArcFace"):
        assert title in said.out
    assert "ArcFace" in (tmp_path / "report" / "index.html").read_text(encoding="utf-8")
    assert len(list((tmp_path / "report" / "panels").glob("*.html"))) == 1


def _shrink(track: Path) -> None:
    """Edit the track as the page says, so that a training takes a second."""
    known = yaml.safe_load(track.read_text(encoding="utf-8"))
    assert {"images_seen", "seeds"} <= set(known)
    track.write_text(yaml.safe_dump({**known, "images_seen": 8, "seeds": [0], "batch": 4}), encoding="utf-8")
