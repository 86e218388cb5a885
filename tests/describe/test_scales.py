import pytest
import torch
from torch.nn import functional

from vitret.core.networks import ModelSpec
from vitret.describe.scales import GEM_P, aggregate, describe, rescaled
from vitret.models.model import build_model


def unit(*degrees: float) -> torch.Tensor:
    angles = torch.deg2rad(torch.tensor(degrees))
    return torch.stack([angles.cos(), angles.sin()], dim=-1)[:, None]


@pytest.mark.parametrize("how", ["mean", "gem", "scale_gem", "max"])
def test_equal_descriptors_stay_as_they_are(how):
    torch.testing.assert_close(aggregate(unit(30, 30, 30), how), unit(30)[0])


def test_each_formula_by_hand():
    two = unit(0, 60)
    x = torch.tensor([0.75, 0.4330127])
    torch.testing.assert_close(aggregate(two, "mean")[0], functional.normalize(x, dim=0))
    cubes = torch.tensor([(1 + 0.5**GEM_P) / 2, 0.8660254**GEM_P / 2]) ** (1 / GEM_P)
    torch.testing.assert_close(aggregate(two, "gem")[0], functional.normalize(cubes, dim=0))
    largest = torch.tensor([1.0, 0.8660254])
    torch.testing.assert_close(aggregate(two, "max")[0], functional.normalize(largest, dim=0))


def test_gem_keeps_signs():
    assert aggregate(unit(180, 180), "gem")[0, 0] == pytest.approx(-1)


def test_scales_reach_the_model_as_multiples_of_the_patch():
    seen = []

    def model(images: torch.Tensor) -> torch.Tensor:
        seen.append(tuple(images.shape[-2:]))
        return functional.normalize(images.mean(dim=(2, 3)), dim=-1)

    images = torch.rand(2, 3, 64, 96)
    described = describe(model, images, scales=(0.7071, 1.0, 1.4142), aggregation="mean", patch=16)
    assert seen == [(48, 64), (64, 96), (96, 128)]
    assert described.norm(dim=1).tolist() == pytest.approx([1, 1])
    assert rescaled(images, 0.01, patch=16).shape[-2:] == (16, 16)


def test_mean_raw_weighs_scales_by_the_length_of_what_the_head_gives():
    """Of (3, 0) and (0, 4) the mean points to (3, 4), of their unit vectors to (1, 1)."""
    raw = torch.tensor([[[3.0, 0.0]], [[0.0, 4.0]]])
    assert aggregate(raw, "mean_raw")[0].tolist() == pytest.approx([0.6, 0.8])
    assert aggregate(functional.normalize(raw, dim=-1), "mean")[0].tolist() == pytest.approx([0.5**0.5] * 2)


def test_mean_raw_takes_the_heads_outputs():
    backbone = {"name": "timm_model", "arch": "test_vit", "pretrained": False}
    model = build_model(ModelSpec.model_validate({"backbone": backbone, "head": "mean"})).eval()
    images = torch.randn(2, 3, 64, 96, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        described = describe(model, images, scales=(1.0, 0.5), aggregation="mean_raw", patch=16)
        outputs = [model.head(model.backbone(x)) for x in (images, rescaled(images, 0.5, patch=16))]
        single = describe(model, images, scales=(1.0,), aggregation="mean_raw", patch=16)
    torch.testing.assert_close(described, functional.normalize(sum(outputs) / 2, dim=-1))
    torch.testing.assert_close(single, functional.normalize(outputs[0], dim=-1))


def test_scale_gem_of_two_scales():
    # SuperGlobal, modules/coarse_retrieval/sgem.py, finite power: (mean (x - least)^10)^(1/10) + least.
    rows = torch.tensor([[[0.6, -0.8]], [[1.0, 0.0]]])
    joined = torch.tensor([((1.4**10 + 1.8**10) / 2) ** 0.1 - 0.8, (0.8**10 / 2) ** 0.1 - 0.8])
    assert torch.allclose(aggregate(rows, "scale_gem"), (joined / joined.norm())[None], atol=1e-6)
