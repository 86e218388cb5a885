"""ArcFace without a margin where θ + margin would pass π: the fallback of Token's code; Wu et al., AAAI 2022 (read)."""

import math

import torch
import torch.nn.functional as F
from torch import Tensor, nn


class ArcFaceDropped(nn.Module):
    def __init__(self, dim: int, classes: int, margin: float, scale: float) -> None:
        super().__init__()
        self.margin, self.scale = margin, scale
        self.weight = nn.Parameter(nn.init.xavier_uniform_(torch.empty(classes, dim)))

    def forward(self, descriptors: Tensor, labels: Tensor) -> Tensor:
        """Mean cross-entropy over the batch; an image farther than π − margin from its class has its plain cosine."""
        cosine = (descriptors @ F.normalize(self.weight).T).clamp(-1, 1)
        own = labels[:, None]
        true = cosine.gather(1, own)
        near = true > math.cos(math.pi - self.margin)
        # The root's slope is infinite at |cos| = 1, where an exact hit would make 0·inf.
        sine = (1 - true.square()).clamp(min=1e-12).sqrt()
        turned = true * math.cos(self.margin) - sine * math.sin(self.margin)
        logits = cosine.scatter(1, own, torch.where(near, turned, true))
        return F.cross_entropy(self.scale * logits, labels)


def build(dim: int, classes: int, *, margin: float = 0.2, scale: float = 32.0) -> ArcFaceDropped:
    """`margin` in radians. Defaults are Token's: its scale is the root of the descriptor's 1024 dimensions."""
    return ArcFaceDropped(dim, classes, margin, scale)
