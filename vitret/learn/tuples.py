"""How rows stand in a batch of tuples: query, positive, then its negatives, one tuple after another."""

from torch import Tensor

from vitret.core.errors import UserError


def split_tuples(descriptors: Tensor, negatives: int) -> tuple[Tensor, Tensor, Tensor]:
    """(T·(2 + n), D) → queries (T, D), positives (T, D), negatives (T, n, D)."""
    size = 2 + negatives
    if len(descriptors) % size:
        raise UserError(
            f"{len(descriptors)} rows are not tuples of 1 query, 1 positive and {negatives} negatives. Give the "
            "loss and the sampler `tuples` the same number of negatives."
        )
    tuples = descriptors.reshape(-1, size, descriptors.shape[1])
    return tuples[:, 0], tuples[:, 1], tuples[:, 2:]
