"""Cross-batch memory: Wang et al., "Cross-Batch Memory for Embedding Learning", CVPR 2020."""

import torch
from torch import Tensor, nn


class Memory(nn.Module):
    """A ring of the last `size` descriptors and their labels, all detached.

    A counter says how many rows were ever written, so that no label has to mean "empty", and slots are taken
    modulo the size, so that no batch overwrites another's rows out of turn: both differ from the public code.
    """

    rows: Tensor
    labels: Tensor

    def __init__(self, size: int, dim: int) -> None:
        super().__init__()
        self.size = size
        self.register_buffer("rows", torch.zeros(size, dim))
        self.register_buffer("labels", torch.zeros(size, dtype=torch.int64))
        # A plain number, saved as extra state: reading a counter back from CUDA would stop the loop.
        self.written = 0

    def write(self, keys: Tensor, labels: Tensor) -> Tensor:
        """Put keys (B, D) in the next slots; returns the slots (B,). B must not pass the size."""
        slots = (torch.arange(len(keys), device=keys.device) + self.written) % self.size
        self.rows[slots] = keys.detach().to(self.rows.dtype)
        self.labels[slots] = labels
        self.written += len(keys)
        return slots

    def filled(self) -> tuple[Tensor, Tensor]:
        """Rows and labels written so far, in slot order."""
        n = min(self.written, self.size)
        return self.rows[:n], self.labels[:n]

    def set_extra_state(self, state: int) -> None:
        self.written = state

    def get_extra_state(self) -> int:
        return self.written
