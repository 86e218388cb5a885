"""Additive angular margin loss: Deng et al., "ArcFace", CVPR 2019, Eq. 3, with the fallback of its public code."""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from vitret.learn.angular_margin import cosines, with_margin


class ArcFace(nn.Module):
    def __init__(self, dim: int, classes: int, margin: float, scale: float) -> None:
        super().__init__()
        self.margin, self.scale = margin, scale
        self.weight = nn.Parameter(nn.init.xavier_normal_(torch.empty(classes, dim)))

    def forward(self, descriptors: Tensor, labels: Tensor) -> Tensor:
        """Mean cross-entropy over the batch."""
        cosine = cosines(descriptors, self.weight)
        own = labels[:, None]
        logits = cosine.scatter(1, own, with_margin(cosine.gather(1, own), self.margin))
        return F.cross_entropy(self.scale * logits, labels)


def build(dim: int, classes: int, *, margin: float = 0.3, scale: float = 30.0) -> ArcFace:
    """`margin` in radians. Defaults of GLAM's text and of the 2019 landmark recipe; DToP's own are not known."""
    return ArcFace(dim, classes, margin, scale)
