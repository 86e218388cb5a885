"""Differential-entropy regulariser of Kozachenko and Leonenko: Sablayrolles et al., ICLR 2019; IRT, Eq. 5."""

import torch
from torch import Tensor, nn

# In each difference and in the logarithm: two equal rows give a large finite value and a defined gradient.
EPS = 1e-8


class KoLeo(nn.Module):
    def forward(self, descriptors: Tensor, labels: Tensor) -> Tensor:
        """Minus the mean logarithm of each row's distance to its nearest other row of the batch.

        Positives are pushed apart too, as the paper says. Computed from difference vectors in float32 or better:
        √(2 − 2·s) is already 2 % off at a distance of 1e-3.
        """
        with torch.autocast(descriptors.device.type, enabled=False):
            rows = descriptors if descriptors.dtype == torch.float64 else descriptors.float()
            with torch.no_grad():
                nearest = (rows @ rows.T).fill_diagonal_(-2).argmax(dim=1)
            distance = (rows - rows[nearest] + EPS).square().sum(dim=1).sqrt()
            return -(distance + EPS).log().mean()


def build(dim: int, classes: int) -> KoLeo:
    return KoLeo()
