"""Recall@k surrogate: Patel et al., "Recall@k Surrogate Loss with Large Batches and Similarity Mixup", CVPR 2022.

Both steps of recall, "z ranks before x" and "x ranks within k", become sigmoids. Similarity mixup is not here.
"""

from collections.abc import Sequence

import torch
from torch import Tensor, nn


class RecallAtKSurrogate(nn.Module):
    def __init__(
        self, ks: Sequence[int], rank_temperature: float, k_temperature: float, count_query: bool
    ) -> None:
        super().__init__()
        self.ks = tuple(ks)
        self.rank_temperature, self.k_temperature, self.count_query = (
            rank_temperature,
            k_temperature,
            count_query,
        )

    def forward(self, descriptors: Tensor, labels: Tensor) -> Tensor:
        """1 − recall, averaged over the k and over the rows that have a positive; 0 when none has.

        The soft rank of a positive x is 1 + Σ σ((s(q, z) − s(q, x)) / rank_temperature) over all z but x and q.
        A query's recall is Σ σ((k − rank) / k_temperature) over its P positives, at most k, over min(k, P).
        """
        n = len(labels)
        similarity = descriptors @ descriptors.T
        eye = torch.eye(n, dtype=torch.bool, device=labels.device)
        positive = (labels[:, None] == labels[None, :]) & ~eye
        query, found = positive.nonzero(as_tuple=True)  # the T (query, positive) pairs, not all B³ triples
        ahead = ((similarity[query] - similarity[query, found, None]) / self.rank_temperature).sigmoid()
        row = torch.arange(len(query), device=labels.device)
        counted = torch.ones_like(ahead, dtype=torch.bool)
        counted[row, found] = False
        if not self.count_query:
            counted[row, query] = False
        rank = 1 + (ahead * counted).sum(dim=1)
        positives = positive.sum(dim=1)
        asked = positives > 0
        total = similarity.sum() * 0  # keeps the graph where no row has a positive
        for k in self.ks:
            within = ((k - rank) / self.k_temperature).sigmoid()
            recall = torch.zeros_like(similarity[:, 0]).index_add(0, query, within).clamp(max=k)
            loss = 1 - recall / positives.clamp(min=1, max=k)
            total = total + (loss * asked).sum() / asked.sum().clamp(min=1)
        return total / len(self.ks)


def build(
    dim: int,
    classes: int,
    *,
    ks: Sequence[int] = (1, 2, 4, 8, 16),
    rank_temperature: float = 0.01,
    k_temperature: float = 1.0,
    count_query: bool = False,
) -> RecallAtKSurrogate:
    """Temperatures and k of the paper's SOP recipe.

    The public code lets the query itself stand ahead of its positives, which adds 1 to every rank:
    `count_query` repeats that.
    """
    return RecallAtKSurrogate(ks, rank_temperature, k_temperature, count_query)
