import pytest
import torch
from torch import nn

from vitret.core.networks import ModelSpec, Part
from vitret.describe.folding import folded
from vitret.models.model import Retriever, build_model


def network(arch: str) -> Retriever:
    torch.manual_seed(0)
    backbone = Part(name="timm_model", options={"arch": arch, "pretrained": False})
    model = build_model(ModelSpec(backbone=backbone, head=Part(name="gem")))
    for module in model.modules():
        if isinstance(module, nn.BatchNorm2d):
            nn.init.uniform_(module.running_mean, -0.1, 0.1)
            nn.init.uniform_(module.running_var, 0.5, 2)
            nn.init.uniform_(module.bias, -0.1, 0.1)
    return model.eval()


@pytest.mark.parametrize("arch", ["test_efficientnet", "test_resnet", "resnet18"])
@torch.no_grad()
def test_folding_changes_nothing_but_the_number_of_layers(arch):
    model = network(arch)
    before = {name: value.clone() for name, value in model.state_dict().items()}
    lean = folded(model)
    images = torch.randn(2, 3, 72, 104, generator=torch.Generator().manual_seed(1))
    torch.testing.assert_close(lean(images), model(images), rtol=0, atol=1e-5)
    assert not [m for m in lean.modules() if isinstance(m, nn.BatchNorm2d)]
    assert all(torch.equal(before[name], value) for name, value in model.state_dict().items())


@torch.no_grad()
def test_what_cannot_be_folded_is_left_alone():
    for arch in ("test_vit", "test_nfnet"):
        model = network(arch)
        assert folded(model) is model


@torch.no_grad()
def test_kernels_lie_as_the_maps_they_see_and_that_changes_no_byte():
    lean = folded(network("test_resnet"))
    kernels = [m.weight for m in lean.modules() if isinstance(m, nn.Conv2d) and m.kernel_size != (1, 1)]
    assert kernels
    assert all(w.is_contiguous(memory_format=torch.channels_last) for w in kernels)
    images = torch.randn(1, 3, 72, 104, generator=torch.Generator().manual_seed(1))
    images = images.to(memory_format=torch.channels_last)
    found = lean(images)
    assert torch.equal(lean.to(memory_format=torch.contiguous_format)(images), found)


@torch.no_grad()
def test_what_is_not_folded_is_shared_with_the_network():
    model = network("test_resnet")
    lean = folded(model)
    assert lean.head.p is model.head.p
    assert {id(m.weight) for m in lean.modules() if isinstance(m, nn.Conv2d)}.isdisjoint(
        map(id, model.parameters())
    )
