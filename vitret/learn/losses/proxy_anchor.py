"""Kim et al., "Proxy Anchor Loss for Deep Metric Learning", CVPR 2020: the loss as its code 51db570 computes it."""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from vitret.learn.angular_margin import cosines


def log_one_plus_sum(exponents: Tensor, counted: Tensor) -> Tensor:
    """log(1 + Σ e^x) over the counted entries of each column, (B, C) → (C,); without overflow.

    >>> counted = torch.tensor([[True], [False]])
    >>> log_one_plus_sum(torch.tensor([[200.0], [300.0]]), counted).tolist()
    [200.0]
    """
    one = exponents.new_zeros(1, exponents.shape[1])
    return torch.cat([one, exponents.masked_fill(~counted, -torch.inf)]).logsumexp(dim=0)


class ProxyAnchor(nn.Module):
    def __init__(self, dim: int, classes: int, margin: float, scale: float) -> None:
        super().__init__()
        self.margin, self.scale = margin, scale
        self.weight = nn.Parameter(nn.init.kaiming_normal_(torch.empty(classes, dim), mode="fan_out"))

    def forward(self, descriptors: Tensor, labels: Tensor) -> Tensor:
        """Each class's proxy pulls its images of the batch, the farthest most, and pushes all others.

        Σ log(1 + Σ e^(−scale·(s − margin))) over the proxies with an image in the batch, divided by their number, plus
        Σ log(1 + Σ e^(scale·(s + margin))) over all proxies, divided by the number of classes.
        """
        cosine = cosines(descriptors, self.weight)
        positive = F.one_hot(labels, len(self.weight)).bool()
        present = positive.any(dim=0)
        # Exactly 0 for a class without an image in the batch, so that the sum may run over all.
        pull = log_one_plus_sum(-self.scale * (cosine - self.margin), positive).sum() / present.sum()
        push = log_one_plus_sum(self.scale * (cosine + self.margin), ~positive).mean()
        return pull + push


def build(dim: int, classes: int, *, margin: float = 0.1, scale: float = 32.0) -> ProxyAnchor:
    """δ (`margin`, a cosine) and α (`scale`) as its code has them, where proxies learn at 100 × the network's rate.

    That rate is the recipe's: `optimiser: {head_lr_factor: 100}`.
    """
    return ProxyAnchor(dim, classes, margin, scale)
