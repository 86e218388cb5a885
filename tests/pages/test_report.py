"""The bundle for a web server, and what changed between two results folders."""

import json
import shutil
from pathlib import Path

import pytest
from page_checks import faults

from vitret.cli import run
from vitret.compare.results import read_result
from vitret.core.errors import DataError, UserError
from vitret.pages.leaderboard import measured_tables
from vitret.pages.report import changes, write_bundle


@pytest.fixture
def root(write, tmp_path: Path) -> Path:
    write("a", [0] * 20 + [1] * 10)
    write("b", [5] * 30)
    return tmp_path / "results"


def test_the_bundle_is_whole_and_the_same_each_time(root: Path, tmp_path: Path):
    out = tmp_path / "public"
    written = write_bundle(measured_tables(root), root, out, home=tmp_path / "home")
    assert sorted(path.name for path in written) == ["LEADERBOARD.md", "index.html", "leaderboard.csv"]
    before = {path: path.read_bytes() for path in written}
    assert faults((out / "index.html").read_text(encoding="utf-8")) == []
    write_bundle(measured_tables(root), root, out, home=tmp_path / "home")
    assert {path: path.read_bytes() for path in written} == before


def test_a_run_on_this_machine_adds_its_curve(write, root: Path, tmp_path: Path):
    recipe = read_result(write("a", [0] * 20 + [1] * 10)).recipe
    log = tmp_path / "home" / "runs" / recipe.run_id / "log.jsonl"
    log.parent.mkdir(parents=True)
    lines = [{"step": 20, "loss": 4.0}, {"step": 40, "validation": {"mAP": 0.5}}, {"step": 40, "loss": 1.0}]
    log.write_text("".join(json.dumps(line) + "\n" for line in lines))
    write_bundle(measured_tables(root), root, tmp_path / "public", home=tmp_path / "home")
    page = (tmp_path / "public" / "index.html").read_text(encoding="utf-8")
    assert "Training loss over 40 steps, 0 to 4, 1 run; at the end 1" in page
    assert 'd="M50 0L100 75"' in page
    assert faults(page) == []
    log.write_text('{"step": 20, "loss": 4.0}\n{"step"\n')
    with pytest.raises(DataError, match="not a training log"):
        write_bundle(measured_tables(root), root, tmp_path / "public", home=tmp_path / "home")


def test_nothing_changed_is_said(root: Path, tmp_path: Path):
    shutil.copytree(root, tmp_path / "before")
    assert changes(root, tmp_path / "before") == "No row of the leaderboard changed.\n"


def test_new_and_remeasured_rows_are_tested_in_pairs(write, root: Path, tmp_path: Path):
    shutil.copytree(root, tmp_path / "before")
    write("b", [0] * 30)  # measured again
    write("c", [7] * 30)  # trapezoids: (0 + 1/8) / 2 for each query, 0.75 in all for A
    write("d", [0] * 30, train_set="other")
    found = changes(root, tmp_path / "before")
    assert "3 rows of the leaderboard are new" in found
    assert "| B | 100.0 | itself before | +91.7 [" in found
    assert "| C | 6.2 | A, first before | -68.8 [" in found
    assert "| D | 100.0 | – | – | the first row of its table |" in found
    assert "better (p < 0.001)" in found
    assert "worse (p " in found


def test_rows_on_other_queries_are_not_compared(write, tmp_path: Path):
    write("a", [0] * 30)
    shutil.copytree(tmp_path / "results", tmp_path / "before")
    shutil.rmtree(tmp_path / "results")
    write("a", [0] * 20, manifest="another")
    assert "not comparable: other queries or data" in changes(tmp_path / "results", tmp_path / "before")


def test_without_options_the_page_is_written_here(
    root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
):
    monkeypatch.chdir(tmp_path)
    assert run(["report", "--results", str(root)]) == 0
    assert "wrote report/index.html" in capsys.readouterr().err
    assert (tmp_path / "report" / "index.html").is_file()


def test_results_that_are_not_there_are_named(root: Path):
    with pytest.raises(UserError, match="no such folder"):
        changes(root, root / "nowhere")
