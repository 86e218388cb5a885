"""Which levels of a suite a set can be measured at: those at which some query has a positive."""

from __future__ import annotations

from pathlib import Path

from vitret.compare.arena import read_suite
from vitret.core.config import file_names
from vitret.core.errors import EmptyError, UserError, VitretError
from vitret.core.protocol import Suite, metric_key
from vitret.core.records import EvalSet


def measurable(suite: Suite, evalset: EvalSet) -> tuple[str, ...]:
    """The suite's levels at which a query of the set has a positive, in the suite's order."""
    known = [level for level in suite.levels if level in evalset.truth.levels]
    return tuple(level for level in known if len(evalset.truth.at(level)[0].values))


def owed_keys(suite: Suite, evalset: EvalSet) -> set[str]:
    """The numbers that a suite gives of a set; no level without positives has one."""
    return {metric_key(metric, level) for metric in suite.metrics for level in measurable(suite, evalset)}


def require_measurable(suites: Path, suite: Suite, evalset: EvalSet) -> EvalSet:
    """The set, if the suite can measure it.

    Raises:
        UserError: the set is judged in another way; the message names the suites that fit.
        EmptyError: no query has a positive at any level of the suite.
    """
    if not set(suite.levels) & set(evalset.truth.levels):
        fitting = _fitting(suites, evalset)
        instead = f" Take --suite {' or '.join(fitting[:3])}." if fitting else ""
        raise UserError(
            f"{evalset.name} is judged at {', '.join(evalset.truth.levels)}; the suite '{suite.name}' measures "
            f"{', '.join(suite.levels)}.{instead}"
        )
    if not measurable(suite, evalset):
        raise EmptyError(
            f"{evalset.name}: no query has a positive at {', '.join(suite.levels)}, the levels of the suite "
            f"'{suite.name}'."
        )
    return evalset


def _fitting(suites: Path, evalset: EvalSet) -> list[str]:
    """Suites for sets that are named on the command line, by levels that the set has; else those that name the set."""
    own, official = [], []
    for name in file_names(suites):
        try:
            suite = read_suite(suites, name)
        except VitretError:
            continue  # a damaged suite of the user's is no advice
        if set(suite.levels) <= set(evalset.truth.levels):
            if evalset.name in suite.sets:
                official.append(name)
            elif not suite.sets:
                own.append(name)
    return official + own
