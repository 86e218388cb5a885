"""The first population: values of Beta(0.5, 0.7), which lie as average precisions do, many near 0 and 1.

Groups, seeds and what both do together enter by a Gaussian copula.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from scipy.special import ndtr
from scipy.stats import beta

SHAPE = (0.5, 0.7)
TRUTH = SHAPE[0] / sum(SHAPE)
_GRID = np.linspace(-6, 6, 8_001)
_INVERSE = beta.ppf(ndtr(_GRID), *SHAPE)
# Shares of the latent variance: what a seed shifts everywhere, what it shifts for one query, what a system does for one
# query. A share of 0.003 is a standard deviation over seeds of 1.7 points of a mean of 42; one of 0.03 is 5.4 points.
SEED, LARGE_SEED, SEED_AND_QUERY, SYSTEM_AND_QUERY = 0.003, 0.03, 0.1, 0.2
ROXFORD = (8, 8, 8, 8, 8, 5, 5, 5, 5, 5, 4, 1)
_AT_ONCE = 2**21


@dataclass(frozen=True, kw_only=True)
class Setting:
    """One cell of the table: groups by their sizes, correlation within a group, seeds."""

    sizes: tuple[int, ...]
    correlation: float
    seeds: int
    seed_share: float = SEED

    @property
    def words(self) -> str:
        """The groups in words."""
        if len(set(self.sizes)) > 1:
            return f"{len(self.sizes)} of 1 to {max(self.sizes)} (ROxford's)"
        return f"{len(self.sizes)} of {self.sizes[0]}"


def grid() -> list[Setting]:
    """Independent queries, groups of five with two correlations; 7, 14 and 70 groups; 1, 3, 5 seeds."""
    return [
        Setting(sizes=(size,) * groups, correlation=correlation, seeds=seeds)
        for size, correlation in ((1, 0.0), (5, 0.3), (5, 0.6))
        for groups in (7, 14, 70)
        for seeds in (1, 3, 5)
    ]


def settings() -> list[Setting]:
    """The grid, ROxford's groups, and seeds that differ by three times as much."""
    return [
        *grid(),
        *(Setting(sizes=ROXFORD, correlation=rho, seeds=s) for rho in (0.3, 0.6) for s in (1, 3, 5)),
        *(
            Setting(sizes=(5,) * groups, correlation=0.3, seeds=seeds, seed_share=LARGE_SEED)
            for groups in (14, 70)
            for seeds in (3, 5)
        ),
    ]


def draws(
    setting: Setting, *, repetitions: int, rng: np.random.Generator
) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Values (some repetitions, S, Q) of two systems of one mean, which find the same queries hard.

    With one seed the truth is that of the checkpoint, so no seed shifts anything everywhere.
    """
    share = setting.seed_share if setting.seeds > 1 else 0.0
    step = max(1, _AT_ONCE // (setting.seeds * sum(setting.sizes)))
    for start in range(0, repetitions, step):
        shared = _grouped(setting, (min(step, repetitions - start), 1), rng)
        a, b = (_system(setting, shared, share=share, rng=rng) for _ in range(2))
        yield a, b


def _system(setting: Setting, shared: np.ndarray, *, share: float, rng: np.random.Generator) -> np.ndarray:
    repetitions = len(shared)
    own = _grouped(setting, (repetitions, 1), rng)
    both = _grouped(setting, (repetitions, setting.seeds), rng)
    shift = rng.standard_normal((repetitions, setting.seeds, 1))
    rest = 1 - share - SEED_AND_QUERY - SYSTEM_AND_QUERY
    latent = (
        np.sqrt(rest) * shared
        + np.sqrt(SYSTEM_AND_QUERY) * own
        + np.sqrt(SEED_AND_QUERY) * both
        + np.sqrt(share) * shift
    )
    return np.interp(latent, _GRID, _INVERSE)


def _grouped(setting: Setting, shape: tuple[int, int], rng: np.random.Generator) -> np.ndarray:
    """Normal values (*shape, Q) of variance one that correlate within a group."""
    queries, groups = sum(setting.sizes), len(setting.sizes)
    of_group = np.repeat(rng.standard_normal((*shape, groups)), setting.sizes, axis=-1)
    of_query = rng.standard_normal((*shape, queries))
    return np.sqrt(setting.correlation) * of_group + np.sqrt(1 - setting.correlation) * of_query
