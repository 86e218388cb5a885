"""Training end to end on patterns: it learns, continues after any death, and its parts do not change its result."""

import contextlib
import json
import os
import random
import signal
from multiprocessing.context import ForkServerContext
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
import torch

from vitret.core.errors import DataError, UserError
from vitret.core.recipes import Recipe
from vitret.core.store import file_sha256
from vitret.data.layout import load_train
from vitret.learn import train as train_module
from vitret.learn.train import train
from vitret.models.model import load_model

CPU = torch.device("cpu")


def trained(tiny: ModuleType, patterns: Path, home: Path, recipe: Recipe, **options: Any) -> Path:
    return train(recipe, tiny.trainset(patterns), tiny.run_of(home, recipe), device=CPU, **options)


def log(run_file: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (run_file.parent / "log.jsonl").read_text().splitlines()]


@pytest.mark.slow
def test_training_learns_and_writes_what_it_saw(tiny: ModuleType, patterns: Path, tmp_path: Path):
    seen: list[tuple[int, int]] = []
    recipe = tiny.recipe(images_seen=1200)
    checkpoint = trained(
        tiny, patterns, tmp_path, recipe, progress=lambda done, total, text: seen.append((done, total))
    )
    entries = log(checkpoint)
    losses = [e["loss"] for e in entries if "loss" in e]
    scores = [e["validation"] for e in entries if "validation" in e]
    assert losses[-1] < losses[0]
    assert len(scores) == 4
    assert all(0 <= s["recall_at_1"] <= 1 and 0 <= s["map"] <= 1 for s in scores)
    assert seen[-1] == (100, 100)
    assert not (checkpoint.parent / "state").exists()
    model, spec = load_model(checkpoint)
    assert spec.resolved() == recipe.system.model.resolved()
    assert model(torch.zeros(1, 3, 32, 32)).shape == (1, model.dim)


def test_a_finished_run_is_not_trained_again(tiny: ModuleType, patterns: Path, tmp_path: Path):
    recipe = tiny.recipe(images_seen=24)
    checkpoint = trained(tiny, patterns, tmp_path, recipe)
    before = checkpoint.stat().st_mtime_ns
    assert trained(tiny, patterns, tmp_path, recipe) == checkpoint
    assert checkpoint.stat().st_mtime_ns == before


FULL: dict[str, Any] = {
    "memory": {"size": 30, "start": 3, "momentum": 0.9},
    "optimiser": {"lr": 3e-3, "ema": 0.9},
    "losses": ["contrastive", "arcface"],
}
MINED: dict[str, Any] = {
    "sampler": {"name": "tuples", "negatives": 2, "queries": 12, "pool": 30},
    "losses": [{"name": "contrastive_tuples", "negatives": 2}],
}


@pytest.mark.slow
@pytest.mark.parametrize("changes", [FULL, MINED], ids=["memory, average, proxies", "mined tuples"])
def test_killed_at_random_moments_it_ends_in_the_same_bytes(
    changes: dict[str, Any],
    tiny: ModuleType,
    spawning: ForkServerContext,
    patterns: Path,
    tmp_path: Path,
):
    recipe = tiny.recipe(images_seen=600, **changes)
    straight = trained(tiny, patterns, tmp_path / "straight", recipe)
    killed = tiny.run_of(tmp_path / "killed", recipe)
    dice = random.Random(0)
    deaths, goes = 0, 0
    while not killed.finished:
        goes += 1
        assert goes < 10
        steps, told = spawning.Pipe(duplex=False)
        process = spawning.Process(target=tiny.main, args=(recipe, tmp_path / "killed", patterns, told))
        process.start()
        told.close()
        lives = dice.randrange(3, 24) if deaths < 3 else 10_000
        with contextlib.suppress(EOFError):
            for _ in range(lives):
                steps.recv_bytes()
            process.kill()
            deaths += 1
        process.join(timeout=100)
        assert process.exitcode in (0, -signal.SIGKILL)
    assert deaths >= 1  # a fast machine may finish before a later shot
    assert file_sha256(killed.checkpoint) == file_sha256(straight)
    ends = [[e for e in log(path) if e.get("step") == 50] for path in (straight, killed.checkpoint)]
    for entries in ends:
        for entry in entries:
            entry.pop("images_per_second", None)
    assert ends[0] == ends[1]


TINY_CNN = {"name": "timm_model", "arch": "test_efficientnet", "pretrained": False}


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"model": {"backbone": TINY_CNN, "head": "gem"}},
        {
            "losses": ["proxy_anchor", "madacos", "hyperbolic"],
            "optimiser": {"lr": 3e-4, "head_lr_factor": 100},
        },
    ],
    ids=["vit", "cnn", "proxies"],
)
def test_ctrl_c_saves_and_the_next_call_continues(
    changes: dict[str, Any], tiny: ModuleType, patterns: Path, tmp_path: Path
):
    recipe = tiny.recipe(**changes)
    straight = trained(tiny, patterns, tmp_path / "straight", recipe)

    def interrupt(done: int, total: int, text: str) -> None:
        if done == 7:
            os.kill(os.getpid(), signal.SIGINT)

    with pytest.raises(KeyboardInterrupt):
        trained(tiny, patterns, tmp_path / "stopped", recipe, progress=interrupt)
    said: list[str] = []
    again = trained(tiny, patterns, tmp_path / "stopped", recipe, say=said.append)
    assert "continues after step 7" in said[0]
    assert file_sha256(again) == file_sha256(straight)


@pytest.mark.parametrize(
    "changes",
    [
        {"track_image": {"policy": "groups", "size": 32}, "sampler": "groups", "losses": ["arcface"]},
        {"track_image": {"policy": "longer", "size": 32}, "sampler": "random", "track_batch": 6},
        {"losses": [{"name": "triplet_sos", "negatives": 2}], "sampler": {"name": "tuples", "negatives": 2}},
        {"optimiser": {"name": "sgd", "lr": 1e-2, "schedule": "exponential", "freeze_batch_norm": True}},
    ],
    ids=["groups", "longer", "tuples", "sgd"],
)
def test_every_policy_and_sampler_trains(
    changes: dict[str, Any], tiny: ModuleType, patterns: Path, tmp_path: Path
):
    recipe = tiny.recipe(images_seen=60, **changes)
    entries = log(trained(tiny, patterns, tmp_path, recipe))
    assert entries[-1]["step"] == 60 // recipe.track.batch
    assert entries[0]["images_per_second"] > 0
    assert {loss.name for loss in recipe.system.losses} <= entries[0].keys()


def test_workers_and_memory_do_not_change_the_bytes(
    tiny: ModuleType, patterns: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    recipe = tiny.recipe(images_seen=60)
    kept = trained(tiny, patterns, tmp_path / "kept", recipe)
    monkeypatch.setattr("vitret.learn.loading.TrainImages.keep", lambda self, workers: False)
    read = trained(tiny, patterns, tmp_path / "read", recipe, workers=1)
    assert file_sha256(kept) == file_sha256(read)


def test_a_loss_that_is_not_finite_ends_the_training_with_its_step(
    tiny: ModuleType, patterns: Path, tmp_path: Path
):
    recipe = tiny.recipe(optimiser={"lr": 1e30, "clip": None, "warmup": 0.0, "weight_decay": 0.0})
    with pytest.raises(UserError, match=r"the loss is nan at step \d+.*lower rate"):
        trained(tiny, patterns, tmp_path, recipe)


def test_a_batch_larger_than_the_set_is_refused(tiny: ModuleType, patterns: Path, tmp_path: Path):
    with pytest.raises(UserError, match="fewer images than one batch"):
        trained(tiny, patterns, tmp_path, tiny.recipe(sampler="random", track_batch=64))


@pytest.mark.parametrize("sampler", ["random", {"name": "tuples", "negatives": 3}])
def test_a_loss_on_other_tuples_than_the_samplers_is_refused(
    sampler: Any, tiny: ModuleType, patterns: Path, tmp_path: Path
):
    recipe = tiny.recipe(losses=[{"name": "triplet_sos", "negatives": 2}], sampler=sampler)
    with pytest.raises(UserError, match=r"name: tuples, negatives: 2"):
        trained(tiny, patterns, tmp_path, recipe)


def test_a_damaged_state_is_named(tiny: ModuleType, patterns: Path, tmp_path: Path):
    recipe = tiny.recipe()
    run = tiny.run_of(tmp_path, recipe)
    run.state.mkdir()
    (run.state / "trainer.pt").write_bytes(b"half a file")
    with pytest.raises(DataError, match=r"trainer\.pt"):
        trained(tiny, patterns, tmp_path, recipe)


def test_held_out_classes_are_never_trained_on(
    tiny: ModuleType, patterns: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    rows: set[str] = set()
    plain = train_module.plan_places

    def spy(plan: Any, *args: Any) -> Any:
        rows.update(str(r) for r in plan.ravel())
        return plain(plan, *args)

    monkeypatch.setattr(train_module, "plan_places", spy)
    trained(tiny, patterns, tmp_path, tiny.recipe(images_seen=240))
    assert len(rows) <= tiny.CLASSES * tiny.PER_CLASS * 3 // 4


def test_image_sizes_come_from_the_prepared_table(
    tiny: ModuleType, town: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    def opened(path: Path) -> None:
        raise AssertionError(f"{path}: its header was read again")

    monkeypatch.setattr("vitret.learn.loading.header", opened)
    # Groups ask for the aspect of each image, a random crop for the memory that all of them would take.
    policy = {"policy": "groups", "size": 32, "crop_area": [0.6, 1.0]}
    recipe = tiny.recipe(images_seen=12, track_image=policy, sampler="groups", track_batch=6)
    run = tiny.run_of(tmp_path, recipe)
    assert train(recipe, load_train(town, "minitown-sfm"), run, device=CPU).is_file()
