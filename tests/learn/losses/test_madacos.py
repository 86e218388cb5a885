"""MadaCos against loops from its code's formulas, its two adapted numbers by what they mean, and its gradient."""

import math

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from vitret.core.errors import UserError
from vitret.learn.losses import madacos


def a_batch() -> tuple[madacos.MadaCos, Tensor, Tensor]:
    """Six rows of four classes, some near their class, some far: the lower median is a middle one."""
    torch.manual_seed(0)
    loss, y = madacos.build(5, 4).double(), torch.tensor([0, 1, 2, 3, 0, 1])
    z = F.normalize(F.normalize(loss.weight.detach())[y] + 0.5 * torch.randn(6, 5, dtype=torch.float64))
    return loss, z, y


def naive(
    z: Tensor, y: Tensor, weight: Tensor, alpha: float = 0.02, least: float = 32.0
) -> tuple[Tensor, float, float]:
    cosine = (z @ F.normalize(weight).T).tolist()
    own = [cosine[i][y[i]] for i in range(len(z))]
    median = sorted(own)[(len(own) - 1) // 2]
    at = own.index(median)
    scale = max(math.log(9999999 * (1 - alpha) / alpha) / (1 - median), least)
    wrong = sum(math.exp(scale * cosine[at][c]) for c in range(len(weight)) if c != y[at])
    margin = max(median - math.log(wrong * alpha / (1 - alpha)) / scale, 0.0)
    total = z.new_zeros(())
    for i in range(len(z)):
        logits = [scale * (z[i] @ w / w.norm() - (margin if c == y[i] else 0)) for c, w in enumerate(weight)]
        total = total - logits[y[i]] + torch.stack(logits).logsumexp(0)
    return total / len(z), scale, margin


def test_madacos_is_its_formula_with_the_loops_gradient():
    loss, z, y = a_batch()
    expected, scale, margin = naive(z.requires_grad_(), y, loss.weight)
    assert margin > 0
    assert scale > 32
    ours = loss(z, y)
    assert torch.allclose(ours, expected, atol=1e-11)
    given = [z, loss.weight]
    for one, other in zip(
        torch.autograd.grad(ours, given), torch.autograd.grad(expected, given), strict=True
    ):
        assert torch.allclose(one, other, atol=1e-10)


def test_the_median_image_has_the_probability_alpha_and_a_perfect_one_almost_one():
    loss, z, y = a_batch()
    cosine, own = z @ F.normalize(loss.weight.detach()).T, F.one_hot(y, 4).bool()
    scale, margin = loss.adapted(cosine, own)
    _, at = cosine[own].median(dim=0)
    logits = scale * torch.where(own, cosine - margin, cosine)[at]
    assert float(logits.softmax(0)[y[at]]) == pytest.approx(0.02)
    logits[y[at]] = scale * (1 - margin)
    assert float(logits.softmax(0)[y[at]]) == pytest.approx(1 - 1e-7, abs=1e-9)


def test_far_images_get_the_least_scale_and_no_margin():
    loss, z, y = a_batch()
    away = F.normalize(-F.normalize(loss.weight.detach())[y] + 0.1 * z)
    expected, scale, margin = naive(away, y, loss.weight)
    assert (scale, margin) == (32.0, 0.0)
    assert torch.allclose(loss(away, y), expected, atol=1e-11)


def test_a_batch_of_exact_hits_stays_finite_in_float32():
    loss, _, y = a_batch()
    z = F.normalize(loss.float().weight.detach())[y].requires_grad_()
    value = loss(z, y)
    value.backward()
    assert torch.isfinite(value)
    assert torch.isfinite(z.grad).all()


def test_descending_brings_images_nearer_to_their_class_than_to_others():
    loss, _, y = a_batch()
    z = F.normalize(torch.randn(6, 5, dtype=torch.float64, generator=torch.Generator().manual_seed(1)))
    z.requires_grad_()
    own = []
    for _ in range(40):
        unit = F.normalize(z)
        own.append((unit @ F.normalize(loss.weight).T)[range(6), y].min().item())
        (gradient,) = torch.autograd.grad(loss(unit, y), z)
        z = (z - 0.01 * gradient).detach().requires_grad_()
    assert own[0] < -0.4
    assert own[-1] > 0.4


def test_an_alpha_that_is_no_probability_is_refused():
    with pytest.raises(UserError, match="alpha"):
        madacos.build(5, 4, alpha=1.0)
