"""Contrastive loss of IRT, Eq. 1: El-Nouby et al., "Training Vision Transformers for Image Retrieval", 2021.

A sum over pairs divided by the number of anchors, not a mean over pairs: the averaged form has gradients some
hundred times smaller and changes what every other weight beside it means.
"""

import torch
from torch import Tensor, nn


def pair_sum(similarity: Tensor, positive: Tensor, dropped: Tensor, *, margin: float) -> Tensor:
    """Sum of 1 − s over positives and of max(s − margin, 0) over negatives; `dropped` pairs count for nothing.

    All three are (anchors, keys). XBM's code sums s instead of s − margin over the same negatives: another
    number, the same gradient.
    """
    cost = torch.where(positive, 1 - similarity, (similarity - margin).clamp(min=0))
    return cost.masked_fill(dropped, 0).sum()


class Contrastive(nn.Module):
    def __init__(self, margin: float) -> None:
        super().__init__()
        self.margin = margin

    def forward(self, descriptors: Tensor, labels: Tensor) -> Tensor:
        """Loss of every row against every other row of (B, D)."""
        own = torch.arange(len(labels), device=labels.device)
        return self.against(descriptors, labels, descriptors, labels, own)

    def against(
        self, descriptors: Tensor, labels: Tensor, keys: Tensor, key_labels: Tensor, own: Tensor
    ) -> Tensor:
        """Loss of anchors (B, D) against keys (M, D); `own` (B,) is each anchor's own row among the keys, left out."""
        dropped = torch.zeros(len(labels), len(keys), dtype=torch.bool, device=descriptors.device)
        dropped[torch.arange(len(labels), device=own.device), own] = True
        positive = labels[:, None] == key_labels[None, :]
        return pair_sum(descriptors @ keys.T, positive, dropped, margin=self.margin) / len(labels)


def build(dim: int, classes: int, *, margin: float = 0.5) -> Contrastive:
    """Negatives cost nothing below the cosine similarity `margin` (the paper's beta, 0.5)."""
    return Contrastive(margin)
