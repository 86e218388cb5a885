"""One verdict against a baseline, and the exit code that follows from it."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import pytest

from vitret.compare.baseline import read_baseline, verdict
from vitret.compare.results import read_result
from vitret.compare.work import Task, Work
from vitret.core.errors import CheckError, DataError, UserError
from vitret.core.protocol import Protocol, Suite
from vitret.core.records import EvalSet, Images, Ragged, Truth

BEST, GOOD, BAD = [0] * 30, [0] * 29 + [1], [9] * 30


def _prepared(name: str) -> EvalSet:
    """An evaluation set of the digest that written rows have; of no query, because only its digest is looked at."""
    none = Images.of(Path(), [])
    truth = Truth(judgements={"positive": Ragged.of([])})
    return EvalSet(name=name, queries=none, database=none, truth=truth, digest="m")


def _work(*rows: Path, sets: tuple[str, ...] = ("east",), prepared: Sequence[str] = ("east", "west")) -> Work:
    """A bench whose rows are there already; `prepared` of its evaluation sets are known, and so is its training set."""
    suite = Suite(
        name="s", sets=sets, metrics=("mAP", "mP@10"), levels=("medium", "hard"), primary="mAP (hard)"
    )
    tasks: dict[str, Task] = {}
    for path in rows:
        row = read_result(path)
        task = tasks.setdefault(row.recipe.digest, Task(recipe=row.recipe, rows={}))
        task.rows[row.eval_name] = path
    return Work(
        suite=suite,
        tasks=tuple(tasks.values()),
        evaluations={name: _prepared(name) for name in sets if name in prepared},
        distractors=None,
        whitening_source=None,
        learned={"town": ("t", "")} if prepared else {},
    )


def test_a_clear_difference_is_better_and_the_other_way_round_worse(write):
    good, bad = write("good", GOOD), write("bad", BAD)
    better = verdict(read_baseline(bad, _work(good)), _work(good))
    better.require("better")
    assert "+92.5 points" in better.lines[1]
    worse = verdict(read_baseline(good, _work(bad)), _work(bad))
    with pytest.raises(CheckError, match="Found: worse"):
        worse.require("not-worse")


def test_a_tie_is_not_better_but_not_worse(write):
    best, good = write("best", BEST), write("good", GOOD)
    tie = verdict(read_baseline(good, _work(best)), _work(best))
    tie.require("not-worse")
    with pytest.raises(CheckError, match=r"Required: better\. Found: tie"):
        tie.require("better")
    assert "no proof" in tie.lines[2]


def test_seeds_and_sets_of_both_sides_count(write):
    ours = [write("ours", GOOD, seed=s, eval_set=e) for s in (0, 1) for e in ("east", "west")]
    theirs = [write("theirs", BAD, seed=s, eval_set=e) for s in (0, 1, 2) for e in ("east", "west")]
    work = _work(*ours, sets=("east", "west"))
    found = verdict(read_baseline(theirs[0], work), work)
    assert (
        found.lines[0] == "OURS, trained on town, seeds 0, 1 against THEIRS, trained on town, seeds 0, 1, 2"
    )
    assert found.lines[1].startswith("mAP (hard) on east, west: +")
    assert found.word == "better"


def test_of_one_run_beside_several_only_that_one_is_called_a_checkpoint(write):
    ours, theirs = write("ours", GOOD), [write("theirs", BAD, seed=seed) for seed in (0, 1)]
    both, mixed = (
        verdict(read_baseline(theirs[0], _work(*rows)), _work(*rows))
        for rows in ([ours, write("ours", GOOD, seed=1)], [ours])
    )
    assert not any("One run" in line for line in both.lines)
    assert mixed.lines[-1] == "One run of OURS: such a row tells of a checkpoint, not of a method."


def test_a_baseline_that_lacks_a_set_is_told(write):
    ours, theirs = write("ours", GOOD), write("theirs", BAD)
    with pytest.raises(DataError, match="no row beside it on west"):
        read_baseline(theirs, _work(ours, sets=("east", "west")))


OF_NAMES = [
    ({"protocol": Protocol(size=512)}, "was measured under protocol"),
    ({"train_set": "city"}, "training.set: city / town"),
    ({"budget": "own"}, "training.budget: own / track"),
    ({"left_out": "0123456789"}, "images left out: 01234567 / none"),
]
OF_BYTES = [
    ({"manifest": "n"}, "data.manifest: n / m"),
    ({"trained_on": "u"}, "training data: u / t"),
]


@pytest.mark.parametrize(("options", "words"), OF_NAMES + OF_BYTES)
def test_what_may_not_stand_in_one_table_is_refused_before_anything_is_measured(write, options, words):
    ours, theirs = write("ours", GOOD), write("theirs", BAD, **options)
    work = _work(ours)
    ours.unlink()
    with pytest.raises(UserError, match=words):
        read_baseline(theirs, work)


@pytest.mark.parametrize(("options", "words"), OF_NAMES)
def test_what_names_tell_is_refused_before_anything_is_prepared(write, options, words):
    ours, theirs = write("ours", GOOD), write("theirs", BAD, **options)
    with pytest.raises(UserError, match=words):
        read_baseline(theirs, _work(ours, prepared=()))


@pytest.mark.parametrize(("options", "words"), OF_BYTES)
def test_the_bytes_of_what_is_not_prepared_are_compared_in_the_verdict(write, options, words):
    ours, theirs = write("ours", GOOD), write("theirs", BAD, **options)
    against = read_baseline(theirs, _work(ours, prepared=()))
    with pytest.raises(UserError, match=words):
        verdict(against, _work(ours))


def test_own_budgets_are_compared_by_what_they_allow(write):
    ours, theirs = write("ours", GOOD, budget="own"), write("theirs", BAD, budget="own", images_seen=128)
    with pytest.raises(UserError, match="what the budget allows: "):
        read_baseline(theirs, _work(ours))


def test_several_systems_and_the_baseline_itself_are_refused(write):
    a, b = write("a", GOOD), write("b", BAD)
    with pytest.raises(UserError, match="Name one: --systems NAME"):
        read_baseline(a, _work(a, b))
    with pytest.raises(UserError, match="the very recipe"):
        read_baseline(a, _work(a))
    with pytest.raises(DataError, match="is not there"):
        read_baseline(a.with_name("none.json"), _work(b))


def test_a_frozen_network_may_be_the_baseline(write):
    ours, frozen = write("ours", GOOD), write("frozen", BAD, trained_on="")
    assert verdict(read_baseline(frozen, _work(ours)), _work(ours)).word == "better"
    without = replace(_work(ours), tasks=_work(write("ours", GOOD, left_out="0123456789")).tasks)
    assert verdict(read_baseline(frozen, without), without).word == "better"
    trained = write("trained", GOOD, left_out="0123456789")
    for prepared in ((), ("east",)):
        against = read_baseline(trained, _work(frozen, prepared=prepared))
        assert verdict(against, _work(frozen)).word == "worse"
