"""`vitret eval` on files as users have them: a value, or one line and a documented exit code."""

import json
from pathlib import Path

import h5py
import numpy as np
import pytest

from vitret.cli import run

POINTER = b"version https://git-lfs.github.com/spec/v1\noid sha256:" + b"1" * 64 + b"\nsize 149871\n"
PAGE = b"<!DOCTYPE html><html><head><title>302 Found</title></head></html>"


def unit(n: int, d: int, seed: int) -> np.ndarray:
    x = np.random.default_rng(seed).normal(size=(n, d))
    return (x / np.linalg.norm(x, axis=1, keepdims=True)).astype(np.float32)


def truth(path: Path, database: list[str], queries: list[str], rows: list[dict[str, list[int]]]) -> str:
    path.write_text(json.dumps({"imlist": database, "qimlist": queries, "gnd": rows}))
    return str(path)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    np.save(tmp_path / "q.npy", unit(1, 4, 0))
    np.save(tmp_path / "d.npy", unit(2, 4, 1))
    truth(tmp_path / "gnd_ok.json", ["a", "b"], ["q"], [{"ok": [0]}])
    return tmp_path


@pytest.mark.parametrize(
    "name", ["gnd.pkl", "gnd.json", "d.npy", "d.npz", "d.h5", "d.mat", "d.safetensors", "d.pt", "q.NPY"]
)
@pytest.mark.parametrize(
    ("content", "said"), [(POINTER, "is a Git LFS pointer"), (PAGE, "is a web page (HTML)")]
)
def test_what_lies_in_place_of_a_file_is_named(folder: Path, capsys, name: str, content: bytes, said: str):
    (folder / name).write_bytes(content)
    given = {"gnd": "gnd_ok.json", "d": "d.npy", "q": "q.npy"} | {name.partition(".")[0]: name}
    words = ["eval", "--queries", given["q"], "--database", given["d"], "--truth", given["gnd"]]
    assert run([str(folder / word) if "." in word else word for word in words]) == 3
    err = capsys.readouterr().err
    assert f"{name}: {said}" in err
    assert len(err.splitlines()) == 1


def test_a_damaged_truth_is_not_to_be_removed(folder: Path, capsys):
    (folder / "gnd_ok.json").write_text('{"imlist": ["a"')
    files = ["--queries", str(folder / "q.npy"), "--database", str(folder / "d.npy")]
    assert run(["eval", *files, "--truth", str(folder / "gnd_ok.json")]) == 3
    err = capsys.readouterr().err
    assert "line 1 column 16" in err
    assert "Remove" not in err


def test_hlocs_file_in_the_order_of_the_list(tmp_path: Path, capsys):
    """Three thousand images and three queries in one file; the value is that of a plain loop over sorted scores."""
    database = [f"db/2014-11-{i % 28:02d}/img_{i:05d}.jpg" for i in range(3000)]
    queries = [f"query/q{i}.jpg" for i in range(3)]
    x, y = unit(3000, 8, 0), unit(3, 8, 1)
    spec = str(tmp_path / "feats.h5")
    with h5py.File(spec, "w") as file:
        for name, row in zip(database + queries, np.concatenate([x, y]), strict=True):
            file.create_group(name)["global_descriptor"] = row
    rows = [{"ok": [i, i + 1], "junk": []} for i in range(3)]
    gnd = truth(tmp_path / "gnd_hloc.json", database, queries, rows)
    assert run(["eval", "--queries", spec, "--database", spec, "--truth", gnd, "--format", "json"]) == 0
    shown = capsys.readouterr()
    found = json.loads(shown.out)["levels"]["all"]["metrics"]["mAP"]["value"]
    values = []
    for q, row in enumerate(rows):
        order = np.argsort(-(x.astype(np.float64) @ y[q].astype(np.float64)), kind="stable")
        ranks = sorted(int(np.flatnonzero(order == i)[0]) for i in row["ok"])
        steps = [((k / rank if rank else 1.0) + (k + 1) / (rank + 1)) / 2 for k, rank in enumerate(ranks)]
        values.append(sum(steps) / len(ranks))
    assert found == pytest.approx(np.mean(values), abs=1e-12)
    assert len(shown.out + shown.err) < 1920


def test_a_level_without_positives_is_a_dash_and_alone_ends_with_code_five(tmp_path: Path, capsys):
    np.save(tmp_path / "q.npy", unit(1, 4, 0))
    np.save(tmp_path / "d.npy", unit(3, 4, 1))
    gnd = truth(tmp_path / "gnd_c.json", ["d0", "d1", "d2"], ["q"], [{"easy": [0], "junk": []}])
    words = [
        "eval",
        "--queries",
        str(tmp_path / "q.npy"),
        "--database",
        str(tmp_path / "d.npy"),
        "--truth",
        gnd,
    ]
    assert run(words) == 0
    hard = capsys.readouterr().out.splitlines()[4]
    assert hard.split() == ["hard", "0", "of", "1", "–", "–", "–", "–"]
    assert run([*words, "--levels", "hard"]) == 5
    assert capsys.readouterr().err.strip() == "c: no query has a positive at hard."
