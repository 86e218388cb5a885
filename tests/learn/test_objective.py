"""The memory's ring and the sum of losses, against lists kept by hand."""

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from vitret.core.errors import UserError
from vitret.core.recipes import LossSpec, MemorySpec
from vitret.learn.losses import contrastive, koleo
from vitret.learn.memory import Memory
from vitret.learn.objective import Objective, build_objective


def unit(n: int, seed: int) -> Tensor:
    return F.normalize(torch.randn(n, 3, generator=torch.Generator().manual_seed(seed)))


def make(memory: MemorySpec | None, *losses: LossSpec, images: int = 10) -> Objective:
    return build_objective(losses, memory, dim=3, classes=2, images=images, batch=4)


def test_the_ring_keeps_the_last_rows_whatever_the_batch():
    memory = Memory(5, 3)
    written: list[Tensor] = []
    for step, size in enumerate((2, 2, 3, 1, 4)):
        rows = unit(size, step)
        slots = memory.write(rows, torch.zeros(size, dtype=torch.int64))  # label 0 is a label like any other
        written += list(rows)
        assert torch.equal(memory.rows[slots], rows)
        kept = sorted(row.tolist() for row in memory.filled()[0])
        assert kept == sorted(row.tolist() for row in written[-5:])


def test_the_ring_goes_on_where_its_state_was_saved():
    one, two = Memory(5, 3), Memory(5, 3)
    one.write(unit(4, 0), torch.zeros(4, dtype=torch.int64))
    two.load_state_dict(one.state_dict())
    for memory in (one, two):
        memory.write(unit(3, 1), torch.ones(3, dtype=torch.int64))
    assert torch.equal(one.rows, two.rows)
    assert torch.equal(one.labels, two.labels)
    assert two.written == 7


def test_losses_are_summed_by_weight():
    z, y = unit(4, 0), torch.tensor([0, 0, 1, 1])
    objective = make(None, LossSpec(name="contrastive"), LossSpec(name="koleo", weight=0.7))
    loss, terms = objective(z, y, step=0)
    expected = contrastive.build(3, 2)(z, y) + 0.7 * koleo.build(3, 2)(z, y)
    assert loss.item() == pytest.approx(expected.item(), rel=1e-6)
    assert set(terms) == {"contrastive", "koleo"}


def test_batch_and_memory_losses_add_up_as_in_xbm():
    objective = make(MemorySpec(size=6, start=1, weight=0.5), LossSpec(name="contrastive", weight=2.0))
    y = torch.tensor([0, 0, 1, 1])
    past, z = unit(4, 0), unit(4, 1).requires_grad_()
    warm, terms = objective(past, y, step=0)
    assert "contrastive memory" not in terms
    assert warm.item() == pytest.approx(2 * contrastive.build(3, 2)(past, y).item(), rel=1e-6)
    loss, _ = objective(z, y, step=1)
    # Slots 4, 5, 0, 1 are overwritten by the new batch: keys are z2 z3 past2 past3 z0 z1 by slot.
    keys = torch.cat([z[2:], past[2:], z[:2]]).detach()
    key_labels, own = torch.cat([y[2:], y[2:], y[:2]]), torch.tensor([4, 5, 0, 1])
    naive = torch.zeros(())
    for i in range(4):
        for j in range(6):
            if j != own[i]:
                s = z[i] @ keys[j]
                naive = naive + (1 - s if y[i] == key_labels[j] else (s - 0.5).clamp(min=0))
    expected = 2 * (contrastive.build(3, 2)(z, y) + 0.5 * naive / 4)
    assert loss.item() == pytest.approx(expected.item(), rel=1e-5)
    assert torch.allclose(torch.autograd.grad(loss, z)[0], torch.autograd.grad(expected, z)[0], atol=1e-6)


def test_keys_of_a_momentum_encoder_enter_the_memory():
    objective = make(MemorySpec(size=8), LossSpec(name="contrastive"))
    keys = unit(4, 3)
    objective(unit(4, 0), torch.tensor([0, 0, 1, 1]), step=0, keys=keys)
    assert objective.memory is not None
    assert torch.equal(objective.memory.filled()[0], keys)


@pytest.mark.parametrize(("size", "rows"), [(1.0, 10), (0.5, 5), (7, 7), (0.1, 4)])
def test_a_memory_is_rows_or_a_share_of_the_images_and_holds_a_batch(size: float, rows: int):
    memory = make(MemorySpec(size=size), LossSpec(name="contrastive")).memory
    assert memory is not None
    assert memory.size == rows


def test_a_memory_that_no_loss_can_use_is_refused():
    with pytest.raises(UserError, match="can use it"):
        make(MemorySpec(), LossSpec(name="arcface"))
