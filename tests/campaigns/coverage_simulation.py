"""How often the intervals of `vitret.compare` hold the truth, and how often its tests separate equal systems.

    python -m tests.campaigns.coverage_simulation --repetitions 1000 > /tmp/coverage.md

Two populations. Beta: values of Beta(0.5, 0.7), which lie as average precisions do, many near 0 and 1; groups, seeds
and what both do together enter by a Gaussian copula. Rows: the per-query values of the committed rows of DToP and its
variants on the synthetic town, whose groups and rows (in place of seeds) are resampled.
"""

import argparse
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from scipy.special import ndtr
from scipy.stats import beta

from vitret.compare.intervals import Units, score_interval, spread
from vitret.compare.paired import difference, holm, verdict

SHAPE = (0.5, 0.7)
TRUTH = SHAPE[0] / sum(SHAPE)
_GRID = np.linspace(-6, 6, 100_001)
_INVERSE = beta.ppf(ndtr(_GRID), *SHAPE)
# Shares of the latent variance: what a seed shifts everywhere, what it shifts for one query, what a system does for one
# query. A share of 0.003 is a standard deviation over seeds of 1.7 points of a mean of 42.
SEED, SEED_AND_QUERY, SYSTEM_AND_QUERY = 0.003, 0.1, 0.2
ROXFORD = (8, 8, 8, 8, 8, 5, 5, 5, 5, 5, 4, 1)


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


@dataclass(frozen=True, kw_only=True)
class Outcome:
    """Shares of the repetitions: interval holds the truth; equal systems separated at 5 %."""

    coverage: float
    false_positives: float


def settings() -> list[Setting]:
    """The grid: independent queries, groups of five with two correlations; 7, 14 and 70 groups; 1, 3, 5 seeds."""
    found = []
    for size, correlation in ((1, 0.0), (5, 0.3), (5, 0.6)):
        for groups in (7, 14, 70):
            found += [
                Setting(sizes=(size,) * groups, correlation=correlation, seeds=seeds) for seeds in (1, 3, 5)
            ]
    found += [Setting(sizes=ROXFORD, correlation=rho, seeds=s) for rho in (0.3, 0.6) for s in (1, 3, 5)]
    return found


def simulate(setting: Setting, *, repetitions: int, rng: np.random.Generator) -> Outcome:
    """Coverage and false positives on the Beta population.

    With one seed the truth is that of the checkpoint, so no seed shifts anything everywhere.
    """
    share = setting.seed_share if setting.seeds > 1 else 0.0
    units = units_of(setting.sizes)
    covered = separated = 0
    for some in _parts(repetitions, setting.seeds * sum(setting.sizes)):
        a, b = _two_systems(setting, share=share, repetitions=some, rng=rng)
        covered += int(_covers(a, TRUTH, units).sum())
        separated += int((_p_values(a, b, units) < 0.05).sum())
    return Outcome(coverage=covered / repetitions, false_positives=separated / repetitions)


def units_of(sizes: Sequence[int]) -> Units:
    return Units.of([np.repeat(np.arange(len(sizes)), sizes)])


def _parts(repetitions: int, values: int) -> list[int]:
    step = max(1, 2**21 // values)
    return [min(step, repetitions - start) for start in range(0, repetitions, step)]


def _covers(values: np.ndarray, truth: float, units: Units) -> np.ndarray:
    low, high = score_interval(spread(values, units), groups=units.groups)
    return (low <= truth) & (truth <= high)


def _p_values(a: np.ndarray, b: np.ndarray, units: Units) -> np.ndarray:
    return verdict(difference(a, b, units), groups=units.groups)[2]


def _two_systems(
    setting: Setting, *, share: float, repetitions: int, rng: np.random.Generator
) -> tuple[np.ndarray, np.ndarray]:
    """Values (repetitions, S, Q) of two systems of one mean, which find the same queries hard."""
    shared = _grouped(setting, (repetitions, 1), rng)
    return tuple(_system(setting, shared, share=share, rng=rng) for _ in range(2))  # type: ignore[return-value]


def _system(
    setting: Setting, shared: np.ndarray, *, share: float, rng: np.random.Generator
) -> np.ndarray:
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
