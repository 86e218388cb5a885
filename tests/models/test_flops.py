"""The first convention gives Table 1 of the IRT paper (arXiv 2102.05644), the second what irt.md 1.2 computed."""

import pytest
import torch

from vitret.core.networks import ModelSpec, Part
from vitret.models.flops import count_flops, shape_only

pytestmark = pytest.mark.slow


def spec(arch):
    return ModelSpec(backbone=Part(name="timm_model", options={"arch": arch}), head=Part(name="cls"))


@pytest.mark.parametrize(
    ("arch", "size", "linear", "attention"),
    [
        ("deit_small_patch16_224", 224, 8.482, 9.20),
        ("deit_small_distilled_patch16_224", 224, 8.524, 9.25),
        ("deit_base_patch16_224", 224, 33.695, 35.13),
        ("deit_base_distilled_patch16_224", 224, 33.865, 35.31),
        ("deit_base_distilled_patch16_384", 384, 98.864, 111.18),
    ],
)
def test_the_papers_numbers(arch, size, linear, attention):
    found = count_flops(shape_only(spec(arch)), size, size)
    assert found.linear / 1e9 == pytest.approx(linear, abs=6e-4)
    assert found.attention / 1e9 == pytest.approx(attention, abs=6e-3)


def test_one_layer_by_hand():
    conv = torch.nn.Conv2d(3, 5, 2, stride=2)
    found = count_flops(conv, 4, 6)
    assert found.linear == found.attention == 2 * (3 * 5 * 2 * 2) * (2 * 3)


def test_the_model_stays_where_it_is():
    model = torch.nn.Conv2d(3, 5, 2).train()
    count_flops(model, 4, 4)
    assert model.weight.device.type == "cpu"
    assert model.training
