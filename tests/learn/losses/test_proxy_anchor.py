"""Proxy anchor against two nested loops from the formula, and its gradient by hand."""

import math

import torch
import torch.nn.functional as F
from torch import Tensor

from vitret.learn.losses import proxy_anchor


def a_batch() -> tuple[torch.nn.Module, Tensor, Tensor]:
    """Nine unit rows of classes 0, 1 and 2; the class 3 has no image."""
    torch.manual_seed(0)
    loss = proxy_anchor.build(5, 4).double()
    return loss, F.normalize(torch.randn(9, 5, dtype=torch.float64)), torch.arange(9) % 3


def naive(z: Tensor, y: Tensor, weight: Tensor, margin: float = 0.1, scale: float = 32.0) -> Tensor:
    pull, push, present = z.new_zeros(()), z.new_zeros(()), 0
    for c in range(len(weight)):
        near, far = z.new_ones(()), z.new_ones(())
        for i in range(len(z)):
            s = z[i] @ weight[c] / weight[c].norm()
            if y[i] == c:
                near = near + torch.exp(-scale * (s - margin))
            else:
                far = far + torch.exp(scale * (s + margin))
        present += int(c in y)
        pull, push = pull + near.log(), push + far.log()
    return pull / present + push / len(weight)


def test_proxy_anchor_is_its_formula():
    loss, z, y = a_batch()
    assert torch.allclose(loss(z, y), naive(z, y, loss.weight), atol=1e-12)
    assert not torch.allclose(loss(z, y), naive(z, y, loss.weight, margin=0.0))


def test_proxy_anchor_gradient_is_the_loops_and_the_one_by_hand():
    """dL/ds = −scale·h⁺/(1 + Σh⁺)/|P⁺| for a positive, scale·h⁻/(1 + Σh⁻)/|P| for a negative (h: its exponential)."""
    loss, z, y = a_batch()
    z.requires_grad_()
    ours = torch.autograd.grad(loss(z, y), [z, loss.weight])
    for one, other in zip(ours, torch.autograd.grad(naive(z, y, loss.weight), [z, loss.weight]), strict=True):
        assert torch.allclose(one, other, atol=1e-11)
    unit, by_hand = F.normalize(loss.weight.detach()), torch.zeros_like(z)
    cosine = (z.detach() @ unit.T).tolist()
    for c in range(4):
        near = sum(math.exp(-32 * (cosine[i][c] - 0.1)) for i in range(9) if y[i] == c)
        far = sum(math.exp(32 * (cosine[i][c] + 0.1)) for i in range(9) if y[i] != c)
        for i in range(9):
            if y[i] == c:
                by_hand[i] -= 32 * math.exp(-32 * (cosine[i][c] - 0.1)) / (1 + near) / 3 * unit[c]
            else:
                by_hand[i] += 32 * math.exp(32 * (cosine[i][c] + 0.1)) / (1 + far) / 4 * unit[c]
    assert torch.allclose(ours[0], by_hand, atol=1e-10)


def test_proxy_anchor_does_not_overflow_where_the_exponentials_do():
    loss, z, y = a_batch()
    hot = proxy_anchor.build(5, 4, scale=200.0)
    hot.load_state_dict(loss.state_dict())
    value = hot(z.float(), y)
    value.backward()
    assert torch.isinf(naive(z.float(), y, hot.weight, scale=200.0))
    assert torch.isfinite(value)
    assert torch.isfinite(hot.weight.grad).all()
