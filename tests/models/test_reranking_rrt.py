"""Parameter counts: the authors' training log and the layer tables of irt.md 5.3."""

import pytest
import torch

from vitret.models.reranking_rrt import (
    GridRrt,
    LandmarkRrt,
    scale_index,
    sine_positions,
    triple_loss,
)


def count(module):
    return sum(p.numel() for p in module.parameters())


def test_published_sizes():
    assert count(LandmarkRrt()) == 2_243_201
    assert count(GridRrt()) == 1_979_777


def test_the_scale_map_keeps_the_published_mistake():
    scales = [0.5, 0.70710677, 1.0, 1.41421354, 2.0, 2.82842708, 4.0]
    assert scale_index([float(torch.tensor(s)) for s in scales]) == [0, 0, 2, 2, 4, 4, 6]


def image(batch=2, length=5, present=5, seed=0):
    generator = torch.Generator().manual_seed(seed)
    absent = torch.arange(length).expand(batch, -1) >= present
    return (
        torch.randn(batch, 12, generator=generator),
        torch.randn(batch, length, 8, generator=generator),
        torch.randint(0, 7, (batch, length), generator=generator),
        absent,
    )


def small():
    torch.manual_seed(0)
    return LandmarkRrt(global_dim=12, width=8, layers=2, heads=2, hidden=16).eval()


def test_absent_slots_change_nothing():
    model, other = small(), image(seed=1)
    whole, many, scales, absent = image(present=3)
    noisy = many.clone()
    noisy[:, 3:] = 1e3
    expected = model((whole, many, scales, absent), other)
    assert torch.allclose(model((whole, noisy, scales, absent), other), expected, atol=1e-6)
    short = (whole, many[:, :3], scales[:, :3], absent[:, :3])
    assert torch.allclose(model(short, other), expected, atol=1e-6)


def test_length_of_descriptors_does_not_matter():
    model, other = small(), image(seed=1)
    whole, many, scales, absent = image()
    assert torch.allclose(model((whole, 3 * many, scales, absent), other), model(image(), other), atol=1e-5)


def test_order_of_local_descriptors_does_not_matter():
    model, other = small(), image(seed=1)
    whole, many, scales, absent = image()
    turned = (whole, many.flip(1), scales.flip(1), absent.flip(1))
    assert torch.allclose(model(turned, other), model(image(), other), atol=1e-5)


def test_local_descriptors_of_other_widths_are_reduced():
    torch.manual_seed(0)
    sizes = {"global_dim": 12, "width": 8, "layers": 1, "heads": 2, "hidden": 16}
    plain, reduced = LandmarkRrt(**sizes).eval(), LandmarkRrt(inputs=8, **sizes).eval()
    matrix = torch.randn(8, 8)
    reduced.load_state_dict({**plain.state_dict(), "reduce.weight": matrix, "reduce.bias": torch.zeros(8)})
    pair = image(), image(seed=1)
    turned = [(whole, many @ matrix.T, *rest) for whole, many, *rest in pair]
    assert torch.allclose(reduced(*pair), plain(*turned), atol=1e-5)


def test_maps_of_different_sizes_can_be_compared():
    torch.manual_seed(0)
    model = GridRrt(inputs=6, width=8, layers=1, heads=2, hidden=16)
    left, right = torch.randn(3, 6, 2, 4), torch.randn(3, 6, 5, 3)
    logits = model.eval()(left, right)
    alone = [model(left[i : i + 1], right[i : i + 1]) for i in range(3)]
    assert torch.allclose(logits, torch.cat(alone), atol=1e-5)
    logits.sum().backward()
    assert all(p.grad is not None for p in model.parameters())


def test_sine_positions_follow_detr():
    table = sine_positions(3, 5, 8)
    assert table.shape == (8, 3, 5)
    # Row 2 of 3 stands at 2/3 of the scale; its first pair of channels turns at rate 1.
    assert table[0, 1, 0].item() == pytest.approx(torch.tensor(2 / 3 * 2).sin().item(), abs=1e-5)
    assert table[1, 1, 0].item() == pytest.approx(torch.tensor(2 / 3 * 2).cos().item(), abs=1e-5)
    assert torch.equal(table[:4, :, 0], table[:4, :, 4])
    assert torch.equal(table[4:, 0], table[4:, 2])


def test_triples_teach_it():
    torch.manual_seed(0)
    model = LandmarkRrt(global_dim=12, width=8, layers=1, heads=2, hidden=16)
    anchor, positive, negative = image(8, seed=0), image(8, seed=0), image(8, seed=3)
    optimiser = torch.optim.AdamW(model.parameters(), lr=1e-2)
    losses = []
    for _ in range(20):
        loss = triple_loss(model(anchor, positive), model(anchor, negative))
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        losses.append(loss.item())
    assert losses[-1] < losses[0] / 2
