import csv
import json
import subprocess
import sys

import numpy as np
import pytest
import torch
from toy_truth import GND

from vitret.cli.eval import eval_
from vitret.core.errors import DataError, EmptyError, MachineError, UserError


def circle(*degrees):
    angles = np.deg2rad(np.array(degrees, dtype=np.float64))
    return np.stack([np.cos(angles), np.sin(angles), 0 * angles], axis=1).astype(np.float32)


@pytest.fixture
def files(tmp_path):
    (tmp_path / "gnd_toy.json").write_text(json.dumps(GND))
    np.save(tmp_path / "q.npy", circle(0, 40))
    np.save(tmp_path / "db.npy", circle(10, 5, 20, 30))
    return {
        "queries": str(tmp_path / "q.npy"),
        "database": str(tmp_path / "db.npy"),
        "truth": tmp_path / "gnd_toy.json",
    }


def test_the_table_on_stdout_and_nothing_else(files, capsys):
    eval_(**files, metrics="mAP,mP@10")
    shown = capsys.readouterr()
    assert shown.err == ""
    lines = shown.out.splitlines()
    assert lines[0] == "toy: 4 images, 3 dimensions; per cent"
    assert lines[1].split() == ["level", "queries", "mAP", "mP@10"]
    assert lines[2].startswith("easy    1 of 2   100.00 [0.0, 100.0]")
    assert lines[3].split()[:4] == ["medium", "2", "of", "2"]
    # (19/24 + 1) / 2; the two queries share image d and are one group, of which an interval knows nothing.
    assert "89.58 [0.0, 100.0]" in lines[3]


def test_json_holds_fractions_and_intervals(files, capsys):
    eval_(**files, form="json")
    summary = json.loads(capsys.readouterr().out)
    assert summary["levels"]["easy"]["queries_with_positives"] == 1
    hard = summary["levels"]["hard"]["metrics"]
    assert hard["mAP"]["value"] == pytest.approx((0.25 + 1) / 2)
    assert (hard["mAP"]["low"], hard["mAP"]["high"]) == pytest.approx((0, 1), abs=1e-6)
    assert list(hard) == ["mAP", "mP@1", "mP@5", "mP@10"]


def test_few_groups_are_said_as_tables_say_them(files, capsys):
    eval_(**files, metrics="mAP")
    *_, how, few = capsys.readouterr().out.splitlines()
    assert "queries in 1 group (shared positives 1/2);" in how
    assert few.startswith("Fewer than 30 groups in toy: the intervals are rough. In simulations they hold")
    eval_(**files, form="json")
    shown = json.loads(capsys.readouterr().out)
    assert (shown["groups"], shown["notes"]) == (1, [few])


@pytest.fixture
def overlap(tmp_path):
    """Of the first of the toy truth's queries a proposal without a verdict."""
    pair = {"id": "0", "train": "a.jpg", "queries": [0], "proposal": "same place", "verdict": None}
    about = {
        "train": {"name": "town", "digest": "t", "images": 9},
        "evaluation": {"name": "toy", "digest": "m", "queries": 2, "positives": 4},
        "pairs": [pair],
    }
    (tmp_path / "overlap.json").write_text(json.dumps(about))
    return tmp_path / "overlap.json"


def test_queries_that_overlap_are_left_out_in_a_second_table_that_says_what_is_left(files, overlap, capsys):
    eval_(**files, metrics="mAP", without_overlap=overlap)
    first, second = capsys.readouterr().out.split("\n\n")
    assert first.splitlines()[-1].startswith("exact search")
    words, _, *levels, few = second.splitlines()
    assert words == (
        "without 1 of 2 queries of toy, which overlap with town (1 proposal not judged); what is left: queries "
        "in 1 group (shared positives 1/2)"
    )
    # The query that is left has no easy positive; the hard one is found first.
    assert [line.split()[:2] for line in levels] == [["easy", "0"], ["medium", "1"], ["hard", "1"]]
    assert few.startswith("Fewer than 30 groups in toy, toy without overlap: the intervals are rough.")
    eval_(**files, without_overlap=overlap, form="json")
    rest = json.loads(capsys.readouterr().out)["without_overlap"]
    assert (rest["queries"], rest["unjudged"], rest["groups"], rest["measured"]) == ([0], 1, 1, words)


def test_with_and_without_overlap_are_one_table_for_programs(files, overlap, capsys):
    eval_(**files, metrics="mAP", levels="easy,hard", without_overlap=overlap, form="csv")
    shown = capsys.readouterr()
    rows = list(csv.DictReader(shown.out.splitlines()))
    assert [(row["left out"], row["level"], row["queries"]) for row in rows] == [
        ("nothing", "easy", "1 of 2"),
        ("nothing", "hard", "2 of 2"),
        ("overlap", "easy", "0 of 2"),
        ("overlap", "hard", "1 of 2"),
    ]
    assert rows[2]["mAP"] == "–"
    assert "(1 proposal not judged)" in shown.err
    eval_(**files, metrics="mAP", form="csv")
    assert capsys.readouterr().out.startswith("level,queries,mAP\n")


def test_one_table_is_printed_where_nothing_overlaps(files, overlap, capsys):
    about = json.loads(overlap.read_text())
    overlap.write_text(json.dumps({**about, "pairs": []}))
    eval_(**files, metrics="mAP", without_overlap=overlap)
    shown = capsys.readouterr().out
    assert shown.count("mAP") == 1
    assert "overlaps with" in shown
    assert "the numbers stay as they are" in shown
    assert "without overlap" not in shown


def test_distractors_and_normalising_are_said(files, tmp_path, capsys):
    np.save(tmp_path / "noise.npy", 3 * circle(-1, 25))
    eval_(**files, distractors=[str(tmp_path / "noise.npy")], levels="medium", metrics="mAP")
    shown = capsys.readouterr()
    assert "normalised" in shown.err
    assert "+ 2 distractors" in shown.out
    assert shown.out.splitlines()[2].startswith("medium")


def test_a_second_look_by_descriptors_alone_is_said(files, capsys):
    eval_(**files, rerank="superglobal", form="json")
    summary = json.loads(capsys.readouterr().out)
    assert "superglobal of the first 400, plain shortlist" in summary["measured"]
    eval_(**files, rerank="superglobal", depth=3, shortlist="oracle")
    assert "superglobal of the first 3, oracle shortlist" in capsys.readouterr().out
    with pytest.raises(UserError, match="needs a trained matcher"):
        eval_(**files, rerank="rrt")
    with pytest.raises(UserError, match="Did you mean 'superglobal'"):
        eval_(**files, rerank="superglobe")


def test_both_engines_give_the_same_bytes(files, capsys):
    eval_(**files, form="json")
    plain = capsys.readouterr().out
    eval_(**files, form="json", engine="torch")
    assert capsys.readouterr().out == plain


def test_a_device_is_looked_for_before_it_computes(files, monkeypatch, capsys):
    eval_(**files, engine="torch", device="auto")
    assert "exact search" in capsys.readouterr().out
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    with pytest.raises(MachineError, match=r"--device cuda: this PyTorch .* sees no CUDA device"):
        eval_(**files, engine="torch", device="cuda")
    with pytest.raises(UserError, match=r"--device cuad: unknown\. Did you mean 'cuda'"):
        eval_(**files, engine="torch", device="cuad")
    with pytest.raises(UserError, match="--device cuda belongs to --engine torch"):
        eval_(**files, device="cuda")
    with pytest.raises(UserError, match=r"--engine tourch: unknown\. Did you mean 'torch'"):
        eval_(**files, engine="tourch")


def test_shares_of_several_machines_print_the_same_numbers_once_all_are_counted(files, tmp_path, capsys):
    np.save(tmp_path / "more.npy", circle(-1, 25))
    files |= {"distractors": [str(tmp_path / "more.npy")] * 2, "form": "json"}
    eval_(**files)
    plain = capsys.readouterr().out
    eval_(**files, shard="2/2", counts=tmp_path / "counts")
    shown = capsys.readouterr()
    assert shown.out == ""
    assert shown.err.endswith(
        "2/2 is counted. The numbers come with the last share; not there yet: --shard 1/2\n"
    )
    eval_(**files, shard="1/2", counts=tmp_path / "counts")
    assert capsys.readouterr().out == plain
    np.save(tmp_path / "more.npy", 3 * circle(-1, 25))
    with pytest.raises(DataError, match="not of length one, and machines that share a search change none"):
        eval_(**files, shard="1/1", counts=tmp_path / "counts")
    with pytest.raises(UserError, match="belong together"):
        eval_(**files, shard="1/2")
    with pytest.raises(UserError, match="--search is not divided"):
        eval_(**files, shard="1/2", counts=tmp_path, search="hnsw")
    with pytest.raises(UserError, match="not I/N"):
        eval_(**files, shard="3/2", counts=tmp_path)


def test_an_approximate_search_prints_its_recall(files, capsys):
    pytest.importorskip("faiss", reason="needs the faiss extra")
    eval_(**files, search="hnsw,links=4")
    shown = capsys.readouterr().out
    assert "approximate search by HNSW4,Flat, recall of the exact first 1: 100.0 %" in shown
    eval_(**files, search="hnsw", form="json")
    summary = json.loads(capsys.readouterr().out)
    assert summary["search"]["recall"] == {"1": 1.0}
    assert summary["levels"]["hard"]["metrics"]["mAP"]["value"] == pytest.approx((0.25 + 1) / 2)
    with pytest.raises(UserError, match="not combined with expansion or re-ranking"):
        eval_(**files, search="hnsw", rerank="superglobal")


def test_wrong_uses(files, tmp_path):
    with pytest.raises(UserError, match="either --set NAME"):
        eval_(**files, set_="roxford5k")
    with pytest.raises(UserError, match="either --set NAME"):
        eval_(**{**files, "truth": None})
    with pytest.raises(UserError, match="Did you mean 'json'"):
        eval_(**files, form="jsn")
    with pytest.raises(UserError, match="--depth 10 is about re-ranking"):
        eval_(**files, depth=10)
    with pytest.raises(UserError, match="--shortlist oracle is about re-ranking"):
        eval_(**files, shortlist="oracle")
    with pytest.raises(UserError, match=r"Did you mean 'mP@10'"):
        eval_(**files, metrics="mp@10")
    with pytest.raises(DataError, match="no such file"):
        eval_(**{**files, "queries": str(tmp_path / "none.npy")})
    with pytest.raises(DataError, match=r"gone\.npy: no such file"):  # before a set is asked for
        eval_(queries=files["queries"], database=str(tmp_path / "gone.npy"))
    with pytest.raises(DataError, match="but the list has 2 images"):
        eval_(**{**files, "queries": files["database"]})
    nothing = {**GND, "gnd": [{"easy": [], "hard": [], "junk": []}] * 2}
    (tmp_path / "gnd_none.json").write_text(json.dumps(nothing))
    with pytest.raises(EmptyError, match="no query has a positive"):
        eval_(**{**files, "truth": tmp_path / "gnd_none.json"})


def test_no_torch_is_imported(files):
    code = (
        "import sys\nfrom pathlib import Path\nfrom vitret.cli.eval import eval_\n"
        f"eval_(queries={files['queries']!r}, database={files['database']!r}, truth=Path({str(files['truth'])!r}))\n"
        "assert not {'torch', 'timm', 'faiss', 'torchvision'} & set(sys.modules), 'torch was imported'\n"
    )
    subprocess.run([sys.executable, "-c", code], check=True, capture_output=True)


@pytest.mark.parametrize("name", ["roxford5k", "rparis6k"])
def test_the_real_ground_truth_alone_is_enough(shared, tmp_path, capsys, name):
    images = {"roxford5k": 4993, "rparis6k": 6322}[name]
    rng = np.random.default_rng(0)
    for file, n in (("q.npy", 70), ("db.npy", images)):
        rows = rng.standard_normal((n, 8)).astype(np.float32)
        np.save(tmp_path / file, rows / np.linalg.norm(rows, axis=1, keepdims=True))
    truth = shared / "groundtruth" / f"gnd_{name}.pkl"
    eval_(queries=str(tmp_path / "q.npy"), database=str(tmp_path / "db.npy"), truth=truth, form="json")
    levels = json.loads(capsys.readouterr().out)["levels"]
    assert [levels[level]["queries_with_positives"] for level in ("easy", "medium", "hard")] == [
        68 if name == "roxford5k" else 70,
        70,
        70,
    ]
