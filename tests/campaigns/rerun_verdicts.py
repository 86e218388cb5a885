"""Whether a bench that ran twice says the same twice: count the verdicts on pairs of rows that changed.

    export VITRET_HOME=/tmp/one VITRET_RESULTS=/tmp/one/results
    OMP_NUM_THREADS=1 vitret bench --train-set minitown-clean --seeds 3
    export VITRET_HOME=/tmp/two VITRET_RESULTS=/tmp/two/results
    OMP_NUM_THREADS=2 vitret bench --train-set minitown-clean --seeds 3
    python -m tests.campaigns.rerun_verdicts /tmp/one/results /tmp/two/results

Another number of threads adds in another order, so the networks differ as those of another machine do. Every pair of
recipes that both folders measured on one evaluation set is tested with all its seeds at the suite's primary number,
corrected by Holm over the pairs of that set. A verdict is flipped where one folder tells two recipes apart and the
other does not, and reversed where they name different winners. Exit 0 when at most one in twenty is flipped and none
is reversed.
"""

import argparse
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from itertools import combinations
from pathlib import Path

import numpy as np

from vitret.compare.groups import groups_beside
from vitret.compare.paired import PairedTest, holm, paired_test
from vitret.compare.results import per_query
from vitret.compare.tables import Entry, family, read_all

ALLOWED = 1 / 20
Question = tuple[str, ...]


@dataclass(frozen=True, kw_only=True)
class Verdict:
    """−1 or 1 for the recipe that is surely better, 0 for neither; the difference in points, for reading."""

    sign: int
    points: float


def verdicts(results: Path, *, shared: set[Question] | None = None) -> dict[Question, Verdict]:
    """The verdict on each pair of recipes of each evaluation set; with `shared` only on recipes in it."""
    found: dict[Question, Verdict] = {}
    for question, rows in sorted(_by_set(results).items()):
        known = {
            name: entries for name, entries in rows.items() if shared is None or (*question, name) in shared
        }
        pairs = list(combinations(sorted(known), 2))
        tests = [_test(known[a], known[b], key=question[-1]) for a, b in pairs]
        for (a, b), test, p in zip(pairs, tests, holm([test.p_value for test in tests]), strict=True):
            sign = int(np.sign(test.difference)) if p < 0.05 else 0
            found[*question, a, b] = Verdict(sign=sign, points=100 * test.difference)
    return found


def recipes(results: Path) -> set[Question]:
    return {(*question, name) for question, rows in _by_set(results).items() for name in rows}


def _by_set(results: Path) -> dict[Question, dict[str, list[Entry]]]:
    """Rows by training set, fingerprint, evaluation set and primary number, then by recipe without its seed."""
    found: dict[Question, dict[str, list[Entry]]] = {}
    for path, row in read_all(results):
        if row.suite.primary not in row.metrics:
            continue
        question = (row.training.set, row.fingerprint, row.eval_name, row.suite.primary)
        name = f"{row.model.system} {family(row)[:8]}"
        found.setdefault(question, {}).setdefault(name, []).append((path, row))
    return found


def _test(a: list[Entry], b: list[Entry], *, key: str) -> PairedTest:
    left, right = (np.stack([per_query(path, key) for path, _ in entries]) for entries in (a, b))
    return paired_test(left, right, groups_beside(*a[0]).numbers)


def compare(
    first: Mapping[Question, Verdict], second: Mapping[Question, Verdict]
) -> tuple[list[Question], list[Question]]:
    """The pairs whose verdict is flipped, and those of them that are reversed."""
    flipped = [pair for pair in first if first[pair].sign != second[pair].sign]
    return flipped, [pair for pair in flipped if first[pair].sign * second[pair].sign < 0]


def main() -> int:
    parser = argparse.ArgumentParser()
    parser.add_argument("first", type=Path)
    parser.add_argument("second", type=Path)
    given = parser.parse_args()
    shared = recipes(given.first) & recipes(given.second)
    one, two = (verdicts(folder, shared=shared) for folder in (given.first, given.second))
    if not one:
        print("no two recipes of one evaluation set are in both folders: nothing is compared")
        return 2
    flipped, reversed_ones = compare(one, two)
    for pair in flipped:
        before, after = one[pair], two[pair]
        print(f"{' '.join(pair)}: {before.points:+.1f} ({before.sign}) / {after.points:+.1f} ({after.sign})")
    told = sum(verdict.sign != 0 for verdict in one.values())
    print(f"{len(one)} pairs, {told} told apart; {len(flipped)} flipped, {len(reversed_ones)} reversed")
    return int(len(flipped) > ALLOWED * len(one) or bool(reversed_ones))


if __name__ == "__main__":
    sys.exit(main())
