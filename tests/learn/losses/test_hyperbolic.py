"""The hyperbolic loss against loops over exponential map, Möbius addition and pairs, and its two limits."""

import math

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from vitret.core.errors import UserError
from vitret.learn.losses import hyperbolic
from vitret.learn.losses.hyperbolic import poincare_distance


def rows(n: int = 8, dim: int = 4) -> Tensor:
    return F.normalize(torch.randn(n, dim, generator=torch.Generator().manual_seed(0), dtype=torch.float64))


def on_the_ball(z: Tensor, c: float, radius: float) -> Tensor:
    """The exponential map at 0 of a vector clipped to `radius`: tanh(√c‖v‖) v / (√c‖v‖)."""
    v = z * radius / z.norm()
    return torch.tanh(math.sqrt(c) * v.norm()) * v / (math.sqrt(c) * v.norm())


def moebius(x: Tensor, y: Tensor, c: float) -> Tensor:
    above = (1 + 2 * c * (x @ y) + c * (y @ y)) * x + (1 - c * (x @ x)) * y
    return above / (1 + 2 * c * (x @ y) + c**2 * (x @ x) * (y @ y))


def distance(a: Tensor, b: Tensor, c: float, radius: float) -> Tensor:
    x, y = on_the_ball(a, c, radius), on_the_ball(b, c, radius)
    return 2 / math.sqrt(c) * torch.atanh(math.sqrt(c) * moebius(-x, y, c).norm())


def naive(z: Tensor, y: Tensor, c: float, radius: float, temperature: float) -> Tensor:
    costs = []
    for i in range(len(z)):
        for j in range(len(z)):
            if i == j or y[i] != y[j]:
                continue
            rivals = [k for k in range(len(z)) if k == j or y[k] != y[i]]
            powers = [torch.exp(-distance(z[i], z[k], c, radius) / temperature) for k in rivals]
            costs.append(-torch.log(powers[rivals.index(j)] / torch.stack(powers).sum()))
    return torch.stack(costs).mean()


@pytest.mark.parametrize(("c", "radius"), [(0.1, 2.3), (1.0, 1.0)])
def test_hyperbolic_is_its_formula_with_the_loops_gradient(c: float, radius: float):
    z, y = rows().requires_grad_(), torch.tensor([0, 0, 1, 1, 1, 2, 2, 3])  # 3 has no positive
    ours = hyperbolic.build(4, 4, curvature=c, radius=radius)(z, y)
    theirs = naive(z, y, c, radius, 0.2)
    assert torch.allclose(ours, theirs, atol=1e-10)
    by_us, by_loops = torch.autograd.grad(ours, z)[0], torch.autograd.grad(theirs, z)[0]
    # On the sphere: the loops divide by ‖z‖, ours takes unit rows as they come.
    along = (by_us * z).sum(dim=1, keepdim=True) * z
    assert torch.allclose(by_us - along, by_loops, atol=1e-9)


def test_two_images_a_class_give_half_of_the_public_codes_sum():
    # hyp_metric c89de04, train.py: cross-entropy of x0 against [x1, x0 without itself], summed over both orders.
    z = rows()
    first, second = z[0::2], z[1::2]
    total = 0.0
    for a, b in ((first, second), (second, first)):
        near = -torch.stack([torch.stack([distance(x, k, 0.1, 2.3) for k in b]) for x in a]) / 0.2
        own = torch.stack(
            [
                torch.stack([near.new_tensor(-1e9) if x is k else -distance(x, k, 0.1, 2.3) / 0.2 for k in a])
                for x in a
            ]
        )
        own = own.masked_fill(torch.eye(4, dtype=torch.bool), -1e9)
        total += float(F.cross_entropy(torch.cat([near, own], dim=1), torch.arange(4)))
    ours = hyperbolic.build(4, 4)(z, torch.arange(8) // 2)
    assert float(ours) == pytest.approx(total / 2, rel=1e-10)


def test_a_small_curvature_gives_twice_the_straight_distance():
    z = rows()
    straight = torch.cdist(2.3 * z, 2.3 * z)
    assert torch.allclose(poincare_distance(z, curvature=1e-6, radius=2.3), 2 * straight, atol=1e-4)


def test_curvature_0_is_the_spherical_loss():
    z, y = rows(), torch.arange(8) // 2
    logits = (z @ z.T / 0.1).fill_diagonal_(-torch.inf)
    expected = F.cross_entropy(
        logits, torch.arange(8) ^ 1
    )  # with two images a class nothing else is left out
    assert torch.allclose(hyperbolic.build(4, 4, curvature=0.0, temperature=0.1)(z, y), expected, atol=1e-12)


def test_hyperbolic_ranks_as_the_cosine_does():
    z = rows()
    far = poincare_distance(z, curvature=0.1, radius=2.3)[0, 1:]
    assert torch.equal(far.argsort(), (z[1:] @ z[0]).argsort(descending=True))


@pytest.mark.parametrize("radius", [2.3, 100.0])
def test_twins_opposites_and_batches_without_pairs_have_finite_gradients(radius: float):
    z = torch.tensor([[1.0, 0.0], [1.0, 0.0], [-1.0, 0.0]], requires_grad=True)
    loss = hyperbolic.build(2, 3, radius=radius)
    for y in ([0, 0, 1], [0, 1, 1], [0, 0, 0], [0, 1, 2]):
        value = loss(z, torch.tensor(y))
        (gradient,) = torch.autograd.grad(value, z)
        assert torch.isfinite(value)
        assert torch.isfinite(gradient).all()
    assert value.item() == 0


def test_a_negative_curvature_is_refused():
    with pytest.raises(UserError, match="curvature"):
        hyperbolic.build(2, 2, curvature=-1.0)
