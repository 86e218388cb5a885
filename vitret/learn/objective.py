"""What training lowers: the weighted sum of a recipe's losses, and the same contrastive loss against the memory."""

from collections.abc import Sequence
from typing import Protocol, runtime_checkable

from torch import Tensor, nn

from vitret.core import plugins
from vitret.core.errors import UserError
from vitret.core.recipes import LossSpec, MemorySpec
from vitret.learn.memory import Memory


@runtime_checkable
class AgainstKeys(Protocol):
    """A loss that can also compare the batch with rows of the past."""

    def against(
        self, descriptors: Tensor, labels: Tensor, keys: Tensor, key_labels: Tensor, own: Tensor
    ) -> Tensor: ...


class Objective(nn.Module):
    """Sum of weight × loss; with a memory also memory weight × loss weight × loss against the memory.

    As in XBM's code the batch is written first, so that it meets itself in the memory; each row's own slot is left out.
    """

    def __init__(
        self, losses: Sequence[tuple[str, float, nn.Module]], memory: Memory | None, spec: MemorySpec | None
    ) -> None:
        super().__init__()
        self.names = [name for name, _, _ in losses]
        self.weights = [weight for _, weight, _ in losses]
        self.losses = nn.ModuleList(loss for _, _, loss in losses)
        self.memory, self.memory_spec = memory, spec

    def forward(
        self, descriptors: Tensor, labels: Tensor, *, step: int, keys: Tensor | None = None
    ) -> tuple[Tensor, dict[str, Tensor]]:
        """The loss, and its terms by name, detached; keys (B, D) enter the memory instead of the descriptors."""
        total = descriptors.new_zeros(())
        terms: dict[str, Tensor] = {}
        for name, weight, loss in zip(self.names, self.weights, self.losses, strict=True):
            value = loss(descriptors, labels)
            total = total + weight * value
            terms[name] = value.detach()
        if self.memory is None or self.memory_spec is None:
            return total, terms
        own = self.memory.write(descriptors if keys is None else keys, labels)
        if step < self.memory_spec.start:
            return total, terms
        past, past_labels = self.memory.filled()
        # A copy: the next step writes into the ring.
        past, past_labels = past.clone(), past_labels.clone()
        for name, weight, loss in zip(self.names, self.weights, self.losses, strict=True):
            if isinstance(loss, AgainstKeys):
                value = loss.against(descriptors, labels, past, past_labels, own)
                total = total + self.memory_spec.weight * weight * value
                terms[f"{name} memory"] = value.detach()
        return total, terms


def build_objective(
    specs: Sequence[LossSpec], memory: MemorySpec | None, *, dim: int, classes: int, images: int, batch: int
) -> Objective:
    """The recipe's losses; weights of proxies are drawn from torch's current random state.

    A memory given as a fraction is that share of the training images; it holds at least one batch.
    """
    losses = [
        (spec.name, spec.weight, plugins.build("losses", spec.name, dim, classes, **spec.options))
        for spec in specs
    ]
    if memory is None:
        return Objective(losses, None, None)
    if not any(isinstance(loss, AgainstKeys) for _, _, loss in losses):
        raise UserError(
            f"memory: none of the losses ({', '.join(spec.name for spec in specs)}) can use it. Add `contrastive`, "
            "or take `memory` out of the system."
        )
    rows = round(memory.size * images) if isinstance(memory.size, float) else memory.size
    return Objective(losses, Memory(max(rows, batch), dim), memory)
