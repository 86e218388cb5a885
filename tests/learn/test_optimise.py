"""The learning rate at named steps, and which weights learn how fast."""

import math

import pytest
import torch
from torch import nn

from vitret.core.recipes import OptimiserSpec
from vitret.learn.optimise import batch_norm_to_eval, lr_at, make_optimiser, set_lr, update_copy


def test_warm_up_rises_in_a_line_and_the_cosine_falls_to_the_final_rate():
    spec = OptimiserSpec(lr=1.0, warmup=0.1, final_lr=0.2)
    values = [lr_at(step, total=100, epoch=0, spec=spec) for step in range(101)]
    assert values[0] == pytest.approx(0.1)
    assert values[9] == pytest.approx(1.0)
    assert values[10] == pytest.approx(1.0)
    assert values[55] == pytest.approx(0.6)
    assert values[100] == pytest.approx(0.2)


def test_constant_and_exponential():
    assert lr_at(99, total=100, epoch=9, spec=OptimiserSpec(lr=0.5, schedule="constant")) == 0.5
    spec = OptimiserSpec(lr=0.5, schedule="exponential", decay=math.exp(-0.01), warmup=0)
    assert lr_at(50, total=100, epoch=7, spec=spec) == pytest.approx(0.5 * math.exp(-0.07))


@pytest.mark.parametrize("name", ["adamw", "adam", "sgd"])
def test_head_learns_at_its_own_rate_and_vectors_do_not_decay(name: str):
    backbone, head = nn.Linear(2, 2), nn.Linear(2, 3)
    spec = OptimiserSpec.model_validate({"name": name, "lr": 0.1, "weight_decay": 0.5, "head_lr_factor": 10})
    optimiser = make_optimiser(spec, backbone, [head], fused=False)
    set_lr(optimiser, 0.01)
    found = {id(p): (g["lr"], g["weight_decay"]) for g in optimiser.param_groups for p in g["params"]}
    assert found[id(backbone.weight)] == (pytest.approx(0.01), 0.5)
    assert found[id(backbone.bias)] == (pytest.approx(0.01), 0.0)
    assert found[id(head.weight)] == (pytest.approx(0.1), 0.5)


def test_a_slow_copy_moves_by_one_minus_its_momentum():
    slow, fast = nn.BatchNorm1d(2), nn.BatchNorm1d(2)
    with torch.no_grad():
        fast.weight.fill_(2.0)
    fast.running_mean = torch.ones(2)
    update_copy(slow, fast, 0.9)
    assert torch.allclose(slow.weight, torch.full((2,), 1.1))
    assert slow.running_mean is not None
    assert torch.equal(slow.running_mean, torch.ones(2))


def test_frozen_batch_norm_still_learns_scale_and_shift():
    model = nn.Sequential(nn.Linear(2, 2), nn.BatchNorm1d(2)).train()
    batch_norm_to_eval(model)
    assert model[0].training
    assert not model[1].training
    assert all(p.requires_grad for p in model[1].parameters())
