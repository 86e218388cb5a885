"""Shared batch norm alone is the batch norm it replaces; two processes are tested in `test_distributed`."""

from types import ModuleType

import pytest
import torch
from torch import Tensor, nn

from vitret.core.errors import UserError
from vitret.learn import distributed
from vitret.learn.batch_norm import SharedBatchNorm, buffers_kept, learns_batch_norm, share_batch_norm
from vitret.learn.learner import make_learner, train_step
from vitret.learn.loading import Batch
from vitret.models.backbones.timm_model import timm

CPU = torch.device("cpu")


@pytest.mark.parametrize("arch", ["test_efficientnet", "test_resnet"])
def test_alone_a_network_computes_the_same_to_the_last_digit_and_names_the_same_state(arch: str):
    torch.manual_seed(0)
    given = timm.create_model(arch, num_classes=0)
    torch.manual_seed(0)
    changed = timm.create_model(arch, num_classes=0)
    share_batch_norm(changed, CPU)
    assert any(isinstance(module, SharedBatchNorm) for module in changed.modules())
    assert not any(
        type(module) in (nn.BatchNorm2d, timm.layers.BatchNormAct2d) for module in changed.modules()
    )
    assert [*changed.state_dict()] == [*given.state_dict()]
    images = torch.rand(2, 3, 64, 64, generator=torch.Generator().manual_seed(1))
    for training in (True, False):  # in training it also moves running statistics, which evaluation then uses
        given.train(training), changed.train(training)
        assert torch.equal(given(images), changed(images))


@pytest.mark.parametrize("arch", ["test_efficientnet", "test_resnet"])
def test_for_gpus_the_librarys_module_takes_each_place_with_the_same_state(arch: str):
    torch.manual_seed(0)
    given = timm.create_model(arch, num_classes=0).eval()
    images = torch.rand(2, 3, 64, 64, generator=torch.Generator().manual_seed(1))
    expected, names = given(images), [*given.state_dict()]
    share_batch_norm(given, torch.device("cuda"))
    norms = [m for m in given.modules() if isinstance(m, nn.modules.batchnorm._BatchNorm)]
    assert norms
    assert all(isinstance(m, nn.SyncBatchNorm) and not isinstance(m, SharedBatchNorm) for m in norms)
    assert [*given.state_dict()] == names
    assert torch.equal(given.eval()(images), expected)


def test_among_processes_on_a_cpu_torchs_own_module_refuses(monkeypatch: pytest.MonkeyPatch):
    """The reason why ours is there; it may go when this fails."""
    monkeypatch.setattr(torch.distributed, "is_initialized", lambda: True)
    with pytest.raises(ValueError, match="GPU"):
        nn.SyncBatchNorm(3).train()(torch.rand(4, 3))


def test_a_norm_used_twice_stays_one():
    norm = nn.BatchNorm1d(3)
    model = nn.Sequential(norm, nn.Linear(3, 3), norm)
    share_batch_norm(model, CPU)
    assert isinstance(model[0], SharedBatchNorm)
    assert model[0] is model[2]
    assert model[0].weight is norm.weight


def test_buffers_are_as_before_after_passes_that_do_not_count():
    model = nn.Sequential(nn.BatchNorm1d(3)).train()
    with buffers_kept(model):
        model(torch.rand(4, 3))
        assert model[0].num_batches_tracked == 1
    assert model[0].num_batches_tracked == 0
    assert torch.equal(model[0].running_mean, torch.zeros(3))
    assert learns_batch_norm(model)
    assert not learns_batch_norm(model.eval())


def pixels(side: int) -> Tensor:
    return torch.randint(
        0, 256, (6, 3, side, side), dtype=torch.uint8, generator=torch.Generator().manual_seed(side)
    )


def dtop(tiny: ModuleType, **changes: object) -> dict[str, object]:
    head = {"name": "dtop", "dim": 24, "aspp_width": 8, "dilations": [1], "waveblock": "off"}
    return {"model": {"backbone": {**tiny.TINY_VIT, "drop_path": 0.0}, "head": head}, **changes}


def test_a_batch_in_parts_moves_running_statistics_once_a_part(tiny: ModuleType):
    recipe = tiny.recipe(**dtop(tiny, optimiser={"accumulate": 2}))
    batch, labels = Batch(((torch.arange(6), pixels(32)),)), torch.tensor([0, 0, 0, 1, 1, 1])
    learner, other = (
        make_learner(recipe, classes=8, images=48, device=CPU, precision="fp32") for _ in range(2)
    )
    train_step(learner, recipe, batch, labels, step=0)
    other.model.train()
    with torch.no_grad():
        for _, part in batch.split(2).parts:
            other.encode(other.model, part)
    for (name, moved), expected in zip(learner.model.named_buffers(), other.model.buffers(), strict=True):
        assert torch.equal(moved, expected), name


def test_processes_with_images_of_other_sizes_are_refused_where_batch_norm_learns(
    tiny: ModuleType, monkeypatch: pytest.MonkeyPatch
):
    recipe = tiny.recipe(**dtop(tiny, track_image={"policy": "longer", "size": 32}))
    learner = make_learner(recipe, classes=8, images=48, device=CPU, precision="fp32")
    monkeypatch.setattr(distributed, "world", lambda: 2)
    monkeypatch.setattr(distributed, "from_all", lambda value: [value, [(6, 3, 32, 16)]])
    batch = Batch(((torch.arange(6), pixels(32)),))
    with pytest.raises(UserError, match=r"32, 32.*32, 16.*freeze_batch_norm"):
        train_step(learner, recipe, batch, torch.zeros(12, dtype=torch.int64), step=0)
