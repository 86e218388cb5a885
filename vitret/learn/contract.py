"""What every loss and every sampler must do: the contract of both, as checks on the CPU."""

import copy
import functools
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional

from vitret.core import plugins
from vitret.core.contract import Stage
from vitret.core.errors import listed
from vitret.core.records import Int64
from vitret.learn.sampling import Describe, Facts, Sampler

# Fourteen rows are two tuples of a query, a positive and five negatives, the default of losses over tuples.
_ROWS, _DIM, _CLASSES = 14, 8, 14
# Clusters of three rows and one of two; no positives at all; one class.
_BATCHES = {
    "a batch": torch.arange(_ROWS) // 3,
    "a batch without positives": torch.arange(_ROWS),
    "a batch of one class": torch.zeros(_ROWS, dtype=torch.int64),
}
_USUAL = "a batch"
_STEPS = 30

MakeLoss = Callable[[int], nn.Module]
"""A new loss; its weights are drawn from this seed."""


def unit_rows(seed: int = 0) -> Tensor:
    """Descriptors (B, D) of unit length, as a network gives them, neighbours of each other."""
    drawn = torch.randn(_ROWS, _DIM, generator=torch.Generator().manual_seed(seed))
    return functional.normalize(0.6 * drawn + 0.4, dim=1)


def one_number(make: MakeLoss, batch: str) -> Iterator[str]:
    """A finite scalar that has a gradient; the descriptors and labels that came in stay as they are."""
    rows, labels = unit_rows(), _BATCHES[batch].clone()
    before = rows.clone()
    value = make(0)(rows.requires_grad_(), labels)
    if not isinstance(value, Tensor) or value.shape != () or not value.is_floating_point():
        shape = (
            f"a tensor of shape {tuple(value.shape)}" if isinstance(value, Tensor) else type(value).__name__
        )
        yield f"{batch}: the loss is {shape}, not one floating-point number; end with .mean() or .sum()."
        return
    if not torch.isfinite(value):
        yield f"{batch}: the loss is {value.item()}; divide by a count that is at least one (clamp(min=1))."
    if not torch.equal(rows.detach(), before) or not torch.equal(labels, _BATCHES[batch]):
        yield f"{batch}: the loss changes the descriptors or labels it is given; work on a copy."


def gradient(make: MakeLoss, batch: str) -> Iterator[str]:
    """The gradient reaches the descriptors and, of a usual batch, every weight of the loss; it is finite."""
    loss, rows = make(0), unit_rows().requires_grad_()
    value = loss(rows, _BATCHES[batch])
    if not value.requires_grad:
        yield (
            f"{batch}: no gradient: the loss does not depend on the descriptors (detach, no_grad or numpy on the way, "
            "or a constant 0.0: take `descriptors.sum() * 0`)."
        )
        return
    value.backward()
    weights = {n: p for n, p in loss.named_parameters() if p.requires_grad}
    if batch == _USUAL:
        if rows.grad is None or not rows.grad.any():
            yield f"{batch}: no gradient reaches the descriptors: the network would never learn."
        without = [n for n, p in weights.items() if p.grad is None or not p.grad.any()]
        if without:
            yield f"{batch}: no gradient reaches {listed(without)} of the loss: it would never learn."
    found = [rows.grad, *(p.grad for p in weights.values())]
    if any(g is not None and not torch.isfinite(g).all() for g in found):
        yield f"{batch}: the gradient is not finite."


def same_under_a_seed(make: MakeLoss) -> Iterator[str]:
    """The same seed and batch give the same value."""
    values = []
    for _ in range(2):
        loss = make(0)
        torch.manual_seed(3)
        values.append(loss(unit_rows(), _BATCHES[_USUAL]))
    if not torch.equal(*values):
        yield "the same seed gives different values: use torch's random numbers alone."


def survives_saving(make: MakeLoss) -> Iterator[str]:
    """A loss that is saved in the middle of a training and loaded continues with the same values."""
    loss = make(0).train()
    for seed in range(3):
        loss(unit_rows(seed), _BATCHES[_USUAL])
    saved = copy.deepcopy(loss.state_dict())
    other = make(1).train()
    other.load_state_dict(saved)
    values = []
    for one in (loss, other):
        torch.manual_seed(3)
        values.append(one(unit_rows(9), _BATCHES[_USUAL]))
    if not torch.equal(*values):
        yield (
            "after saving and loading it gives other values: keep what is learned or counted in parameters and "
            "buffers (register_buffer), not in plain attributes."
        )


def falls(make: MakeLoss) -> Iterator[str]:
    """Steps along the gradient on always the same rows lower the loss."""
    loss, rows = make(0).train(), unit_rows().requires_grad_()
    optimiser = torch.optim.Adam([rows, *loss.parameters()], lr=0.03)
    values = []
    for _ in range(_STEPS):
        value = loss(functional.normalize(rows, dim=1), _BATCHES[_USUAL])
        values.append(value.item())
        optimiser.zero_grad()
        value.backward()
        optimiser.step()
    if not values[-1] < values[0]:
        yield (
            f"{_STEPS} steps along its gradient take the loss from {values[0]:.4g} to {values[-1]:.4g}, not down: the "
            "gradient is not that of the value (detach or no_grad in a part of it)."
        )


def loss_stages(name: str, options: Mapping[str, Any]) -> list[Stage]:
    """The contract of a loss, on batches with positives, without any, and of one class."""

    def make(seed: int) -> nn.Module:
        torch.manual_seed(seed)
        loss: nn.Module = plugins.build("losses", name, _DIM, _CLASSES, **options)
        return loss

    each: list[tuple[str, Callable[[MakeLoss, str], Iterator[str]]]] = [
        ("value", one_number),
        ("gradient", gradient),
    ]
    return [
        [("build", lambda: _is_module(make(0)))],
        *(
            [(f"{doing} of {batch}", functools.partial(check, make, batch)) for batch in _BATCHES]
            for doing, check in each
        ),
        [
            ("the same seed", lambda: same_under_a_seed(make)),
            ("saving and loading", lambda: survives_saving(make)),
            ("a training", lambda: falls(make)),
        ],
    ]


def _is_module(loss: object) -> Iterator[str]:
    if not isinstance(loss, nn.Module):
        yield f"build returns {type(loss).__name__}, not a torch.nn.Module."


_LABELS = np.repeat(np.arange(10), 6).astype(np.int64)


def _facts(seed: int) -> Facts:
    groups = (np.arange(len(_LABELS)) % 3).astype(np.int64)
    return Facts(labels=_LABELS, batch=14, seed=seed, pairs=None, groups=lambda: groups)


def describe(rows: Int64) -> NDArray[np.float32]:
    """A fixed unit descriptor for each image row (n,), in place of a network."""
    drawn = np.random.default_rng(7).standard_normal((len(_LABELS), 8)).astype(np.float32)
    unit: NDArray[np.float32] = drawn[rows] / np.linalg.norm(drawn[rows], axis=1, keepdims=True)
    return unit


def plans(name: str, options: Mapping[str, Any]) -> Iterator[str]:
    """Batches of rows that exist, a function of seed and epoch alone."""
    one, again, other = (_plan(_sampler(name, options, seed)) for seed in (0, 0, 1))
    sampler = _sampler(name, options, 0)
    plan = one(0)
    if plan.dtype != np.int64 or plan.ndim != 2 or plan.shape[1] != sampler.batch:
        yield f"a plan is {plan.dtype} of shape {plan.shape}, not int64 (steps, batch = {sampler.batch})."
        return
    if len(plan) == 0 or plan.min() < 0 or plan.max() >= len(_LABELS):
        yield f"a plan must hold rows 0…{len(_LABELS) - 1} of the training set, and at least one batch."
    if not np.array_equal(one(3), again(3)):
        yield "the same seed and epoch give different batches: draw from facts.generator(epoch) alone."
    if np.array_equal(one(3), one(4)):
        yield "two epochs have the same batches: draw from facts.generator(epoch)."
    if np.array_equal(one(3), other(3)):
        yield "two seeds have the same batches: draw from facts.generator(epoch)."


def sampler_stages(name: str, options: Mapping[str, Any]) -> list[Stage]:
    """The contract of a sampler."""
    return [
        [("build", lambda: _is_sampler(plugins.build("samplers", name, _facts(0), **options)))],
        [("plan", lambda: plans(name, options))],
    ]


def _is_sampler(sampler: object) -> Iterator[str]:
    if not isinstance(sampler, Sampler):
        yield f"build returns {type(sampler).__name__}, not vitret.learn.sampling.Sampler."


def _sampler(name: str, options: Mapping[str, Any], seed: int) -> Sampler:
    sampler: Sampler = plugins.build("samplers", name, _facts(seed), **options)
    return sampler


def _plan(sampler: Sampler) -> Callable[[int], Int64]:
    def of_epoch(epoch: int, look: Describe = describe) -> Int64:
        return sampler.plan(epoch, look)

    return of_epoch
