"""One step: a batch in parts has the gradient of the whole, random depth included; precisions are what they say."""

from pathlib import Path
from types import ModuleType

import numpy as np
import pytest
import torch

from vitret.core.errors import MachineError, UserError
from vitret.core.recipes import Recipe
from vitret.learn.learner import Learner, autocast_dtype, initial_model, make_learner, train_step
from vitret.learn.loading import Batch, TrainImages, batches, plan_places

CPU = torch.device("cpu")


def one_batch(tiny: ModuleType, patterns: Path, recipe: Recipe) -> tuple[Batch, torch.Tensor]:
    given = tiny.trainset(patterns)
    dataset = TrainImages(given.images, recipe.track.image, seed=0, patch=16)
    plan = np.random.default_rng(0).permutation(48)[:12].reshape(1, 12)
    (batch,) = batches(dataset, plan_places(plan, 0, 0, slice(0, 12)), workers=0, device=CPU)
    return batch, torch.from_numpy(given.labels[plan[0]])


def stepped(
    recipe: Recipe, batch: Batch, labels: torch.Tensor, precision: str = "fp32"
) -> tuple[Learner, float]:
    learner = make_learner(recipe, classes=8, images=48, device=CPU, precision=precision)
    loss, _ = train_step(learner, recipe, batch, labels, step=0)
    return learner, loss.item()


@pytest.mark.parametrize("drop_path", [0.0, 0.3])
def test_a_batch_in_parts_has_the_gradient_of_the_whole(
    drop_path: float, tiny: ModuleType, patterns: Path, monkeypatch: pytest.MonkeyPatch
):
    model = {"backbone": {**tiny.TINY_VIT, "drop_path": drop_path}, "head": "cls"}
    losses = ["contrastive", "koleo", "arcface"]
    whole = tiny.recipe(model=model, losses=losses, optimiser={"clip": None})
    parts = tiny.recipe(model=model, losses=losses, optimiser={"clip": None, "accumulate": 4})
    batch, labels = one_batch(tiny, patterns, whole)
    if drop_path:
        # Dropped paths are drawn per pass: the whole must draw part by part too, to drop the same.
        batch = batch.split(4)
    (a, loss), (b, in_parts) = (stepped(recipe, batch, labels) for recipe in (whole, parts))
    assert in_parts == pytest.approx(loss, rel=1e-5)
    for module, other in ((a.model, b.model), (a.objective, b.objective)):
        for (name, p), q in zip(module.named_parameters(), other.parameters(), strict=True):
            if p.grad is None:
                assert q.grad is None
                continue
            assert q.grad is not None
            assert torch.allclose(p.grad, q.grad, rtol=1e-3, atol=1e-5), name


def test_the_initial_network_depends_on_the_seed_alone(tiny: ModuleType):
    recipe = tiny.recipe()
    a, b = initial_model(recipe), initial_model(recipe)
    c = initial_model(recipe.model_copy(update={"seed": 4}))
    assert all(torch.equal(p, q) for p, q in zip(a.parameters(), b.parameters(), strict=True))
    assert any(not torch.equal(p, q) for p, q in zip(a.parameters(), c.parameters(), strict=True))


def test_bf16_on_the_cpu_is_near_and_keeps_float32_weights(tiny: ModuleType, patterns: Path):
    recipe = tiny.recipe()
    batch, labels = one_batch(tiny, patterns, recipe)
    learner, loss = stepped(recipe, batch, labels, precision="bf16")
    _, exact = stepped(recipe, batch, labels)
    assert loss == pytest.approx(exact, rel=0.1)
    assert all(p.dtype == torch.float32 for p in learner.model.parameters())


def test_precisions_by_name():
    assert autocast_dtype(CPU, "auto") is None
    assert autocast_dtype(CPU, "bf16") is torch.bfloat16
    assert autocast_dtype(torch.device("cuda"), "fp16") is torch.float16
    with pytest.raises(UserError, match="fp8"):
        autocast_dtype(CPU, "fp8")
    with pytest.raises(MachineError, match="GPU"):
        autocast_dtype(CPU, "fp16")


def test_average_and_momentum_encoder_start_as_the_model_and_follow_it(tiny: ModuleType, patterns: Path):
    recipe = tiny.recipe(
        memory={"size": 20, "momentum": 0.5}, optimiser={"lr": 1e-2, "ema": 0.9, "warmup": 0.0}
    )
    batch, labels = one_batch(tiny, patterns, recipe)
    start = initial_model(recipe)
    learner, _ = stepped(recipe, batch, labels)
    assert learner.average is not None
    assert learner.slow is not None
    assert not learner.slow.training
    rows = zip(start.parameters(), learner.model.parameters(), learner.average.parameters(), strict=True)
    for first, now, mean in rows:
        assert torch.allclose(mean, 0.9 * first + 0.1 * now, atol=1e-6)
