"""Two rows against each other, and protocols by their fingerprint."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

import numpy as np

from vitret.compare.comparable import NOTHING, Entry, learned_from, may_stand_together
from vitret.compare.gains import Gain, gains
from vitret.compare.groups import Groups, groups_beside
from vitret.compare.overlap.affected import Affected, said_of
from vitret.compare.paired import paired_test
from vitret.compare.results import read_result, result_files
from vitret.compare.sides import Side, require_same_measurement, seeds_sentence, side_of, with_seeds
from vitret.core.config import file_names, named_file, read_yaml, validate, yaml_files
from vitret.core.errors import UserError, did_you_mean
from vitret.core.protocol import Protocol, Suite
from vitret.core.records import Int64


@dataclass(frozen=True, kw_only=True)
class Comparison:
    """Two rows in words, one line of cells a metric under `HEADS`, and of one metric the gains and losses by group."""

    HEADS: ClassVar = ("metric", "A", "B", "B−A", "interval", "p", "verdict")

    words: tuple[str, ...]
    cells: tuple[tuple[str, ...], ...]
    metric: str
    gains: tuple[Gain, ...]
    # The same metrics without the queries that overlap concerns; empty where none was asked to be left out.
    without: tuple[tuple[str, ...], ...] = ()


def compare_rows(
    a: Path, b: Path, *, seeds: bool = True, metric: str = "", without: Sequence[Affected] = ()
) -> Comparison:
    """Both values of every shared metric, and the paired difference b − a with its interval and p.

    With `seeds`, the rows beside each that differ from it in their seed alone are taken too. Gains and losses are those
    of `metric`, else of the primary number. `without` gives the metrics a second time, on the queries it leaves.

    Raises:
        UserError: the rows may not be compared; the message names every switch that differs.
    """
    left, right = _sides(a, b, seeds=seeds)
    require_same_measurement(left.row, right.row)
    words = [f"A  {left.words}", f"B  {right.words}"]
    one, other = left.row, right.row
    if one == other:
        words.append("A and B are the same row: no difference can be seen.")
    learned = {learned_from(one), learned_from(other)} != {NOTHING}
    if learned and (one.training.set != other.training.set or not may_stand_together(one, other)):
        words.append("Their training differs in data or budget: this is no comparison of methods.")
    words += said_of(without, [left.row, right.row]) if without else []
    dropped = _dropped([left, right], without)
    groups = _groups((a, left.row), (b, right.row))
    words.append(f"Queries: {groups.words(left.row.data.set)}.")
    one_run = seeds_sentence([left, right])
    words += [one_run] if one_run else []
    shared = [key for key in left.row.metrics if key in right.row.metrics]
    chosen = metric or (left.row.suite.primary if left.row.suite.primary in shared else shared[0])
    if chosen not in shared:
        raise UserError(f"--metric {chosen}: not in both rows. {did_you_mean(chosen, shared)}")
    return Comparison(
        words=tuple(words),
        cells=tuple(_cells(left, right, key, groups) for key in shared),
        metric=chosen,
        gains=tuple(gains(left.values(chosen), right.values(chosen), groups.numbers)),
        without=tuple(_cells(left, right, key, groups, dropped) for key in shared) if len(dropped) else (),
    )


def _dropped(sides: Sequence[Side], without: Sequence[Affected]) -> Int64:
    """The queries that overlap of either side's training set concerns."""
    found = [one.rows for one in without if any(one.concerns(side.row) for side in sides)]
    return np.unique(np.concatenate(found)) if found else np.empty(0, np.int64)


def _sides(a: Path, b: Path, *, seeds: bool) -> tuple[Side, Side]:
    """Both sides; two rows that differ in their seed alone are one run each."""
    if seeds:
        left, right = with_seeds(a), with_seeds(b)
        if not {path.resolve() for path, _ in left.entries} & {path.resolve() for path, _ in right.entries}:
            return left, right
    return side_of([a]), side_of([b])


def _groups(one: Entry, other: Entry) -> Groups:
    """The groups that either of two rows on the same set has beside it; raises `UserError` where they differ."""
    left, right = groups_beside(*one), groups_beside(*other)
    if left.known and right.known and not np.array_equal(left.numbers, right.numbers):
        raise UserError(
            f"{one[0]}, {other[0]}: the folders they lie in group the queries of {one[1].data.set} in different ways "
            f"({left.rule}; {right.rule}). Compare rows of one folder."
        )
    return left if left.known else right


def _cells(
    left: Side, right: Side, key: str, groups: Groups, dropped: Int64 | None = None
) -> tuple[str, ...]:
    one, other = left.values(key), right.values(key)
    if dropped is not None:
        one[:, dropped] = other[:, dropped] = np.nan
        if np.isnan(one).all():  # no query with a positive is left
            return key, *("–" for _ in Comparison.HEADS[1:])
    test = paired_test(other, one, groups.numbers)
    better = "B is better" if test.difference > 0 else "A is better"
    return (
        key,
        f"{100 * np.nanmean(one):.1f}",
        f"{100 * np.nanmean(other):.1f}",
        f"{100 * test.difference:+.1f}",
        f"[{100 * test.low:+.1f}, {100 * test.high:+.1f}]",
        f"{test.p_value:.4f}",
        better if test.separated else "tie",
    )


def read_suite(suites: Path, name: str) -> Suite:
    """A suite by its name or a preset's, every default of its re-ranker written out, as the fingerprint holds them."""
    known = name in file_names(suites) or name.endswith((".yaml", ".yml"))
    path = named_file("suite", suites, name if known else presets(suites).get(name, name))
    suite = validate(Suite, read_yaml(path), str(path))
    protocol = suite.protocol.model_copy(update={"rerank": suite.protocol.rerank.resolved()})
    return suite.model_copy(update={"protocol": protocol})


def presets(suites: Path) -> dict[str, str]:
    """Names of other tools' protocols, sorted, and the suite that each stands for.

    Raises `UserError` where two suites claim one name.
    """
    found: dict[str, str] = {}
    for suite, path in yaml_files(suites).items():
        for name in validate(Suite, read_yaml(path), str(path)).presets:
            if found.setdefault(name, suite) != suite:
                raise UserError(f"{path}: '{name}' stands for {found[name]} already. Choose another name.")
    return dict(sorted(found.items()))


def find_protocol(fingerprint: str, suites: Path, results: Path) -> Protocol:
    """The protocol of a fingerprint (or of a suite by name), looked for in the suites and in measured rows."""
    names = file_names(suites)
    if fingerprint in names or fingerprint in presets(suites):
        return read_suite(suites, fingerprint).protocol
    known = {
        suite.protocol.fingerprint: suite.protocol for suite in (read_suite(suites, name) for name in names)
    }
    for path in result_files(results):
        protocol = read_result(path).protocol
        known.setdefault(protocol.fingerprint, protocol)
    if fingerprint not in known:
        raise UserError(
            f"No suite or row has the fingerprint '{fingerprint}'. {did_you_mean(fingerprint, [*known, *names])}"
        )
    return known[fingerprint]
