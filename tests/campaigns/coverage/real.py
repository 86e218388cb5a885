"""The second population: per-query values of committed rows, drawn again group by group, three queries of each.

Each simulated seed takes the values of one of the real rows for each group, drawn again, so what seeds and groups do
together is real. Each seed moreover raises or lowers all values by a normal power,
with a standard deviation of one point of the mean: three or five real seeds are too few to draw that from.
"""

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from vitret.compare.groups import groups_for
from vitret.compare.results import per_query, read_result, result_files

QUERIES = 3
SHIFT = 0.01
_NODES, _WEIGHTS = np.polynomial.hermite_e.hermegauss(41)


@dataclass(frozen=True, kw_only=True)
class Source:
    """Where values come from: the seeds of a system on one evaluation set under one suite, and which number of them."""

    train_set: str
    suite: str
    system: str
    eval_set: str
    key: str

    @property
    def words(self) -> str:
        return f"{self.eval_set} {self.key}, {self.system}"


SOURCES = (
    Source(
        train_set="landmarks-mix",
        suite="landmarks-mix",
        system="vit_tiny_irt_r",
        eval_set="landmarks-mix",
        key="MAP@R",
    ),
    *(
        Source(
            train_set="landmarks-mix",
            suite="own-photographs",
            system="vit_tiny_irt_r",
            eval_set="minilandmarks",
            key=f"mAP ({level})",
        )
        for level in ("hard", "medium", "easy")
    ),
    *(
        Source(
            train_set="minitown-sfm",
            suite="minitown",
            system="tiny_dtop",
            eval_set=f"rminitown-{side}",
            key=f"mAP ({level})",
        )
        for side in ("east", "west")
        for level in ("hard", "medium")
    ),
)


@dataclass(frozen=True, kw_only=True)
class Rows:
    """Values (R, Q) of real rows, their queries sorted by group, and where each group starts and how many it has."""

    values: np.ndarray
    starts: np.ndarray
    sizes: np.ndarray

    @classmethod
    def read(cls, results: Path, source: Source) -> "Rows":
        """The committed rows of a source."""
        files = [
            path
            for path in result_files(results)
            if path.parts[-4:-1] == (source.train_set, source.system, source.eval_set)
            and read_result(path).suite.name == source.suite
        ]
        values = np.stack([per_query(path, source.key) for path in files])
        known = ~np.isnan(values).any(axis=0)
        groups = groups_for(results, read_result(files[0])).numbers[known]
        order = np.argsort(groups, kind="stable")
        _, starts, sizes = np.unique(groups[order], return_index=True, return_counts=True)
        return cls(values=values[:, known][:, order], starts=starts, sizes=sizes)

    def truth(self, seeds: int) -> float:
        """The mean that a long series of draws would come to: groups count the same."""
        powers, weights = np.ones(1), np.ones(1)
        if seeds > 1:
            powers, weights = np.exp(self._spread_of_power * _NODES), _WEIGHTS
        means = [(self._group_means(self.values**power)).mean() for power in powers]
        return float((means * weights).sum() / weights.sum())

    def _group_means(self, values: np.ndarray) -> np.ndarray:
        return np.add.reduceat(values, self.starts, axis=1) / self.sizes

    @property
    def _spread_of_power(self) -> float:
        """Standard deviation of the logarithm of the power that moves the mean by `SHIFT`."""
        inside = np.clip(self.values, 1e-12, 1)
        return SHIFT / float(-self._group_means(inside * np.log(inside)).mean())

    def draws(
        self, *, groups: int, seeds: int, repetitions: int, rng: np.random.Generator
    ) -> tuple[np.ndarray, np.ndarray]:
        """Values (repetitions, S, 3 × groups) of two equal systems.

        With one seed the two never take the same row of a group, so that every difference between them is real.
        """
        drawn = rng.integers(0, len(self.sizes), (repetitions, groups, 1))
        picked = (rng.random((repetitions, groups, QUERIES)) * self.sizes[drawn]).astype(int)
        columns = (self.starts[drawn] + picked).reshape(repetitions, 1, -1)
        rows, shape = len(self.values), (repetitions, seeds, groups)
        first = rng.integers(0, rows, shape)
        other = rng.integers(0, rows, shape) if seeds > 1 else first + rng.integers(1, rows, shape)
        a, b = (self.values[np.repeat(taken, QUERIES, axis=-1), columns] for taken in (first, other % rows))
        if seeds == 1:
            return a, b
        power = np.exp(self._spread_of_power * rng.standard_normal((2, repetitions, seeds, 1)))
        return a ** power[0], b ** power[1]
