import re
import shutil
from collections.abc import Callable
from pathlib import Path

import miniatures
import pytest
import typer
from miniatures import Miniature
from official_server import OfficialServer
from PIL import Image
from typer.testing import CliRunner

from vitret import cli
from vitret.cli import console
from vitret.cli.prepare import prepare
from vitret.core.errors import CheckError, DataError, PartialError, UserError
from vitret.core.store import read_json
from vitret.data.layout.read import list_sets

Small = Callable[..., list[Miniature]]
app = typer.Typer()
app.command()(prepare)


def run(*arguments: str) -> str:
    """Standard output of the verb; its errors are raised."""
    result = CliRunner().invoke(app, list(arguments), catch_exceptions=False)
    assert result.exit_code == 0, result.output
    return result.stdout


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    for name in ("ant", "bee"):
        (tmp_path / "photos" / name).mkdir(parents=True)
        for i in range(2):
            Image.new("RGB", (9, 9), (i, 50, 99)).save(tmp_path / "photos" / name / f"{i}.jpg")
    return tmp_path / "photos"


def test_one_line_says_what_was_written(photos: Path, own_home: Path):
    said = run("zoo", "--from", str(photos))
    assert said == f"{own_home / 'data' / 'zoo'}: 4 images; 4 train, 2 classes\n"
    assert run("zoo", "--from", str(photos)) == said


def test_broken_images_end_as_partial_and_are_listed(photos: Path, own_home: Path):
    (photos / "bee" / "1.jpg").write_bytes(b"<html>")
    for _ in range(2):
        with pytest.raises(PartialError, match=r"zoo: 1 broken image was left out; first: bee/1\.jpg"):
            run("zoo", "--from", str(photos))
    manifest = read_json(own_home / "data" / "zoo" / "manifest.json")
    assert manifest["failed"][0]["reason"].startswith("is a web page")


def test_verify_finds_what_changed(photos: Path):
    run("zoo", "--from", str(photos))
    run("zoo", "--verify")
    shutil.copy(photos / "ant" / "0.jpg", photos / "ant" / "1.jpg")
    with pytest.raises(CheckError, match="1 images or tables differ"):
        run("zoo", "--verify")


def test_verify_is_a_verb_of_its_own(photos: Path, capsys: pytest.CaptureFixture[str]):
    run("zoo", "--from", str(photos))
    run("hive", "--from", str(photos))
    assert cli.run(["verify", "zoo", "hive"]) == 0
    assert "zoo, hive: every image and table is as it was prepared." in capsys.readouterr().err
    (photos / "bee" / "1.jpg").unlink()
    assert cli.run(["verify", "zoo", "hive", "--workers", "0"]) == 1
    out, err = capsys.readouterr()
    assert out == "zoo: bee/1.jpg: no such file.\nhive: bee/1.jpg: no such file.\n"
    assert "2 images or tables differ from what was prepared" in err
    assert "vitret prepare zoo hive --replace" in err
    assert cli.run(["verify", "zooo"]) == 3
    assert "Did you mean 'zoo'? 'zoo' is prepared." in capsys.readouterr().err


def test_one_wrong_request_stops_before_anything_is_prepared(own_home: Path):
    with pytest.raises(UserError, match="rgldv2-clean needs --set exclude"):
        run("minitown-sfm", "rgldv2-clean", "--accept-terms")
    assert not (own_home / "data").exists()


def test_wrong_uses_are_told(photos: Path):
    with pytest.raises(UserError, match="--from prepares one set"):
        run("a", "b", "--from", str(photos))
    with pytest.raises(DataError, match="--from DIR"):
        run("nothing-of-this-name")


@pytest.fixture
def small(tmp_path: Path, official_server: OfficialServer, monkeypatch: pytest.MonkeyPatch) -> Small:
    """Makes miniatures whose cards stand in for the real ones, published by one server."""

    def make(*names: str) -> list[Miniature]:
        return miniatures.publish(names, tmp_path / "small", official_server, monkeypatch)

    return make


def test_fetching_and_unpacking_are_seen_on_the_way(small: Small, monkeypatch: pytest.MonkeyPatch):
    small("sop")
    monkeypatch.setattr(console, "LINE_EVERY", 0.0)
    result = CliRunner().invoke(app, ["sop", "--accept-terms", "--workers", "0"], catch_exceptions=False)
    assert re.search(r"^Stanford_Online_Products\.zip: \S+ kB of \S+ kB, .*/s", result.stderr, re.MULTILINE)
    assert re.search(r"^unpacking Stanford_Online_Products\.zip: \S+ kB", result.stderr, re.MULTILINE)
    assert "\x1b" not in result.stderr
    assert result.stdout.count("\n") == 1


def test_a_dead_host_does_not_stop_the_sets_after_it(
    small: Small, official_server: OfficialServer, own_home: Path
):
    small("ilias", "cub200", "ukbench")
    shutil.rmtree(official_server.folder / "vrg.fel.cvut.cz")
    with pytest.raises(PartialError, match=r"1 of 3 sets .*: ilias;.*vitret prepare ilias\b"):
        run("ilias", "cub200", "ukbench", "--accept-terms", "--workers", "0")
    assert list_sets(own_home / "data") == ["cub200", "ukbench"]
    with pytest.raises(DataError, match=r"2 of 2 sets .*: ilias, inshop;.*vitret prepare ilias inshop"):
        run("ilias", "inshop", "--workers", "0")
    with pytest.raises(DataError, match="cannot be fetched"):  # Of one set, the reason itself.
        run("ilias", "--workers", "0")


def test_quiet_says_results_only(small: Small, monkeypatch: pytest.MonkeyPatch):
    small("sop")
    monkeypatch.setattr(console, "LINE_EVERY", 0.0)
    monkeypatch.setenv("VITRET_QUIET", "1")
    result = CliRunner().invoke(app, ["sop", "--accept-terms", "--workers", "0"], catch_exceptions=False)
    assert result.stderr == ""
    assert "20 train" in result.stdout


def test_help_shows_examples():
    assert run("--help").count("vitret prepare") >= 2


def test_a_plan_touches_nothing(photos: Path, own_home: Path):
    assert "4 images to link" in run("zoo", "--from", str(photos), "--plan")
    assert "GB" in run("roxford5k", "--plan")
    assert not (own_home / "data").exists()
