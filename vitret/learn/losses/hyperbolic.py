"""Pairwise cross-entropy on the Poincaré ball: Ermolov et al., "Hyperbolic Vision Transformers", CVPR 2022.

Exponential map, Möbius distance and loss as its code c89de04 computes them. There a descriptor has any length up to a
clipping radius; here descriptors are unit vectors and all lie on that radius, so that a ranking by cosine is the
ranking by hyperbolic distance: what is searched is what was trained. The code also multiplies gradients by the inverse
metric of the ball; on one radius that is one factor, and it is left out here.
"""

import math

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from vitret.core.errors import UserError


def poincare_distance(descriptors: Tensor, *, curvature: float, radius: float) -> Tensor:
    """Distances (B, B) between unit rows that the exponential map at 0 puts on the ball, `radius` from 0 before it.

    2/√c · artanh(√c · ‖(−x) ⊕ y‖), ⊕ the Möbius addition, whose squared length here is
    ‖x − y‖² / (1 − 2c⟨x, y⟩ + c²‖x‖²‖y‖²).
    """
    root = math.sqrt(curvature)
    norm = min(math.tanh(root * radius), 1 - 1e-3) / root  # the code keeps this distance from the edge, too
    cosine = (descriptors @ descriptors.T).clamp(-1, 1)
    gap = 2 * norm**2 * (1 - cosine)
    below = 1 - 2 * curvature * norm**2 * cosine + curvature**2 * norm**4
    # The root's slope is infinite at 0 (each row with itself) and artanh's at 1 (opposite rows near the ball's edge).
    length = (curvature * gap.clamp(min=1e-12) / below).sqrt().clamp(max=1 - 1e-5)
    return 2 / root * length.atanh()


class Hyperbolic(nn.Module):
    def __init__(self, curvature: float, radius: float, temperature: float) -> None:
        super().__init__()
        self.curvature, self.radius, self.temperature = curvature, radius, temperature

    def forward(self, descriptors: Tensor, labels: Tensor) -> Tensor:
        """Mean cross-entropy of all (image, positive) pairs of the batch; 0 when no image has a positive.

        Each pair's positive competes with all images of other classes. With two images a class that is the batch
        of its code, which sums instead of averaging: twice this value.
        """
        same = labels[:, None] == labels[None, :]
        positive = same & ~torch.eye(len(labels), dtype=torch.bool, device=labels.device)
        logits = self._similarity(descriptors) / self.temperature
        # Finite, so that an image without a negative has a gradient of 0 and not 0·inf.
        negatives = logits.masked_fill(same, torch.finfo(logits.dtype).min / 2).logsumexp(dim=1, keepdim=True)
        cost = F.softplus(negatives - logits)
        return cost.masked_fill(~positive, 0).sum() / positive.sum().clamp(min=1)

    def _similarity(self, descriptors: Tensor) -> Tensor:
        if self.curvature == 0:
            return descriptors @ descriptors.T
        return -poincare_distance(descriptors, curvature=self.curvature, radius=self.radius)


def build(
    dim: int, classes: int, *, curvature: float = 0.1, radius: float = 2.3, temperature: float = 0.2
) -> Hyperbolic:
    """Curvature c, clipping radius and temperature τ as its code has them; curvature 0 is its spherical loss.

    That is of cosines, and its recipes then take τ 0.1. Batches need positives: `sampler: {name: pxk, k: 2}`.
    """
    if curvature < 0 or radius <= 0 or temperature <= 0:
        raise UserError("loss hyperbolic: curvature must be at least 0, radius and temperature above 0.")
    return Hyperbolic(curvature, radius, temperature)
