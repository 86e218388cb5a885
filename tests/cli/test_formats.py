"""Verbs that print a table print it for programs too, alone on stdout."""

import csv
import json
from pathlib import Path

import pytest
from written_rows import write

from vitret.cli import run

__all__ = ["write"]


def printed(capsys: pytest.CaptureFixture[str], *words: str) -> str:
    assert run(list(words)) == 0, capsys.readouterr().err
    return capsys.readouterr().out


def test_lists_are_read_back(capsys: pytest.CaptureFixture[str]):
    rows = list(csv.reader(printed(capsys, "list", "heads", "--format", "csv").splitlines()))
    assert rows[0] == ["name", "what"]
    assert "gem" in [row[0] for row in rows]
    assert printed(capsys, "list", "heads", "--format", "md").startswith("| name | what |\n|---|---|\n")
    assert json.loads(printed(capsys, "list", "heads", "--format", "json"))["gem"]
    datasets = printed(capsys, "list", "datasets", "--format", "latex")
    assert "\\midrule" in datasets
    assert "gldv2-clean" in datasets


def test_a_comparison_is_a_table_alone_on_stdout(write, capsys: pytest.CaptureFixture[str]):
    a, b = write("a", [0, 1, 2, 3]), write("b", [0, 1, 2, 5])
    rows = list(csv.DictReader(printed(capsys, "compare", str(a), str(b), "--format", "csv").splitlines()))
    assert {row["metric"] for row in rows} == {"mAP (medium)", "mP@10 (medium)", "mAP (hard)", "mP@10 (hard)"}
    assert {row["verdict"] for row in rows} <= {"tie", "A is better", "B is better"}
    assert "Each p is of one test alone: it is not corrected" in printed(capsys, "compare", str(a), str(b))


def test_a_comparison_with_and_without_overlap_is_one_table(write, tmp_path, capsys):
    a, b = write("a", [0, 1, 2, 3]), write("b", [0, 1, 2, 5])
    pair = {"id": "0", "train": "x.jpg", "queries": [3], "proposal": "same place", "verdict": "yes"}
    about = {
        "train": {"name": "town", "digest": "t", "images": 9},
        "evaluation": {"name": "east", "digest": "m", "queries": 4, "positives": 4},
    }
    file = tmp_path / "overlap.json"
    words = ["compare", str(a), str(b), "--without-overlap", str(file), "--format", "json"]
    file.write_text(json.dumps({**about, "pairs": [pair]}))
    rows = json.loads(printed(capsys, *words))
    hard = {row["left out"]: row["B−A"] for row in rows if row["metric"] == "mAP (hard)"}
    assert hard == {"nothing": "-1.0", "overlap": "+0.0"}  # the last query falls from 1/8 to 1/12
    file.write_text(json.dumps({**about, "pairs": []}))
    assert {row["left out"] for row in json.loads(printed(capsys, *words))} == {"nothing"}


def test_settings_that_differ_are_a_table(write, capsys: pytest.CaptureFixture[str]):
    a, b = write("a", [0, 1]), write("a", [0, 2], lr=0.5)
    rows = {
        row["setting"]: (row["A"], row["B"])
        for row in csv.DictReader(printed(capsys, "diff", str(a), str(b), "--format", "csv").splitlines())
    }
    assert rows["recipe.system.optimiser.lr"] == ("0.0001", "0.5")


def test_folders_switches_and_versions_are_a_table(capsys: pytest.CaptureFixture[str]):
    rows = {r["name"]: r for r in csv.DictReader(printed(capsys, "env", "--format", "csv").splitlines())}
    assert rows["home"]["from"] == "from VITRET_HOME"
    assert rows["VITRET_QUIET"]["value"]
    assert "torch" in rows["versions"]["value"]
    assert printed(capsys, "schema", "--format", "md").startswith("| schema | files")


def test_stored_descriptors_are_listed(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    shown = printed(capsys, "cache", "ls", "--format", "csv", "--home", str(tmp_path))
    assert shown.startswith("entry,made,MB,")


@pytest.mark.parametrize(
    "words",
    [
        "list heads",
        "bench --train-set none",
        "eval --queries q --database d",
        "compare a.json b.json",
        "diff a.json b.json --rerun",
        "search timm:x q.jpg --in nowhere",
    ],
)
def test_an_unknown_form_is_refused_before_any_work(words: str, capsys: pytest.CaptureFixture[str]):
    assert run([*words.split(), "--format", "pfd"]) == 2
    shown = capsys.readouterr()
    assert shown.out == ""
    assert shown.err.startswith("--format pfd: unknown.")
