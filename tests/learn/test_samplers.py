"""Samplers: every batch is what its name promises, and a function of (seed, epoch)."""

import dataclasses

import numpy as np
import pytest
from contracts import sentences

from vitret.core import plugins
from vitret.core.errors import UserError
from vitret.core.records import Int64
from vitret.learn.contract import describe, sampler_stages
from vitret.learn.mining import class_pairs, hard_negatives
from vitret.learn.sampling import Facts, Sampler

LABELS = np.repeat(np.arange(10), 6).astype(np.int64)


def facts(labels: Int64 = LABELS, batch: int = 12, seed: int = 0, pairs: Int64 | None = None) -> Facts:
    groups = (np.arange(len(labels)) % 3).astype(np.int64)
    return Facts(labels=labels, batch=batch, seed=seed, pairs=pairs, groups=lambda: groups)


def build(name: str, given: Facts, **options: object) -> Sampler:
    sampler = plugins.build("samplers", name, given, **options)
    assert isinstance(sampler, Sampler)
    return sampler


@pytest.mark.parametrize("name", plugins.names("samplers"))
def test_every_sampler_keeps_the_contract(name: str):
    assert sentences(sampler_stages(name, {})) == []


def test_tuples_of_a_small_set_fill_a_smaller_batch():
    few = facts(batch=60, pairs=np.array([[0, 1], [6, 8]], np.int64))
    for given, options in ((few, {}), (facts(batch=60), {"queries": 3})):
        sampler = build("tuples", given, negatives=2, **options)
        assert sampler.plan(0, describe).shape == (1, sampler.batch)
    with pytest.raises(UserError, match="no two images of one class"):
        build("tuples", facts(np.arange(20)), negatives=2)


def test_random_shows_each_image_once():
    plan = build("random", facts()).plan(0, describe)
    assert sorted(plan.ravel()) == list(range(60))


def test_pxk_holds_p_classes_of_k_different_images():
    plan = build("pxk", facts(), k=4).plan(0, describe)
    assert plan.shape == (5, 12)
    for batch in plan:
        assert len(set(batch)) == 12
        classes, counts = np.unique(LABELS[batch], return_counts=True)
        assert len(classes) == 3
        assert set(counts) == {4}


def test_pxk_repeats_images_of_small_classes_and_passes_over_single_ones():
    labels = np.array([0, 0, 1, 1, 2, 3, 3], np.int64)
    plan = build("pxk", facts(labels, batch=8), k=4).plan(0, describe)
    for batch in plan:
        classes, counts = np.unique(labels[batch], return_counts=True)
        assert len(classes) == 2
        assert 2 not in classes
        assert set(counts) == {4}


def test_pxk_refuses_a_batch_of_one_class():
    with pytest.raises(UserError, match="At least 2 classes"):
        build("pxk", facts(batch=4), k=4)


def test_groups_never_mix_in_a_batch_and_follow_the_random_order():
    given = facts(batch=5)
    plan = build("groups", given).plan(0, describe)
    assert plan.shape == (12, 5)
    assert all(len(set(given.groups()[batch])) == 1 for batch in plan)
    order = list(given.generator(0).permutation(60))
    last = [max(order.index(row) for row in batch) for batch in plan]
    assert last == sorted(last)


def test_tuples_hold_a_pair_and_negatives_of_mutually_different_other_classes():
    plan = build("tuples", facts(batch=12), negatives=3, queries=20, pool=50).plan(0, describe)
    assert plan.shape == (10, 10)  # two tuples of five fit a batch of twelve
    for tuple_ in plan.reshape(-1, 5):
        query, positive, *negatives = LABELS[tuple_]
        assert query == positive
        assert tuple_[0] != tuple_[1]
        assert len({query, *negatives}) == 4


def test_tuples_take_the_sets_own_pairs():
    pairs = np.array([[0, 1], [6, 8]], np.int64)
    plan = build("tuples", facts(pairs=pairs), negatives=2).plan(0, describe)
    assert {tuple(t[:2]) for t in plan.reshape(-1, 4).tolist()} == {(0, 1), (6, 8)}


def test_tuples_larger_than_a_batch_are_refused():
    with pytest.raises(UserError, match="7 images"):
        build("tuples", facts(batch=6))


def test_hard_negatives_are_those_of_a_naive_search():
    queries = np.array([0, 13, 59], np.int64)
    pool = np.arange(3, 60, dtype=np.int64)
    found = hard_negatives(queries, pool, LABELS, describe, count=4)
    for query, row in zip(queries, found, strict=True):
        similarity = describe(pool) @ describe(np.array([query]))[0]
        expected: list[int] = []
        for candidate in pool[np.argsort(-similarity, kind="stable")]:
            seen = {LABELS[query], *(LABELS[e] for e in expected)}
            if LABELS[candidate] not in seen and len(expected) < 4:
                expected.append(int(candidate))
        assert row.tolist() == expected


def test_mining_needs_enough_classes():
    with pytest.raises(UserError, match="more than 9 classes"):
        hard_negatives(np.array([0]), np.arange(54), LABELS, describe, count=9)


def test_class_pairs_pair_each_image_with_another_of_its_class():
    pairs = class_pairs(LABELS, np.random.default_rng(0))
    assert pairs[:, 0].tolist() == list(range(60))
    assert (LABELS[pairs[:, 0]] == LABELS[pairs[:, 1]]).all()
    assert (pairs[:, 0] != pairs[:, 1]).all()
    assert len(class_pairs(np.array([0, 1, 2]), np.random.default_rng(0))) == 0


def test_facts_draw_apart_from_other_uses_of_the_seed():
    drawn = facts().generator(0).random()
    assert drawn != dataclasses.replace(facts(), seed=1).generator(0).random()
    assert drawn != np.random.default_rng(0).random()
