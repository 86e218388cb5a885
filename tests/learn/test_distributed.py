"""Two processes with half a batch each have the loss, the gradients and the weights of one with the whole."""

import importlib
import os
import subprocess
import sys
from multiprocessing.context import ForkServerContext
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
import safetensors.torch
import torch
import typer
from typer.testing import CliRunner

from vitret.cli.train import train
from vitret.core.errors import UserError
from vitret.core.recipes import Recipe
from vitret.learn import distributed


def steps(
    spawning: ForkServerContext, recipe: Recipe, images: Path, out: Path, *, processes: int
) -> list[dict[str, Any]]:
    two_processes = importlib.import_module("two_processes")
    launched = importlib.import_module("processes").launched
    launched(spawning, two_processes.main, recipe, images, out, processes=processes)
    return [torch.load(f"{out}.{rank}", weights_only=True) for rank in range(processes)]


# Batch norm over maps and over rows; the stripe of WaveBlock would be drawn by each process.
DTOP = {"name": "dtop", "dim": 24, "aspp_width": 8, "dilations": [1], "waveblock": "off"}


@pytest.mark.slow
def test_two_halves_are_one_whole(
    tiny: ModuleType, spawning: ForkServerContext, patterns: Path, tmp_path: Path
):
    recipe = tiny.recipe(
        model={"backbone": {**tiny.TINY_VIT, "drop_path": 0.0, "layers": 2}, "head": DTOP},
        losses=["contrastive", "koleo", "arcface"],
        memory={"size": 20},
        # Not Adam: a bias before batch norm has no gradient but rounding, which Adam would scale up.
        optimiser={"name": "sgd", "lr": 0.02},
    )
    (one,) = steps(spawning, recipe, patterns, tmp_path / "one", processes=1)
    for half in steps(spawning, recipe, patterns, tmp_path / "two", processes=2):
        assert torch.allclose(half["losses"], one["losses"], rtol=1e-5)
        assert half["gradients"].keys() == one["gradients"].keys()
        for name, gradient in one["gradients"].items():
            assert torch.allclose(half["gradients"][name], gradient, rtol=1e-3, atol=1e-5), name
        for name, weight in one["weights"].items():
            assert torch.allclose(half["weights"][name], weight, rtol=1e-4, atol=1e-5), name
        # Running statistics above all, of which only the first process's are saved.
        for name, buffer in one["buffers"].items():
            assert torch.allclose(half["buffers"][name], buffer, rtol=1e-4, atol=1e-5), name


@pytest.mark.slow
def test_torchrun_trains_what_one_process_trains(town: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("VITRET_DATA", str(town))
    words = ["--system", "tiny_dtop", "--train-set", "minitown-sfm", "--device", "cpu", "--profile"]
    for change in (
        "track.images_seen=36",
        "track.batch=12",
        "track.image.size=32",
        "track.validation=0.25",
        "optimiser.name=sgd",
        "optimiser.lr=0.05",
        "model.head.waveblock='off'",
    ):
        words += ["--set", change]
    torchrun = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2"]
    done = subprocess.run(
        [*torchrun, "-m", "vitret", "train", *words],
        env={**os.environ, "VITRET_HOME": str(tmp_path / "two"), "OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        check=False,
        timeout=200,
    )
    assert done.returncode == 0, done.stderr
    assert done.stderr.count("Time of a step") == 1  # the first process alone speaks
    monkeypatch.setenv("VITRET_HOME", str(tmp_path / "one"))
    app = typer.Typer()
    app.command()(train)
    alone = CliRunner().invoke(app, words, catch_exceptions=False)
    one, two = Path(alone.stdout.strip()), Path(done.stdout.strip())  # the path is printed once, not by each
    assert two.parent.name == one.parent.name
    assert (two.parent / "log.jsonl").read_text().count('"step": 3,') == 2  # the loss, the validation
    trained = safetensors.torch.load_file(two)
    for name, weight in safetensors.torch.load_file(one).items():
        assert torch.allclose(trained[name], weight, rtol=1e-3, atol=1e-4), name


def test_alone_everything_is_as_it_was():
    rows = torch.ones(2, 3)
    assert distributed.start(torch.device("cpu")) == torch.device("cpu")
    assert distributed.gather(rows) is rows
    assert distributed.share(12) == slice(0, 12)
    assert distributed.from_all(3) == [3]
    assert distributed.from_first("x") == "x"


def test_a_batch_that_does_not_divide_is_refused(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(distributed, "world", lambda: 5)
    with pytest.raises(UserError, match="12 does not divide among 5"):
        distributed.share(12)
