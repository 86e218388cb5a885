"""Coverage and false positives of every cell of docs/statistics.md.

    python -m tests.campaigns.coverage.simulation --repetitions 1000 --write

Prints what it measures; `--write` keeps it in coverage.json beside this file and puts its tables into the page.
"""

import argparse
import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from tests.campaigns.coverage import beta, nearly, others, page
from tests.campaigns.coverage.beta import Setting
from tests.campaigns.coverage.real import QUERIES, SOURCES, Rows
from vitret.compare.intervals import Units, score_interval, spread
from vitret.compare.paired import difference, verdict

# Another seed than those with which the method was chosen.
SEED = 2027
DRAWS = 1999
AT_ONCE = 2000
# Repetitions where bootstraps are compared.
FEWER = 1000
REAL_GROUPS = (7, 14, 30, 70)


@dataclass(frozen=True, kw_only=True)
class Outcome:
    """Shares of the repetitions: interval holds the truth; equal systems separated at 5 %."""

    coverage: float
    false_positives: float

    @property
    def percent(self) -> dict[str, float]:
        return {
            "coverage": round(100 * self.coverage, 2),
            "false_positives": round(100 * self.false_positives, 2),
        }


def simulate(setting: Setting, *, repetitions: int, rng: np.random.Generator) -> Outcome:
    """Coverage and false positives on the Beta population."""
    units = units_of(setting.sizes)
    covered = separated = 0
    for a, b in beta.draws(setting, repetitions=repetitions, rng=rng):
        covered += int(_covers(a, beta.TRUTH, units).sum())
        separated += int(_separates(a, b, units).sum())
    return Outcome(coverage=covered / repetitions, false_positives=separated / repetitions)


def simulate_rows(
    rows: Rows, *, groups: int, seeds: int, repetitions: int, rng: np.random.Generator
) -> Outcome:
    """Coverage and false positives where groups and seeds are drawn from real rows."""
    units = units_of((QUERIES,) * groups)
    truth = rows.truth(seeds)
    covered = separated = 0
    for start in range(0, repetitions, AT_ONCE):
        some = min(AT_ONCE, repetitions - start)
        a, b = rows.draws(groups=groups, seeds=seeds, repetitions=some, rng=rng)
        covered += int(_covers(a, truth, units).sum())
        separated += int(_separates(a, b, units).sum())
    return Outcome(coverage=covered / repetitions, false_positives=separated / repetitions)


def units_of(sizes: tuple[int, ...]) -> Units:
    return Units.of([np.repeat(np.arange(len(sizes)), sizes)])


def _covers(values: np.ndarray, truth: float, units: Units) -> np.ndarray:
    low, high = score_interval(spread(values, units), groups=units.groups)
    return (low <= truth) & (truth <= high)


def _separates(a: np.ndarray, b: np.ndarray, units: Units) -> np.ndarray:
    return verdict(difference(a, b, units), groups=units.groups)[2] < 0.05


def compare_methods(
    setting: Setting, *, repetitions: int, rng: np.random.Generator
) -> tuple[dict[str, float], dict[str, float]]:
    """Coverage of the other intervals and false positives of the other tests, per cent, on one seed."""
    units = units_of(setting.sizes)
    held: dict[str, int] = {}
    separated: dict[str, int] = {}
    for a, b in beta.draws(setting, repetitions=repetitions, rng=rng):
        means, against = (one[:, 0].reshape(len(one), len(setting.sizes), -1).mean(axis=-1) for one in (a, b))
        for name, (low, high) in others.intervals(means, draws=DRAWS, rng=rng).items():
            held[name] = held.get(name, 0) + int(((low <= beta.TRUTH) & (high >= beta.TRUTH)).sum())
        held["ours"] = held.get("ours", 0) + int(_covers(a, beta.TRUTH, units).sum())
        for name, p in others.p_values(means - against, draws=DRAWS, rng=rng).items():
            separated[name] = separated.get(name, 0) + int((p < 0.05).sum())
    return tuple(  # type: ignore[return-value]
        {name: round(100 * count / repetitions, 2) for name, count in one.items()}
        for one in (held, separated)
    )


def measure(repetitions: int, results: Path) -> dict[str, Any]:
    """All cells, as they are kept in coverage.json."""
    return {
        "seed": SEED,
        "repetitions": repetitions,
        "beta": list(_beta_cells(repetitions)),
        "nearly": list(_nearly_cells(repetitions)),
        "real": list(_real_cells(repetitions, results)),
        "methods": list(_method_cells(min(repetitions, FEWER))),
    }


def _beta_cells(repetitions: int) -> Iterator[dict[str, Any]]:
    for number, one in enumerate(beta.settings()):
        out = simulate(one, repetitions=repetitions, rng=np.random.default_rng([SEED, 0, number]))
        yield _said(
            {
                "groups": one.words,
                "correlation": one.correlation,
                "seeds": one.seeds,
                "seed_share": one.seed_share,
                **out.percent,
            }
        )


def _nearly_cells(repetitions: int) -> Iterator[dict[str, Any]]:
    for number, one in enumerate(nearly.cells()):
        values = one.draws(repetitions=repetitions, rng=np.random.default_rng([SEED, 3, number]))
        covered = _covers(values, one.truth, units_of((1,) * one.groups)).mean()
        yield _said({"least": one.least, "groups": one.groups, "coverage": round(100 * covered, 2)})


def _real_cells(repetitions: int, results: Path) -> Iterator[dict[str, Any]]:
    for number, source in enumerate(SOURCES):
        rows = Rows.read(results, source)
        for groups in REAL_GROUPS:
            for seeds in (1, 3, 5):
                rng = np.random.default_rng([SEED, 1, number, groups, seeds])
                out = simulate_rows(rows, groups=groups, seeds=seeds, repetitions=repetitions, rng=rng)
                yield _said({"rows": source.words, "groups": groups, "seeds": seeds, **out.percent})


def _method_cells(repetitions: int) -> Iterator[dict[str, Any]]:
    for number, one in enumerate(setting for setting in beta.grid() if setting.seeds == 1):
        rng = np.random.default_rng([SEED, 2, number])
        held, separated = compare_methods(one, repetitions=repetitions, rng=rng)
        yield _said(
            {
                "groups": one.words,
                "correlation": one.correlation,
                "coverage": held,
                "false_positives": separated,
            }
        )


def _said(cell: dict[str, Any]) -> dict[str, Any]:
    print(json.dumps(cell), flush=True)
    return cell


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--repetitions", type=int, default=1000)
    parser.add_argument("--results", type=Path, default=Path("results"))
    parser.add_argument("--write", action="store_true")
    given = parser.parse_args()
    found = measure(given.repetitions, given.results)
    if given.write:
        page.KEPT.write_text(json.dumps(found, indent=1) + "\n")
        page.PAGE.write_text(page.with_tables(page.PAGE.read_text(), found))


if __name__ == "__main__":
    main()
