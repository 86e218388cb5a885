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
from scipy.special import ndtr, ndtri, stdtrit
from scipy.stats import beta

from vitret.compare.groups import groups_for
from vitret.compare.intervals import Units, score_interval, spread
from vitret.compare.paired import difference, verdict
from vitret.compare.results import per_query, read_result, result_files

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


@dataclass(frozen=True, kw_only=True)
class Rows:
    """Per-query values of real rows, (R, Q), and the group of each query, (Q,): a population to draw from."""

    values: np.ndarray
    groups: np.ndarray

    @property
    def truth(self) -> float:
        """The mean over groups' queries and rows that a long series of draws would come to."""
        return float(self.values.mean(axis=0).sum() / self.values.shape[1])


def read_rows(results: Path, eval_set: str, key: str) -> Rows:
    """The committed rows of the ViT systems on one set; the groups are those of the set's committed file."""
    files = [p for p in result_files(results) if p.parts[-2] == eval_set]
    files = [p for p in files if "dtop" in p.parts[-3] and key in read_result(p).metrics]
    values = np.stack([per_query(p, key) for p in files])
    known = ~np.isnan(values).any(axis=0)
    groups = groups_for(results, read_result(files[0]))
    return Rows(values=values[:, known], groups=groups.numbers[known])


def simulate_rows(
    rows: Rows, *, groups: int, seeds: int, repetitions: int, rng: np.random.Generator
) -> Outcome:
    """Coverage and false positives where groups and rows are drawn from real ones.

    Rows stand in for seeds: each system draws its own, so two systems are equal on average. With one seed both
    systems draw a row each, whose difference is real for these two checkpoints: no false positive is counted.
    """
    members = [np.flatnonzero(rows.groups == g) for g in np.unique(rows.groups)]
    covered = separated = 0
    for _ in range(repetitions):
        drawn = rng.integers(0, len(members), groups)
        columns = np.concatenate([members[g] for g in drawn])
        units = units_of([len(members[g]) for g in drawn])
        a, b = (rows.values[rng.integers(0, len(rows.values), seeds)][:, columns] for _ in range(2))
        if seeds == 1:
            chosen = rng.integers(0, len(rows.values))
            truth = float(rows.values[chosen].mean())
            a = rows.values[[chosen]][:, columns]
        else:
            truth = rows.truth
        covered += int(_covers(a, truth, units))
        separated += int(_p_values(a, b, units) < 0.05)
    return Outcome(coverage=covered / repetitions, false_positives=separated / repetitions)


def candidates(
    setting: Setting, *, repetitions: int, draws: int, rng: np.random.Generator
) -> dict[str, float]:
    """Coverage of the other intervals on one seed: percentile and percentile-t and BCa over groups, and t of means."""
    units = units_of(setting.sizes)
    a, _ = _two_systems(setting, share=0.0, repetitions=repetitions, rng=rng)
    held = dict.fromkeys(
        ("queries, percentile", "percentile", "percentile-t", "BCa", "t of means", "ours"), 0
    )
    held["ours"] = int(_covers(a, TRUTH, units).sum())
    for values in a[:, 0]:
        sums = np.add.reduceat(values[units.order], units.starts)
        for name, (low, high) in _others(
            values, sums, units.sizes.astype(float), draws=draws, rng=rng
        ).items():
            held[name] += int(low <= TRUTH <= high)
    return {name: count / repetitions for name, count in held.items()}


def _others(
    values: np.ndarray, sums: np.ndarray, sizes: np.ndarray, *, draws: int, rng: np.random.Generator
) -> dict[str, tuple[float, float]]:
    """Five intervals of one set of values, by its groups' sums (G,) and sizes (G,)."""
    n, mean = len(sums), sums.sum() / sizes.sum()
    times = rng.multinomial(n, np.full(n, 1 / n), draws).astype(float)
    means = (times @ sums) / (times @ sizes)
    own_error = _ratio_errors(np.ones((1, n)), sums, sizes)[0]
    with np.errstate(divide="ignore", invalid="ignore"):
        pulls = (means - mean) / _ratio_errors(times, sums, sizes)
    pulls = pulls[np.isfinite(pulls)]
    t = np.quantile(pulls, [0.025, 0.975]) if len(pulls) else np.zeros(2)
    left_out = (sums.sum() - sums) / (sizes.sum() - sizes)
    pull = left_out.mean() - left_out
    skew = (pull**3).sum() / max(6 * (pull**2).sum() ** 1.5, 1e-12)
    shift = ndtri(np.clip((means < mean).mean(), 1 / draws, 1 - 1 / draws))
    z = shift + ndtri(np.array([0.025, 0.975]))
    group_means = sums / sizes
    half = stdtrit(n - 1, 0.975) * group_means.std(ddof=1) / np.sqrt(n)
    single = rng.choice(values, (draws, len(values))).mean(axis=1)
    return {
        "queries, percentile": tuple(np.quantile(single, [0.025, 0.975])),
        "percentile": tuple(np.quantile(means, [0.025, 0.975])),
        "percentile-t": (mean - t[1] * own_error, mean - t[0] * own_error),
        "BCa": tuple(np.quantile(means, ndtr(shift + z / (1 - skew * z)))),
        "t of means": (group_means.mean() - half, group_means.mean() + half),
    }


def _ratio_errors(times: np.ndarray, sums: np.ndarray, sizes: np.ndarray) -> np.ndarray:
    """Standard errors (draws,) of ratio means, each group taken as often as `times` (draws, G) says."""
    total = times @ sizes
    means = (times @ sums) / total
    squares = times @ sums**2 - 2 * means * (times @ (sums * sizes)) + means**2 * (times @ sizes**2)
    return np.sqrt(np.maximum(squares, 0)) / total


def main() -> None:
    """Print the tables of docs/statistics.md."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--repetitions", type=int, default=1000)
    parser.add_argument("--results", type=Path, default=Path("results"))
    given = parser.parse_args()
    print(
        "| groups | correlation | seeds | coverage % | false positives % |\n| --- | --: | --: | --: | --: |"
    )
    for number, one in enumerate(settings()):
        out = simulate(one, repetitions=given.repetitions, rng=np.random.default_rng([10, number]))
        print(
            f"| {one.words} | {one.correlation} | {one.seeds} "
            f"| {_points(out.coverage)} | {_points(out.false_positives)} |",
            flush=True,
        )
    print(
        "\n| groups of 5 | correlation | "
        + " | ".join(("queries, percentile", "percentile", "percentile-t", "BCa", "t of means", "ours"))
        + " |"
    )
    print("| --: | --: |" + " --: |" * 6)
    for groups in (7, 14, 70):
        for rho in (0.3, 0.6):
            one = Setting(sizes=(5,) * groups, correlation=rho, seeds=1)
            found = candidates(
                one, repetitions=given.repetitions, draws=999, rng=np.random.default_rng([11, groups])
            )
            print(
                f"| {groups} | {rho} | " + " | ".join(_points(v) for v in found.values()) + " |", flush=True
            )
    print("\n| rows | groups | seeds | coverage % | false positives % |\n| --- | --: | --: | --: | --: |")
    for name in ("rminitown-east", "rminitown-west"):
        rows = read_rows(given.results, name, "mAP (medium)")
        for groups in (7, 12, 70):
            for seeds in (1, 3, 5):
                out = simulate_rows(
                    rows,
                    groups=groups,
                    seeds=seeds,
                    repetitions=given.repetitions,
                    rng=np.random.default_rng([12, groups, seeds]),
                )
                wrong = "–" if seeds == 1 else _points(out.false_positives)
                print(f"| {name} | {groups} | {seeds} | {_points(out.coverage)} | {wrong} |", flush=True)


def _points(share: float) -> str:
    return f"{100 * share:.1f}"


if __name__ == "__main__":
    main()
