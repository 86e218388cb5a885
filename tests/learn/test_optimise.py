"""The learning rate at named steps, and which weights learn how fast."""

import math

import pytest
import torch
from torch import nn

from vitret.core import plugins
from vitret.core.errors import UserError
from vitret.core.recipes import OptimiserSpec
from vitret.learn.optimise import batch_norm_to_eval, freeze, lr_at, make_optimiser, set_lr, update_copy


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
    optimiser = make_optimiser(spec, backbone, {"head": head}, fused=False)
    set_lr(optimiser, 0.01)
    found = {id(p): (g["lr"], g["weight_decay"]) for g in optimiser.param_groups for p in g["params"]}
    assert found[id(backbone.weight)] == (pytest.approx(0.01), 0.5)
    assert found[id(backbone.bias)] == (pytest.approx(0.01), 0.0)
    assert found[id(head.weight)] == (pytest.approx(0.1), 0.5)


class Pooled(nn.Module):
    """A head as the heads here are: an exponent called p, and a layer with a bias."""

    def __init__(self) -> None:
        super().__init__()
        self.p = nn.Parameter(torch.tensor([3.0]))
        self.fc = nn.Linear(2, 3)


def groups_of(spec: OptimiserSpec, backbone: nn.Module, head: nn.Module) -> dict[str, tuple[float, float]]:
    """Name → (rate, decay)."""
    optimiser = make_optimiser(spec, backbone, {"head": head}, fused=False)
    both = {"backbone": backbone, "head": head}
    names = {id(p): n for part, module in both.items() for n, p in module.named_parameters(prefix=part)}
    return {names[id(p)]: (g["lr"], g["weight_decay"]) for g in optimiser.param_groups for p in g["params"]}


def test_named_weights_have_a_rate_of_their_own_and_the_first_pattern_wins():
    spec = OptimiserSpec(lr=1e-6, weight_decay=0.5, lr_factors={"head.fc.*": 1e4, "head.*": 10.0})
    found = groups_of(spec, nn.Linear(2, 2), Pooled())
    assert found["head.fc.weight"] == (pytest.approx(1e-2), 0.5)
    assert found["head.p"] == (pytest.approx(1e-5), 0.0)
    assert found["backbone.weight"] == (pytest.approx(1e-6), 0.5)


def test_a_pattern_that_fits_no_weight_is_refused():
    spec = OptimiserSpec(lr_factors={"backbone.soa*": 100.0, "head.*": 10.0})
    with pytest.raises(UserError, match=r"no weight that learns is called like 'backbone\.soa\*'"):
        groups_of(spec, nn.Linear(2, 2), Pooled())


def test_vectors_decay_on_demand_but_never_an_exponent():
    spec = OptimiserSpec(weight_decay=0.5, decay_vectors=True)
    decays = {name: decay for name, (_, decay) in groups_of(spec, nn.Linear(2, 2), Pooled()).items()}
    assert decays == {
        "backbone.weight": 0.5,
        "backbone.bias": 0.5,
        "head.p": 0.0,
        "head.fc.weight": 0.5,
        "head.fc.bias": 0.5,
    }


def test_everything_decays_where_the_recipe_says_so():
    # DOLG 63b117d, core/optimizer.py: one group of all parameters, its GeM's p among them.
    found = groups_of(OptimiserSpec(weight_decay=0.5, decay_all=True), nn.Linear(2, 2), Pooled())
    assert {decay for _, decay in found.values()} == {0.5}


def test_what_no_pattern_names_is_frozen_and_gradients_still_pass_through_it():
    backbone, head = nn.Sequential(nn.Linear(2, 2), nn.Linear(2, 2)), Pooled()
    freeze(OptimiserSpec(learns=("backbone.0.*", "head.p")), backbone, {"head": head})
    backbone(torch.ones(1, 2)).sum().backward()
    assert backbone[0].weight.grad is not None
    assert backbone[1].weight.grad is None
    assert groups_of(OptimiserSpec(), backbone, head).keys() == {
        "backbone.0.weight",
        "backbone.0.bias",
        "head.p",
    }


def test_without_patterns_nothing_is_frozen_or_thawed():
    backbone = nn.Linear(2, 2)
    backbone.bias.requires_grad_(False)
    for learns in (None, ("*",)):
        freeze(OptimiserSpec(learns=learns), backbone, {})
        assert (backbone.weight.requires_grad, backbone.bias.requires_grad) == (True, False)


def test_a_pattern_of_what_learns_that_fits_nothing_is_refused():
    with pytest.raises(UserError, match=r"no weight is called like 'head\.soa\*'"):
        freeze(OptimiserSpec(learns=("head.soa*", "head.*")), nn.Linear(2, 2), {"head": Pooled()})


@pytest.mark.parametrize(
    ("name", "options", "tables"),
    [
        (
            "conv_stem_vit",
            {"width": 12, "depth": 1, "heads": 3, "channels": 4, "img_size": 32},
            ["cls_token", "pos_embed"],
        ),
        (
            "timm_model",
            {
                "arch": "vit_tiny_patch16_224",
                "pretrained": False,
                "arch_options": {"embed_dim": 12, "depth": 1, "num_heads": 3},
            },
            ["model.cls_token", "model.pos_embed"],
        ),
    ],
)
def test_class_token_and_positions_never_decay(name: str, options: dict[str, object], tables: list[str]):
    backbone = plugins.build("backbones", name, **options)
    found = groups_of(OptimiserSpec(weight_decay=0.5, decay_vectors=True), backbone, nn.Linear(2, 2))
    spared = {name.removeprefix("backbone.") for name, (_, decay) in found.items() if decay == 0}
    assert spared == set(tables)


def test_fields_that_came_later_leave_older_recipes_who_they_were():
    assert not {"lr_factors", "decay_vectors", "decay_all", "learns"} & OptimiserSpec().model_dump().keys()
    assert OptimiserSpec(decay_vectors=True).model_dump()["decay_vectors"] is True


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
