"""`vitret search` as a user calls it."""

import json
import shutil
from pathlib import Path

import pytest

from tests.describe.test_folder_index import draw
from vitret.cli import run

NETWORK = "untrained_vit"


@pytest.fixture
def folder(tmp_path: Path, own_home: Path) -> Path:
    folder = tmp_path / "photos"
    for i, name in enumerate(("a.jpg", "b.jpg", "inner/c.jpg", "inner/d.jpg")):
        draw(folder, name, seed=i)
    (folder / "notes.txt").write_text("no image")
    return folder


def search(*words: str) -> int:
    return run(["search", NETWORK, *words, "--size", "64", "--device", "cpu", "--precision", "fp32"])


def found(capsys: pytest.CaptureFixture[str]) -> list[dict[str, str]]:
    return json.loads(capsys.readouterr().out)


def test_a_copy_elsewhere_finds_its_original_and_a_photograph_never_itself(
    folder: Path, tmp_path: Path, capsys
):
    shutil.copy(folder / "inner" / "c.jpg", tmp_path / "copy.jpg")
    asked = [str(tmp_path / "copy.jpg"), str(folder / "a.jpg")]
    assert search(*asked, "--in", str(folder), "-k", "3", "--format", "json") == 0
    rows = found(capsys)
    assert (rows[0]["found"], rows[0]["cosine"]) == ("inner/c.jpg", "1.0000")
    assert sorted(row["found"] for row in rows[3:]) == ["b.jpg", "inner/c.jpg", "inner/d.jpg"]


def test_the_index_is_kept_and_what_is_left_out_is_told(folder: Path, tmp_path: Path, capsys):
    assert search(str(folder / "a.jpg"), "--in", str(folder)) == 0
    said = capsys.readouterr().err
    assert "4 images, 4 described now" in said
    assert "1 files are no images by their suffix and are left out (1 .txt)" in said
    draw(folder, "e.jpg", seed=9)
    assert search(str(folder / "a.jpg"), "--in", str(folder)) == 0
    assert "5 images, 1 described now" in capsys.readouterr().err


def test_a_box_is_the_photograph_that_it_cuts_out(folder: Path, tmp_path: Path, capsys):
    from PIL import Image

    both = Image.new("RGB", (128, 48))
    both.paste(Image.open(folder / "b.jpg"), (64, 0))
    both.save(tmp_path / "both.png")
    assert (
        search(str(tmp_path / "both.png"), "--in", str(folder), "--box", "64,0,128,48", "--format", "json")
        == 0
    )
    rows = found(capsys)
    assert rows[0]["found"] == "b.jpg"
    assert float(rows[0]["cosine"]) > 0.9999


def test_duplicates_are_told_once_a_pair(folder: Path, tmp_path: Path, capsys):
    shutil.copy(folder / "b.jpg", folder / "inner" / "b again.jpg")
    page = tmp_path / "alike.html"
    words = (
        "--in",
        str(folder),
        "--duplicates",
        "--min-cosine",
        "0.99999",
        "--format",
        "json",
        "--html",
        str(page),
    )
    assert search(*words) == 0
    assert found(capsys) == [{"cosine": "1.0000", "image": "b.jpg", "and": "inner/b again.jpg"}]
    assert page.read_text().count("<img ") == 2


def test_a_page_holds_its_pictures(folder: Path, tmp_path: Path):
    page = tmp_path / "found.html"
    assert search(str(folder / "a.jpg"), "--in", str(folder), "-k", "2", "--html", str(page)) == 0
    text = page.read_text()
    assert text.count("data:image/jpeg;base64,") == 3
    assert "http" not in text


@pytest.mark.parametrize(
    ("words", "code", "said"),
    [
        (["x.jpg"], 2, "say where to look: --in FOLDER"),
        (["missing.jpg", "--in", "FOLDER"], 3, "missing.jpg: there is no such file"),
        (["--in", "FOLDER"], 2, "give photographs to look for, or --duplicates"),
        (["FOLDER/a.jpg", "--in", "FOLDER", "--duplicates"], 2, "not both"),
        (["FOLDER/a.jpg", "--in", "FOLDER", "--box", "1,2,3"], 2, "four numbers are needed"),
        (
            ["FOLDER/a.jpg", "FOLDER/b.jpg", "--in", "FOLDER", "--box", "0,0,9,9"],
            2,
            "--box is for one photograph",
        ),
        (["FOLDER/notes.txt", "--in", "FOLDER"], 3, "notes.txt"),
        (["FOLDER/a.jpg", "--in", "NOWHERE"], 3, "there is no such folder"),
        (["FOLDER/a.jpg", "--in", "EMPTY"], 5, "0 images found"),
    ],
)
def test_mistakes_end_in_one_line(words, code, said, folder: Path, tmp_path: Path, capsys):
    (tmp_path / "empty").mkdir()
    places = {"FOLDER": str(folder), "EMPTY": str(tmp_path / "empty"), "NOWHERE": str(tmp_path / "nowhere")}
    for name, place in places.items():
        words = [word.replace(name, place) for word in words]
    assert search(*words) == code
    assert said in capsys.readouterr().err
