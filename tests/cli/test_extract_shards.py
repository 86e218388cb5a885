"""`vitret extract` by several processes writes what one writes."""

import os
import subprocess
import sys

import numpy as np
import pytest
import yaml
from PIL import Image

from vitret.cli import run

MODEL = {"backbone": {"name": "timm_model", "arch": "test_vit", "pretrained": False}, "head": "gem"}


@pytest.fixture
def words(tmp_path):
    """The command for a frozen system of random weights and eleven images of three sizes."""
    rng = np.random.default_rng(0)
    for i in range(11):
        folder = tmp_path / "mine" / f"class{i % 3}"
        folder.mkdir(parents=True, exist_ok=True)
        pixels = rng.integers(0, 256, (48 + 16 * (i % 3), 64, 3), dtype=np.uint8)
        Image.fromarray(pixels).save(folder / f"{i}.png")
    system = tmp_path / "drawn.yaml"
    system.write_text(yaml.safe_dump({"name": "drawn", "title": "Drawn", "model": MODEL}))
    assert run(["prepare", "mine", "--from", str(tmp_path / "mine")]) == 0
    return ["extract", str(system), "mine", "--size", "64", "--device", "cpu", "--precision", "fp32"]


def written(folder):
    return {path.name: path.read_bytes() for path in folder.glob("*.npy")}


def test_the_last_shard_writes_what_one_process_writes(tmp_path, words, monkeypatch, capsys):
    one, two = tmp_path / "one", tmp_path / "two"
    assert run([*words, "--out", str(one)]) == 0
    monkeypatch.setenv("VITRET_HOME", str(tmp_path / "shared"))
    capsys.readouterr()
    assert run([*words, "--out", str(two), "--shard", "2/2"]) == 0
    said = capsys.readouterr()
    assert said.out == ""
    assert "Share 2/2 is done" in said.err
    assert not two.exists()
    assert run([*words, "--out", str(two), "--shard", "1/2"]) == 0
    assert capsys.readouterr().out.strip() == str(two)
    assert written(two) == written(one)
    assert written(one)


def test_a_wrong_shard_is_one_line(words, capsys):
    assert run([*words, "--shard", "3/2"]) == 2
    assert "--shard 1/4" in capsys.readouterr().err


@pytest.mark.slow
def test_torchrun_writes_what_one_process_writes(tmp_path, words):
    one, two = tmp_path / "one", tmp_path / "two"
    assert run([*words, "--out", str(one)]) == 0
    torchrun = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2"]
    done = subprocess.run(
        [*torchrun, "-m", "vitret", *words, "--out", str(two)],
        env={**os.environ, "VITRET_HOME": str(tmp_path / "shared"), "OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        check=False,
        timeout=280,
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip() == str(two)  # by one process alone
    assert written(two) == written(one)
