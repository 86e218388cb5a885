"""Average precision by soft histograms: Revaud et al., "Learning with Average Precision", ICCV 2019, Eqs. 5–7."""

import torch
from torch import Tensor, nn


def memberships(similarity: Tensor, *, bins: int, low: float, high: float) -> Tensor:
    """Triangular weights (…, bins), best similarity first; values beyond [low, high] belong to the end bins whole.

    >>> memberships(torch.tensor([1.2, 0.75, -1.0]), bins=3, low=0.0, high=1.0).tolist()
    [[1.0, 0.0, 0.0], [0.5, 0.5, 0.0], [0.0, 0.0, 1.0]]
    """
    position = (high - similarity.clamp(low, high)) * (bins - 1) / (high - low)
    centres = torch.arange(bins, device=similarity.device, dtype=similarity.dtype)
    return (1 - (position[..., None] - centres).abs()).clamp(min=0)


class QuantisedAP(nn.Module):
    def __init__(self, bins: int, low: float, high: float, include_self: bool) -> None:
        super().__init__()
        self.bins, self.low, self.high, self.include_self = bins, low, high, include_self

    def forward(self, descriptors: Tensor, labels: Tensor) -> Tensor:
        """1 − mean AP over the rows of the batch that have a positive; 0 when none has."""
        n = len(labels)
        other = ~torch.eye(n, dtype=torch.bool, device=labels.device) | self.include_self
        positive = (labels[:, None] == labels[None, :]) & other
        asked = positive.any(dim=1)
        weights = memberships(descriptors @ descriptors.T, bins=self.bins, low=self.low, high=self.high)
        hits = torch.einsum("qmb,qm->qb", weights, positive.to(weights.dtype))
        seen = torch.einsum("qmb,qm->qb", weights, other.to(weights.dtype))
        precision = hits.cumsum(1) / seen.cumsum(1).clamp(min=1e-12)
        recall_step = hits / positive.sum(1, keepdim=True).clamp(min=1)
        loss = 1 - (precision * recall_step).sum(dim=1)
        return (loss * asked).sum() / asked.sum().clamp(min=1)


def build(
    dim: int, classes: int, *, bins: int = 25, low: float = 0.0, high: float = 1.0, include_self: bool = False
) -> QuantisedAP:
    """25 bins over [0, 1] as the public code has them.

    `include_self` lets a query find itself first, which the paper leaves open.
    """
    return QuantisedAP(bins, low, high, include_self)
