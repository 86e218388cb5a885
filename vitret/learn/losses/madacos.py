"""MadaCos of CFCD: Zhu et al., "Coarse-to-Fine: Learning Compact Discriminative Representation", ICCV 2023.

As its code 5db8545 computes it; the paper's text was not read. A softmax over cosines whose scale (as in AdaCos, Zhang
et al., CVPR 2019) and margin follow each batch.
"""

import math

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from vitret.core.errors import UserError
from vitret.learn.angular_margin import cosines


class MadaCos(nn.Module):
    def __init__(self, dim: int, classes: int, alpha: float, odds: float, min_scale: float) -> None:
        super().__init__()
        self.alpha, self.odds, self.min_scale = alpha, odds, min_scale
        bound = 1 / math.sqrt(dim)
        self.weight = nn.Parameter(nn.init.uniform_(torch.empty(classes, dim), -bound, bound))

    def forward(self, descriptors: Tensor, labels: Tensor) -> Tensor:
        """Mean cross-entropy of scale·cos, the margin taken from the true class's cosine.

        Scale and margin are numbers of the batch, without a gradient: see `adapted`.
        """
        cosine = cosines(descriptors, self.weight)
        own = F.one_hot(labels, len(self.weight)).bool()
        scale, margin = self.adapted(cosine.detach(), own)
        return F.cross_entropy(scale * torch.where(own, cosine - margin, cosine), labels)

    def adapted(self, cosine: Tensor, own: Tensor) -> tuple[Tensor, Tensor]:
        """Scale and margin, two scalars, of a batch's cosines (B, C); `own` (B, C) marks the true classes.

        Of the image with the median cosine M (the lower of two) to its class, and B = Σ e^(scale·cos) over its wrong
        classes: with the margin its true class has the probability α, and one at cosine 1 would have the odds `odds`.
        scale = log(odds·(1 − α)/α) / (1 − M), margin = M − log(B·α/(1 − α)) / scale; never below `min_scale` and 0.
        """
        median, place = cosine[own].median(dim=0)
        wanted = math.log(self.odds * (1 - self.alpha) / self.alpha)
        scale = (wanted / (1 - median).clamp(min=1e-6)).clamp(min=self.min_scale)
        # In logarithms: e^(scale·cos) overflows float32 from a scale of 89 on.
        wrong = (scale * cosine[place]).masked_fill(own[place], -torch.inf).logsumexp(dim=0)
        margin = median - (wrong + math.log(self.alpha / (1 - self.alpha))) / scale
        return scale, margin.clamp(min=0)


def build(
    dim: int, classes: int, *, alpha: float = 0.02, odds: float = 9_999_999.0, min_scale: float = 32.0
) -> MadaCos:
    """Values of the code; `alpha` is that of its recipes for landmarks (0.1 where none is given).

    Its value says little about progress: the margin grows as images come nearer to their class.
    """
    if not 0 < alpha < 1 or odds <= 0:
        raise UserError("loss madacos: alpha must lie between 0 and 1, odds above 0.")
    return MadaCos(dim, classes, alpha, odds, min_scale)
