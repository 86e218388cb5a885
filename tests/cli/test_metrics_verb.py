"""`vitret metrics`: rankings, descriptors and rows, in four forms."""

import csv
import json
import math

import numpy as np
import pytest
from toy_truth import GND
from written_rows import write

from vitret.cli import run

__all__ = ["write"]


@pytest.fixture
def here(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    angles = {"queries": (0, 40), "database": (10, 5, 20, 30)}
    for name, degrees in angles.items():
        radians = np.deg2rad(np.array(degrees, dtype=np.float64))
        np.save(tmp_path / f"{name}.npy", np.stack([np.cos(radians), np.sin(radians)], axis=1))
    # At 0° image 1 is first, then the junk image 0, then 2 and 3; at 40° image 3, 2, 0, 1.
    (tmp_path / "ranks.csv").write_text("1,0,2,3\n3,2,0,1\n")
    (tmp_path / "gnd_toy.json").write_text(json.dumps(GND))
    return tmp_path


def shown(words, capsys):
    assert run(["metrics", *words, "--truth", "gnd_toy.json"]) == 0
    return capsys.readouterr().out


def test_a_ranking_and_its_descriptors_give_one_table(here, capsys):
    table = shown(["ranks.csv"], capsys)
    assert table == shown(["queries.npy", "database.npy"], capsys)
    assert table == shown(["."], capsys)
    lines = table.splitlines()
    assert lines[0] == "toy; per cent; queries with positives: easy 1, medium 2, hard 2"
    assert lines[1].split()[:4] == ["definition", "easy", "medium", "hard"]
    # Medium: q finds 1 and 3 at places 1 and 3 (the junk image is gone), r finds 3 at once.
    assert lines[2].split()[:4] == ["mAP", "100.00", f"{50 * (19 / 24 + 1):.2f}", "62.50"]


def test_json_and_csv_hold_fractions(here, capsys):
    whole = json.loads(shown(["ranks.csv", "--format", "json"], capsys))
    assert whole["queries_with_positives"] == {"easy": 1, "medium": 2, "hard": 2}
    first = whole["definitions"][0]
    assert first["definition"] == "mAP"
    assert first["values"]["medium"] == pytest.approx((19 / 24 + 1) / 2)
    assert "revisitop" in first["used_by"]
    lines = list(csv.DictReader(shown(["ranks.csv", "--format", "csv"], capsys).splitlines()))
    assert [line["definition"] for line in lines] == [one["definition"] for one in whole["definitions"]]
    assert math.isclose(float(lines[0]["medium"]), first["values"]["medium"])


def test_markdown_and_one_level(here, capsys):
    lines = shown(["ranks.csv", "--format", "md", "--levels", "hard"], capsys).splitlines()
    assert lines[0] == "| definition | hard | used by | source |"
    assert lines[2].startswith("| mAP | 62.50 | revisitop")


def test_a_stored_row_needs_no_set(write, capsys):
    path = write("a", [0] * 20 + [1] * 10)
    assert run(["metrics", str(path)]) == 0
    out, err = capsys.readouterr()
    assert "mAP" in out
    assert "junk counted" not in out
    assert "definitions that count junk are left out" in err


@pytest.mark.parametrize(
    ("words", "code", "said"),
    [
        (["ranks.csv"], 2, "--set NAME"),
        (["queries.npy", "--truth", "gnd_toy.json"], 3, "Give both files"),
        (["nothing.npy", "--truth", "gnd_toy.json"], 3, "no such file"),
        (["nothing.npy"], 3, "nothing.npy: no such file"),
        (["queries.npy", "database.npy", "--distractors", "x.npy"], 3, "x.npy: no such file"),
        (["a", "b", "c", "--truth", "gnd_toy.json"], 2, "3 files"),
        (["ranks.csv", "--truth", "gnd_toy.json", "--levels", "hrad"], 2, "Did you mean 'hard'"),
        (["ranks.csv", "--truth", "gnd_toy.json", "--distractors", "x.npy"], 2, "holds its distractors"),
        (["row.json", "--set", "sop"], 2, "--set: a result row knows"),
        (["row.json"], 3, "row.json"),
        (["ranks.csv", "--truth", "gnd_toy.json", "--format", "html"], 2, "--format html"),
    ],
    ids=str,
)
def test_a_mistake_is_one_line(here, capsys, words, code, said):
    assert run(["metrics", *words]) == code
    out, err = capsys.readouterr()
    assert said in err
    assert out == ""
    assert len(err.splitlines()) == 1
