"""What papers claim, asked of the measured rows: one paired test a claim and evaluation set.

results/claims/*.yaml says which of two systems a paper puts first. A claim is tested wherever rows of both stand under
one budget; where a claim names suites, two protocols are compared on the same queries.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from vitret.compare.comparable import Entry, Learned, family, learned_from, may_stand_together
from vitret.compare.groups import groups_beside
from vitret.compare.paired import PairedTest, holm, paired_over
from vitret.compare.sides import Side as Measured
from vitret.compare.standing import Answers
from vitret.compare.tables import by_seed
from vitret.core.config import Strict, read_yaml, validate


class Side(Strict):
    """A system, and the suite that measures it; without a suite, any that measures the other side too."""

    system: str
    suite: str = ""


class Claim(Strict):
    says: str
    read: str
    better: Side
    worse: Side


class ClaimsFile(Strict):
    title: str
    source: str
    notes: str = ""
    claims: tuple[Claim, ...]


@dataclass(frozen=True, kw_only=True)
class Tested:
    """A claim on one evaluation set; the test's p is corrected over all claims of its file that were tested."""

    claim: Claim
    train_set: str
    eval_set: str
    metric: str
    means: tuple[float, float]
    # Of each side; 0 for a frozen network with given weights, which has none.
    seeds: tuple[int, int]
    test: PairedTest
    # True where other seeds would give other networks, and only one of a side was run.
    one_run: bool

    @property
    def verdict(self) -> str:
        """In one or two words how the claim fell."""
        if not self.test.separated:
            return "not decided"
        return "holds" if self.test.difference > 0 else "the opposite"


def claims_files(root: Path) -> list[ClaimsFile]:
    """The claims kept beside the rows."""
    return [
        validate(ClaimsFile, read_yaml(path), str(path)) for path in sorted((root / "claims").glob("*.yaml"))
    ]


def judge_claims(file: ClaimsFile, entries: Sequence[Entry]) -> tuple[list[Tested], list[Claim]]:
    """Each claim on each evaluation set that has rows of both sides; and the claims without such rows.

    Rows under a budget of their own are left out, and those with distractors.
    """
    sides: dict[tuple[str, str], dict[tuple[str, ...], list[Entry]]] = {}
    for path, row in entries:
        if row.training.budget != "track" or row.data.distractors:
            continue
        asked = (row.recipe.track.name, row.data.set, row.data.manifest, row.suite.primary)
        alike = (*asked, row.suite.name, row.fingerprint)
        sides.setdefault((row.model.system, ""), {}).setdefault(alike, []).append((path, row))
        sides.setdefault((row.model.system, row.suite.name), {}).setdefault(asked, []).append((path, row))
    found = [one for claim in file.claims for one in _tests_of(claim, sides)]
    corrected = holm([one.test.p_value for one in found])
    tested = [
        replace(one, test=replace(one.test, p_value=p)) for one, p in zip(found, corrected, strict=True)
    ]
    known = [one.claim for one in tested]
    return tested, [claim for claim in file.claims if claim not in known]


def _tests_of(
    claim: Claim, sides: Mapping[tuple[str, str], Mapping[tuple[str, ...], Sequence[Entry]]]
) -> Iterator[Tested]:
    better = sides.get((claim.better.system, claim.better.suite), {})
    worse = sides.get((claim.worse.system, claim.worse.suite), {})
    for place in sorted(better.keys() & worse.keys()):
        pairs = [
            (one, other)
            for one in _recipes(better[place])
            for other in _recipes(worse[place])
            if may_stand_together(one[0][1], other[0][1])
        ]
        if pairs:
            yield _tested(claim, *max(pairs, key=lambda pair: len(pair[0]) + len(pair[1])))


def _recipes(entries: Sequence[Entry]) -> list[list[Entry]]:
    """The seeds of each recipe and of what it learned from: a system may have been changed since its first rows."""
    found: dict[tuple[str, Learned], list[Entry]] = {}
    for entry in entries:
        found.setdefault((family(entry[1]), learned_from(entry[1])), []).append(entry)
    return [found[key] for key in sorted(found)]


def _tested(claim: Claim, better: Sequence[Entry], worse: Sequence[Entry]) -> Tested:
    first = better[0][1]
    metric = first.suite.primary
    groups = groups_beside(*better[0]).numbers
    a, b = (Answers.of([by_seed(side, metric)], [groups]) for side in (better, worse))
    return Tested(
        claim=claim,
        train_set=first.training.set,
        eval_set=first.data.set,
        metric=metric,
        means=(a.mean, b.mean),
        seeds=(_seeds(better), _seeds(worse)),
        test=paired_over(a.values, b.values, a.units),
        one_run=any(Measured(entries=tuple(side)).one_run for side in (better, worse)),
    )


def _seeds(entries: Sequence[Entry]) -> int:
    return len(entries) if entries[0][1].recipe.varies else 0
