"""Euclidean contrastive loss on tuples: Radenović et al., TPAMI 2018; as the code cnnimageretrieval-pytorch sums it."""

from torch import Tensor, nn

from vitret.learn.tuples import split_tuples

# Added to every coordinate's difference before squaring, as the official code does: the root stays differentiable.
EPS = 1e-6


class ContrastiveTuples(nn.Module):
    def __init__(self, negatives: int, margin: float) -> None:
        super().__init__()
        self.negatives, self.margin = negatives, margin

    def forward(self, descriptors: Tensor, labels: Tensor) -> Tensor:
        """½·d² for the positive, ½·max(margin − d, 0)² for each negative, summed over the batch."""
        query, positive, negative = split_tuples(descriptors, self.negatives)
        near = _distance(query, positive)
        far = _distance(query[:, None], negative)
        return 0.5 * near.square().sum() + 0.5 * (self.margin - far).clamp(min=0).square().sum()


def _distance(a: Tensor, b: Tensor) -> Tensor:
    return (a - b + EPS).square().sum(dim=-1).sqrt()


def build(dim: int, classes: int, *, negatives: int = 5, margin: float = 0.7) -> ContrastiveTuples:
    """Distances between unit vectors lie in [0, 2]; `margin` is 0.7 by default in the code and 0.85 in its best run."""
    return ContrastiveTuples(negatives, margin)
