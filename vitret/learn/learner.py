"""Everything that a training step changes, and the step: forward, loss of the whole batch, gradients, update."""

import contextlib
import copy
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from vitret.core.errors import UserError
from vitret.core.recipes import Recipe
from vitret.describe.devices import autocast_dtype
from vitret.learn import distributed
from vitret.learn.batch_norm import buffers_kept, learns_batch_norm, share_batch_norm
from vitret.learn.checkpoints import Stateful, random_state, set_random_state
from vitret.learn.frozen import joined, split_at_head
from vitret.learn.loading import Batch, forward
from vitret.learn.objective import Objective, build_objective
from vitret.learn.optimise import batch_norm_to_eval, clip_gradients, freeze, make_optimiser, update_copy
from vitret.learn.split_classes import split_size
from vitret.learn.step_clock import OFF, StepClock
from vitret.models.model import Retriever, build_model


@dataclass(frozen=True, kw_only=True)
class Learner:
    """The network and what trains it. `average` is its EMA, `slow` the momentum encoder of the memory.

    `frozen` is the network whose descriptors `model` learns on, where it does not learn on images. `clock` is told what
    a step is at.
    """

    model: Retriever
    objective: Objective
    optimiser: torch.optim.Optimizer
    scaler: torch.amp.GradScaler
    average: Retriever | None
    slow: Retriever | None
    device: torch.device
    dtype: torch.dtype | None
    mean: Tensor
    std: Tensor
    frozen: Retriever | None = None
    clock: StepClock = OFF

    @property
    def best(self) -> Retriever:
        """The network to validate."""
        return self.model if self.average is None else self.average

    @property
    def kept(self) -> Retriever:
        """The network to keep, from images to descriptors."""
        return self.best if self.frozen is None else joined(self.frozen, self.best)

    def encode(self, model: nn.Module, pixels: Tensor) -> Tensor:
        """Unit descriptors (b, D), float32, of pixels (b, 3, H, W) uint8, or of descriptors (b, F) of `frozen`."""
        images = pixels
        if self.frozen is None:
            images = pixels.to(torch.float32, memory_format=torch.channels_last, copy=True)
            images.div_(255).sub_(self.mean).div_(self.std)
        # One context per call: a cache of converted weights must not outlive a pass without gradients.
        with torch.autocast(self.device.type, dtype=self.dtype) if self.dtype else contextlib.nullcontext():
            descriptors = model(images)
        assert isinstance(descriptors, Tensor)
        return descriptors

    @property
    def split(self) -> bool:
        """Whether each process holds a part of a loss's weights."""
        return split_size(self.objective.parameters()) > 0

    @property
    def parts(self) -> dict[str, Stateful | None]:
        """All that a training saves, by name; None for what this one has not."""
        return {
            "model": self.model,
            "objective": self.objective,
            "optimiser": self.optimiser,
            "scaler": self.scaler,
            "average": self.average,
            "slow": self.slow,
        }


def initial_model(recipe: Recipe) -> Retriever:
    """The network before its first step: pretrained weights where the recipe has them, the rest drawn from its seed."""
    torch.manual_seed(recipe.seed)
    return build_model(recipe.system.model)


def make_learner(
    recipe: Recipe,
    *,
    classes: int,
    images: int,
    device: torch.device,
    precision: str,
    clock: StepClock = OFF,
) -> Learner:
    """All parts at step 0, on the device. Afterwards each process has a random state of its own."""
    system = recipe.system
    dtype = autocast_dtype(device, precision)
    frozen, model = None, initial_model(recipe)
    if system.train_on == "descriptors":
        frozen, model = split_at_head(model)
    objective = build_objective(
        system.losses, system.memory, dim=model.dim, classes=classes, images=images, batch=recipe.track.batch
    )
    if dtype is torch.float16 and split_size(objective.parameters()):
        raise UserError(
            "--precision fp16: with classes split over processes one may skip a step that another makes. "
            "Use --precision bf16 or fp32."
        )
    if distributed.world() > 1:
        share_batch_norm(model, device)
    model.to(device)
    objective.to(device)
    # Convolutions run faster so, on GPUs and CPUs alike: 1.2 to 1.4 times the steps of small CNNs on a CPU.
    model.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    freeze(system.optimiser, model.backbone, {"head": model.head, "losses": objective})
    momentum = None if system.memory is None else system.memory.momentum
    torch.manual_seed(recipe.seed * 1009 + distributed.rank())
    return Learner(
        model=model,
        objective=objective,
        optimiser=make_optimiser(
            system.optimiser,
            model.backbone,
            {"head": model.head, "losses": objective},
            fused=device.type == "cuda",
        ),
        scaler=torch.amp.GradScaler(device.type, enabled=dtype is torch.float16),
        average=_copy(model) if system.optimiser.ema is not None else None,
        slow=_copy(model) if momentum is not None else None,
        device=device,
        dtype=dtype,
        mean=torch.tensor(model.mean, device=device).view(3, 1, 1),
        std=torch.tensor(model.std, device=device).view(3, 1, 1),
        frozen=frozen,
        clock=clock,
    )


def _copy(model: Retriever) -> Retriever:
    # In eval mode for good: a key must not depend on dropped paths.
    return copy.deepcopy(model).eval().requires_grad_(False)


def train_step(
    learner: Learner, recipe: Recipe, batch: Batch, labels: Tensor, *, step: int
) -> tuple[Tensor, dict[str, Tensor]]:
    """One update. Returns the loss of the whole batch and its terms, on the device, detached.

    `batch` holds this process's images, `labels` (B,) those of all processes in the plan's order.
    """
    spec, memory = recipe.system.optimiser, recipe.system.memory
    learner.model.train()
    if spec.freeze_batch_norm:
        batch_norm_to_eval(learner.model)
    if distributed.world() > 1 and recipe.track.image.policy != "square" and learns_batch_norm(learner.model):
        _check_sizes(batch)
    learner.optimiser.zero_grad(set_to_none=True)
    loss, terms = _backward(learner, batch, labels, step=step, parts=spec.accumulate)
    with learner.clock.phase("communication"):
        distributed.sum_gradients(learner.model.parameters())
    with learner.clock.phase("optimiser"):
        if spec.clip is not None:
            learner.scaler.unscale_(learner.optimiser)
            terms["gradient norm"] = clip_gradients(learner.optimiser, spec.clip)
        learner.scaler.step(learner.optimiser)
        learner.scaler.update()
        if learner.average is not None and spec.ema is not None:
            update_copy(learner.average, learner.model, spec.ema)
        if learner.slow is not None and memory is not None and memory.momentum is not None:
            update_copy(learner.slow, learner.model, memory.momentum)
    return loss, terms


def _check_sizes(batch: Batch) -> None:
    """Refuse a batch whose sizes differ among processes: they would normalise what does not belong together."""
    sizes = distributed.from_all([tuple(pixels.shape) for _, pixels in batch.parts])
    if any(other != sizes[0] for other in sizes):
        raise UserError(
            f"batch norm that learns over {len(sizes)} processes needs images of the same sizes in each; these have "
            f"{sizes[0]} and {next(other for other in sizes if other != sizes[0])}. Take one process, "
            "`--set optimiser.freeze_batch_norm=true`, or a sampler that fills a batch from one group of sizes."
        )


def _backward(
    learner: Learner, batch: Batch, labels: Tensor, *, step: int, parts: int
) -> tuple[Tensor, dict[str, Tensor]]:
    """Gradients of the whole batch's loss; with `parts` > 1 the network holds one part of it at a time.

    Descriptors of all parts come first, without a graph; the loss gives the gradient of each; then every part runs
    again with the same random numbers and takes its gradient on (Gao et al., "Scaling Deep Contrastive Learning Batch
    Size under Memory Limited Setup", 2021). So a loss over pairs sees all pairs, at the price of a second forward
    pass. Batch norm that is not frozen normalises one part at a time; its running statistics move in the second pass.
    """
    clock = learner.clock
    keys = None
    if learner.slow is not None:
        slow = learner.slow
        with torch.no_grad(), clock.phase("forward"):
            keys = _gathered(learner, forward(batch, lambda x: learner.encode(slow, x)))
    if parts == 1:
        with clock.phase("forward"):
            descriptors = forward(batch, lambda x: learner.encode(learner.model, x))
            everybodys = _gathered(learner, descriptors)
            loss, terms = learner.objective(everybodys, labels, step=step, keys=keys)
        with clock.phase("backward"):
            learner.scaler.scale(loss).backward()
        return loss.detach(), terms
    pieces = batch.split(parts).parts
    states, outputs = [], []
    with torch.no_grad(), buffers_kept(learner.model), clock.phase("forward"):
        for _, pixels in pieces:
            states.append(random_state(learner.device))
            outputs.append(learner.encode(learner.model, pixels))
    order = torch.cat([places for places, _ in pieces])
    leaf = torch.cat(outputs)[torch.argsort(order).to(learner.device)].requires_grad_()
    with clock.phase("forward"):
        loss, terms = learner.objective(_gathered(learner, leaf), labels, step=step, keys=keys)
    with clock.phase("backward"):
        learner.scaler.scale(loss).backward()
    assert leaf.grad is not None
    for (places, pixels), state in zip(pieces, states, strict=True):
        set_random_state(state, learner.device)
        with clock.phase("forward"):
            again = learner.encode(learner.model, pixels)
        with clock.phase("backward"):
            torch.autograd.backward(again, leaf.grad[places.to(learner.device)])
    return loss.detach(), terms


def _gathered(learner: Learner, rows: Tensor) -> Tensor:
    with learner.clock.phase("communication"):
        return distributed.gather(rows)
