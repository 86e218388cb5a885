"""Additive angular margin loss: Deng et al., "ArcFace", CVPR 2019, Eq. 3, with the fallback of its public code."""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from vitret.learn.angular_margin import cosines, with_margin
from vitret.learn.split_classes import cross_entropy, own_classes, own_rows, spread

# Options that came after results were committed: core/plugins.py.
UNWRITTEN = ("split",)


class ArcFace(nn.Module):
    def __init__(self, dim: int, classes: int, margin: float, scale: float, split: bool) -> None:
        super().__init__()
        self.margin, self.scale = margin, scale
        self.mine = own_classes(classes) if split else range(classes)
        self.classes = classes
        self.weight = own_rows(nn.init.xavier_normal_(torch.empty(classes, dim)), self.mine)

    def forward(self, descriptors: Tensor, labels: Tensor) -> Tensor:
        """Mean cross-entropy over the batch."""
        if len(self.mine) < self.classes:
            return self._among_processes(descriptors, labels)
        cosine = cosines(descriptors, self.weight)
        own = labels[:, None]
        logits = cosine.scatter(1, own, with_margin(cosine.gather(1, own), self.margin))
        return F.cross_entropy(self.scale * logits, labels)

    def _among_processes(self, descriptors: Tensor, labels: Tensor) -> Tensor:
        cosine = cosines(spread(descriptors), self.weight)
        mine = (labels >= self.mine.start) & (labels < self.mine.stop)
        own = (labels - self.mine.start).clamp(0, len(self.mine) - 1)[:, None]
        true = cosine.gather(1, own)
        changed = torch.where(mine[:, None], with_margin(true, self.margin), true)
        return cross_entropy(self.scale * cosine.scatter(1, own, changed), own[:, 0], mine)


def build(
    dim: int, classes: int, *, margin: float = 0.3, scale: float = 30.0, split: bool = False
) -> ArcFace:
    """`margin` in radians. Defaults of GLAM's text and of the 2019 landmark recipe; DToP's own are not known.

    With `split` each of several processes holds a part of the classes.
    """
    return ArcFace(dim, classes, margin, scale, split)
