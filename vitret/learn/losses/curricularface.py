"""Adaptive curriculum loss: Huang et al., "CurricularFace", CVPR 2020, Eqs. 4–8; what DOLG's code calls ArcFace."""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from vitret.learn.angular_margin import cosines, turned, with_margin


class CurricularFace(nn.Module):
    ease: Tensor

    def __init__(self, dim: int, classes: int, margin: float, scale: float, momentum: float) -> None:
        super().__init__()
        self.margin, self.scale, self.momentum = margin, scale, momentum
        self.weight = nn.Parameter(nn.init.normal_(torch.empty(classes, dim), std=0.01))
        self.register_buffer("ease", torch.zeros(()))

    def forward(self, descriptors: Tensor, labels: Tensor) -> Tensor:
        """Mean cross-entropy; a wrong class nearer than cos(θ + margin) gets the logit cos·(t + cos).

        t, here `ease`, is the running mean of the true classes' cosines; it moves only in training.
        """
        cosine = cosines(descriptors, self.weight)
        own = labels[:, None]
        true = cosine.gather(1, own)
        if self.training:
            self.ease.lerp_(true.detach().mean().to(self.ease.dtype), self.momentum)
        # The comparison is with the plain cos(θ + margin); the fallback enters only the true class's logit.
        bound = turned(true, self.margin).detach()
        # clone: the running mean moves in place at the next step, perhaps before this one's backward pass.
        hard = torch.where(cosine > bound, cosine * (self.ease.clone() + cosine), cosine)
        logits = hard.scatter(1, own, with_margin(true, self.margin))
        return F.cross_entropy(self.scale * logits, labels)


def build(
    dim: int, classes: int, *, margin: float = 0.15, scale: float = 30.0, momentum: float = 0.01
) -> CurricularFace:
    """DOLG's margin and scale; the paper's own are 0.5 and 64."""
    return CurricularFace(dim, classes, margin, scale, momentum)
