"""Class centres divided among processes give what whole ones give, also after a training was killed."""

import importlib
from multiprocessing.context import ForkServerContext
from pathlib import Path
from types import ModuleType

import pytest
import safetensors.torch
import torch

from vitret.core import plugins
from vitret.core.errors import UserError
from vitret.core.runs import Run
from vitret.learn import distributed
from vitret.learn.split_classes import own_classes


def test_alone_a_split_loss_is_whole():
    torch.manual_seed(0)
    split = plugins.build("losses", "arcface", 4, 5, split=True)
    torch.manual_seed(0)
    whole = plugins.build("losses", "arcface", 4, 5)
    assert torch.equal(split.weight, whole.weight)
    assert plugins.resolve("losses", "arcface", {}) == {
        "margin": 0.3,
        "scale": 30.0,
    }  # digests of old recipes hold


def test_every_class_is_held_once(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(distributed, "world", lambda: 3)
    held = []
    for rank in range(3):
        monkeypatch.setattr(distributed, "rank", lambda rank=rank: rank)
        held += own_classes(11)
    assert held == list(range(11))
    with pytest.raises(UserError, match="2 classes do not divide among 3"):
        own_classes(2)


@pytest.mark.slow
def test_loss_gradients_and_norm_are_those_of_the_whole(
    tiny: ModuleType, spawning: ForkServerContext, tmp_path: Path
):
    processes, support = (importlib.import_module(name) for name in ("processes", "split_processes"))
    processes.launched(spawning, support.beside_whole, tmp_path / "found", processes=3)
    for rank in range(3):
        found = torch.load(tmp_path / f"found.{rank}", weights_only=True)
        split, whole = found["split"], found["whole"]
        start, stop = found["mine"].tolist()
        assert torch.allclose(split["loss"], whole["loss"], rtol=1e-6, atol=0)
        assert torch.allclose(split["rows"], whole["rows"], atol=1e-6)
        assert torch.allclose(split["weight"], whole["weight"][start:stop], atol=1e-6)
        assert torch.allclose(found["norm"], whole["weight"].norm(), rtol=1e-6, atol=0)


@pytest.mark.slow
def test_a_killed_training_ends_as_a_straight_one_and_as_that_of_one_process(
    tiny: ModuleType, spawning: ForkServerContext, patterns: Path, tmp_path: Path
):
    processes, support = (importlib.import_module(name) for name in ("processes", "split_processes"))
    recipe = tiny.recipe(
        images_seen=84,
        model={"backbone": {**tiny.TINY_VIT, "drop_path": 0.0}, "head": "cls"},
        losses=[{"name": "arcface", "split": True}],
        optimiser={"name": "sgd", "lr": 0.05, "clip": 0.5},
        track_validation=0.0,
    )
    homes = {name: tmp_path / name for name in ("one", "straight", "killed")}
    for name, count, die_at in (("one", 1, 0), ("straight", 2, 0), ("killed", 2, 5), ("killed", 2, 0)):
        processes.launched(spawning, support.trained, recipe, patterns, homes[name], die_at, processes=count)
        if die_at:
            state = Run(path=homes[name] / "runs" / recipe.run_id).state
            kept, own = sorted(path.name for path in state.iterdir())[::-1]
            assert kept == "trainer.pt"
            assert own in ("own-2-1.pt", "own-4-1.pt")  # saving takes at most a share of the time
    runs = {name: Run(path=home / "runs" / recipe.run_id) for name, home in homes.items()}
    assert runs["killed"].checkpoint.read_bytes() == runs["straight"].checkpoint.read_bytes()
    assert runs["killed"].log_file.read_text().count("\n") == 4
    two, one = (safetensors.torch.load_file(runs[name].checkpoint) for name in ("straight", "one"))
    for name, weight in one.items():
        assert torch.allclose(two[name], weight, rtol=1e-4, atol=1e-5), name
