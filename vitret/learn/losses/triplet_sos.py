"""Triplet loss with second-order similarity: Ng et al., "SOLAR", ECCV 2020; reductions as in its public code."""

from typing import Literal

import torch
from torch import Tensor, nn

from vitret.learn.tuples import split_tuples


class TripletSOS(nn.Module):
    def __init__(self, negatives: int, margin: float, second_order: float, *, over_tuples: str) -> None:
        super().__init__()
        self.over_tuples = over_tuples
        self.negatives, self.margin, self.second_order = negatives, margin, second_order

    def forward(self, descriptors: Tensor, labels: Tensor) -> Tensor:
        """Squared distances throughout; both terms are divided by the number of tuples T, or summed over them.

        First order: Σ max(d(q, p) − d(q, n) + margin, 0). Second order: √Σ (d(q, n) − d(p, n))², one root
        over all negatives of the batch.
        """
        query, positive, negative = split_tuples(descriptors, self.negatives)
        near = (query - positive).square().sum(-1, keepdim=True)
        far = (query[:, None] - negative).square().sum(-1)
        beyond = (positive[:, None] - negative).square().sum(-1)
        first = (near - far + self.margin).clamp(min=0).sum()
        second = torch.linalg.vector_norm(far - beyond)
        total: Tensor = first + self.second_order * second
        return total / len(query) if self.over_tuples == "mean" else total


def build(
    dim: int,
    classes: int,
    *,
    negatives: int = 5,
    margin: float = 1.25,
    second_order: float = 10.0,
    over_tuples: Literal["mean", "sum"] = "mean",
) -> TripletSOS:
    """Values of SOLAR's recipe. `over_tuples`: SOLAR's code takes the mean, cirtorch's triplet loss the sum."""
    return TripletSOS(negatives, margin, second_order, over_tuples=over_tuples)
