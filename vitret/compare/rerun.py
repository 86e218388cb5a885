"""What each protocol switch between two rows moves: one network measured again, one switch changed at a time."""

from __future__ import annotations

import shlex
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from vitret.compare.asked import Places
from vitret.compare.groups import groups_beside
from vitret.compare.machine import Machine, Say
from vitret.compare.paired import PairedTest, paired_test
from vitret.compare.remeasure import Case, require_network
from vitret.compare.results import Result, read_result
from vitret.core.config import validate
from vitret.core.errors import UserError, VitretError
from vitret.core.protocol import Protocol, differences, metric_key
from vitret.core.records import Float64, Int64

# What a row says beside its protocol. None of it is a switch that one network can be measured with and without.
_OTHER = ("model", "training", "data")
_NOT_COMPARED = {"data.failed_images", "data.warning", "model.dim", "data.whitening_manifest"}


@dataclass(frozen=True, kw_only=True)
class Moved:
    """One change of the protocol, and for each metric how far it moved the number; or why it was not measured."""

    what: str
    tests: Mapping[str, PairedTest]
    why: str = ""


@dataclass(frozen=True, kw_only=True)
class Rerun:
    """The network of row A, measured again under its own protocol and with changes towards that of B.

    `base` are A's numbers as measured now, `stored` as its row keeps them; `others` are differences that no change of
    the protocol explains, a sentence each.
    """

    base: Mapping[str, float]
    stored: Mapping[str, float]
    moved: tuple[Moved, ...]
    others: tuple[str, ...]


def rerun(places: Places, a: Path, b: Path, *, machine: Machine, say: Say) -> Rerun:
    """Measure A's network with each of B's protocol switches alone, then with all of them.

    Nothing but caches is written. Raises `UserError` where the protocols are equal, `DataError` where A's network or
    its evaluation set is not here as the row knows it.
    """
    left, right = read_result(a), read_result(b)
    changes = list(_changes(left.protocol, right.protocol))
    others = tuple(_others(left, right))
    if not changes:
        one, other = left.eval_name, right.eval_name
        sets = "" if one == other else f" The rows are of other evaluation sets: {one} and {other}."
        raise UserError(
            f"The protocols are equal, so there is no switch to change.{sets} `vitret diff A B` without --rerun shows "
            "what else differs."
        )
    keys = [key for key in left.metrics if key in right.metrics] or list(left.metrics)
    case = Case(name="row A", places=places, row=left, machine=machine, say=say)
    require_network(case)
    say(f"{left.model.title} on {left.eval_name}: as row A")
    base = _values(case, left.protocol)
    groups = groups_beside(a, left).numbers
    moved = [
        _moved(case, base, groups, keys, what=what, protocol=protocol, why=why)
        for what, protocol, why in [*changes, *_together(changes, right.protocol)]
    ]
    means = {key: _mean(values) for key, values in base.items() if key in keys}
    stored = {key: left.metrics[key].value for key in keys}
    return Rerun(base=means, stored=stored, moved=tuple(moved), others=others)


Change = tuple[str, Protocol | None, str]


def _changes(a: Protocol, b: Protocol) -> Iterator[Change]:
    """(the switch in words, A's protocol with it, why there is none)."""
    for name in Protocol.model_fields:
        was, now = getattr(a, name), getattr(b, name)
        if was == now:
            continue
        words = f"{name}: {_words(was, now)}"
        try:
            yield words, validate(Protocol, {**dict(a), name: now}, name), ""
        except UserError as error:
            yield words, None, f"stands only together with other switches ({error})"


def _words(was: Any, now: Any) -> str:
    """Both values of a switch; of one with settings of its own, those that differ."""
    if not hasattr(was, "model_dump"):
        return f"{was} → {now}"
    leaves = differences(was.model_dump(mode="json"), now.model_dump(mode="json"))
    return ", ".join(f"{key} {left} → {right}" for key, (left, right) in leaves.items())


def _together(changes: list[Change], protocol: Protocol) -> list[Change]:
    return [("all of them", protocol, "")] if len(changes) > 1 else []


def _moved(
    case: Case,
    base: Mapping[str, Float64],
    groups: Int64,
    keys: list[str],
    *,
    what: str,
    protocol: Protocol | None,
    why: str,
) -> Moved:
    """Measure one change; what this machine cannot do is said, with the command that would."""
    if protocol is None:
        return Moved(what=what, tests={}, why=why)
    if protocol.rerank.learned and protocol.rerank != case.row.protocol.rerank:
        return Moved(what=what, tests={}, why=f"needs a trained matcher: {_bench(case.row)} --suite SUITE")
    case.say(what)
    try:
        found = _values(case, protocol)
    except VitretError as error:
        return Moved(what=what, tests={}, why=str(error))
    return Moved(what=what, tests={key: paired_test(found[key], base[key], groups) for key in keys})


def _values(case: Case, protocol: Protocol) -> dict[str, Float64]:
    """Per-query values (Q,) of each of the row's metrics under a protocol."""
    per = case.measured(protocol).measurement.per_query
    return {metric_key(metric, level): values for (level, metric), values in per.items()}


def _bench(row: Result) -> str:
    """The command that measures this system under another suite."""
    recipe = row.recipe
    words = ["vitret", "bench", "--train-set", recipe.track.train_set]
    kind = "--systems" if row.training.budget == "track" else "--published"
    return shlex.join([*words, kind, recipe.system.name])


def _others(left: Result, right: Result) -> Iterator[str]:
    """What differs beside the protocol, with the command that made B."""
    found = False
    for part in _OTHER:
        first, second = (getattr(row, part).model_dump(mode="json") for row in (left, right))
        for key, (was, now) in differences(first, second, f"{part}.").items():
            if key not in _NOT_COMPARED:
                found = True
                yield f"{key}: {was} → {now}"
    if found:
        yield f"These are no protocol switches; row B was made by: {right.command}"


def _mean(values: Float64) -> float:
    kept = values[values == values]
    return float(kept.mean()) if len(kept) else float("nan")
