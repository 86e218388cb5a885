from hashlib import sha256

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from unit_rows import unit_rows

from vitret.core.errors import DataError, MachineError
from vitret.core.records import Ragged, Ranking, Truth
from vitret.measure import counting, engines
from vitret.measure.counting import count_ranks
from vitret.measure.judge import judge
from vitret.measure.scoring import Rows, exact_scores
from vitret.measure.search import search


def revisited(rng, queries, images):
    """Random disjoint easy, hard and junk images; some queries lack one kind or all."""
    kinds = {"easy": [], "hard": [], "junk": []}
    for _ in range(queries):
        shuffled = rng.permutation(images)
        cuts = np.sort(rng.integers(0, images // 2 + 1, 3))
        for kind, part in zip(kinds, np.split(shuffled, cuts)[:3], strict=True):
            kinds[kind].append(np.sort(part))
    return Truth(judgements={kind: Ragged.of(rows) for kind, rows in kinds.items()})


def by_sorting(queries, database, truth, level):
    """Sort everything by (score, index), then judge: what counting must equal."""
    scores = np.stack([exact_scores(query, database) for query in queries])
    order = np.stack([np.lexsort((np.arange(len(database)), -row)) for row in scores])
    return judge(Ranking(indices=order), truth, level)


def same(a, b):
    assert a.values.tolist() == b.values.tolist()
    assert a.offsets.tolist() == b.offsets.tolist()
    assert a.n_positive.tolist() == b.n_positive.tolist()


@settings(max_examples=40, deadline=None)
@given(
    st.integers(0, 2**32),
    st.integers(1, 6),
    st.integers(2, 80),
    st.sampled_from([1, 2, 3, 17]),
    st.integers(1, 90),
    st.sampled_from([np.float16, np.float32]),
)
def test_counting_equals_sorting_with_many_ties(seed, queries, images, dim, block, dtype):
    rng = np.random.default_rng(seed)
    database = unit_rows(rng, images, dim, dtype)[rng.integers(0, images, images)]  # many exact duplicates
    asked = unit_rows(rng, queries, dim, dtype)
    truth = revisited(rng, queries, images)
    counted = count_ranks(asked, database, truth, block=block, threads=1 + seed % 2)
    for level in truth.levels:
        same(counted[level], by_sorting(asked, database, truth, level))


def noisy(rng, images, noise):
    """Numbers on a grid, so that every product is exact and many tie; classes of about five, all against all."""
    labels = np.sort(rng.integers(0, images // 5, images))
    rows = np.rint(rng.standard_normal((labels.max() + 1, 24)) * 8)[labels]
    rows += np.rint(rng.standard_normal(rows.shape) * 8 * noise)
    positive = [np.flatnonzero((labels == labels[i]) & (np.arange(images) != i)) for i in range(images)]
    own = Ragged.of(np.arange(images)[:, None])
    return (rows / 16).astype(np.float32), Truth(judgements={"positive": Ragged.of(positive), "junk": own})


# Of the implementation before blocks were counted for many queries at once, query after query.
@pytest.mark.parametrize(
    ("noise", "digest"), [(0.2, "0eecf670285df3bc"), (1.0, "834619b4d61649d1"), (6.0, "0b45f2111d2e79d4")]
)
def test_ranks_are_those_of_counting_query_after_query(noise, digest, monkeypatch):
    rows, truth = noisy(np.random.default_rng(4), 700, noise)
    # The last: blocks of 80 rows, because there are many of 40.
    for square, block, threads in ((1000, 8192, 1), (1000, 8192, 2), (1000, 97, 2), (40, 8192, 2)):
        monkeypatch.setattr(counting, "_SQUARE", square)
        found = count_ranks(rows, rows, truth, block=block, threads=threads)["all"]
        assert sha256(found.values.tobytes() + found.offsets.tobytes()).hexdigest()[:16] == digest


@settings(max_examples=8, deadline=None)
@given(
    st.integers(0, 2**32),
    st.integers(2, 70),
    st.sampled_from([1, 2, 17, 40]),
    st.sampled_from([7, 33, 8192]),
    st.sampled_from([1, 2]),
    st.sampled_from([np.float16, np.float32, np.float64]),
    st.sampled_from(["numpy", "torch"]),
)
def test_queries_that_are_the_database_are_counted_as_any_others(
    seed, images, dim, block, threads, dtype, engine
):
    rng = np.random.default_rng(seed)
    database = unit_rows(rng, images, dim, dtype)[rng.integers(0, images, images)]  # many exact duplicates
    extra = unit_rows(rng, 30, dim, dtype)
    truth = revisited(rng, images, images)
    for rows in (Rows.of(database), Rows.of(database, extra)):
        counted = count_ranks(
            database.copy(), rows, truth, block=block, threads=threads, engine=engine, device="cpu"
        )
        for level in truth.levels:
            same(counted[level], by_sorting(database, np.concatenate(rows.parts), truth, level))


def test_descriptors_that_are_all_alike_are_ranked_by_index():
    # A collapsed network: every score is a close call.
    alike = np.tile(unit_rows(np.random.default_rng(0), 1, 12), (60, 1))
    truth = revisited(np.random.default_rng(1), 60, 60)
    counted = count_ranks(alike, alike, truth, block=16, threads=2)
    for level in truth.levels:
        same(counted[level], by_sorting(alike, alike, truth, level))


def test_a_product_in_lower_precision_is_noticed_at_the_judged_images(monkeypatch):
    rows = unit_rows(np.random.default_rng(0), 20, 64)
    truth = Truth(judgements={"positive": Ragged.of([[i] for i in range(20)])})
    monkeypatch.setattr("vitret.measure.engines.widened", lambda rows, **_: (rows + np.float32(1e-3), 1.0))
    with pytest.raises(MachineError, match="lower precision"):
        count_ranks(rows, rows, truth)


@pytest.mark.parametrize("dim", [16, 512])
def test_neither_block_nor_engine_changes_a_rank(dim, monkeypatch):
    rng = np.random.default_rng(0)
    # Near-duplicates a rounding error apart: any order the matrix product gives them is chance.
    database = unit_rows(rng, 50, dim)[rng.integers(0, 50, 3000)]
    database += (rng.integers(-2, 3, database.shape) * 2.0**-25).astype(np.float32)
    queries = unit_rows(rng, 70, dim)
    truth = revisited(rng, 70, 400)
    expected = by_sorting(queries, database, truth, "medium")
    monkeypatch.setattr(engines, "WIDE", 100 * dim)
    for engine, block in (("numpy", 3000), ("numpy", 1), ("numpy", 333), ("torch", 512)):
        if block == 1:
            some = Truth(
                judgements={k: Ragged.of([r.row(q) for q in range(2)]) for k, r in truth.judgements.items()}
            )
            same(
                count_ranks(queries[:2], database, some, block=1)["medium"],
                by_sorting(queries[:2], database, some, "medium"),
            )
        else:
            same(count_ranks(queries, database, truth, block=block, engine=engine)["medium"], expected)


@settings(max_examples=25, deadline=None)
@given(st.integers(0, 2**32))
def test_a_permutation_of_the_database_changes_nothing(seed):
    rng = np.random.default_rng(seed)
    database, queries = unit_rows(rng, 60, 8), unit_rows(rng, 5, 8)
    truth = revisited(rng, 5, 60)
    order = rng.permutation(60)
    place = np.argsort(order)
    moved = Truth(
        judgements={
            kind: Ragged.of([np.sort(place[rows.row(q)]) for q in range(5)])
            for kind, rows in truth.judgements.items()
        }
    )
    before, after = count_ranks(queries, database, truth), count_ranks(queries, database[order], moved)
    for level in truth.levels:
        same(before[level], after[level])


def test_distractors_only_push_positives_down():
    rng = np.random.default_rng(5)
    database, queries, distractors = (
        unit_rows(rng, 90, 12),
        unit_rows(rng, 8, 12),
        unit_rows(rng, 2000, 12, np.float16),
    )
    truth = revisited(rng, 8, 90)
    plain = count_ranks(queries, database, truth)
    million = count_ranks(queries, Rows.of(database, distractors), truth, block=128)
    both = np.concatenate([database, distractors.astype(np.float32)])
    for level in truth.levels:
        same(million[level], by_sorting(queries, both, truth, level))
        assert (million[level].values >= plain[level].values).all()


def test_equal_scores_are_ordered_by_database_index():
    # Worked on paper: all images alike, so the ranking is 0 1 2 3 4; junk 0 leaves, positives 2 and 4 stand at 1 and 3.
    alike = np.tile(np.array([[0.6, 0.8]], dtype=np.float32), (5, 1))
    truth = Truth(judgements={"positive": Ragged.of([[2, 4]]), "junk": Ragged.of([[0]])})
    assert count_ranks(alike[:1], alike, truth)["all"].values.tolist() == [1, 3]


def test_counting_equals_searching_the_whole_database_and_judging():
    rng = np.random.default_rng(9)
    database, queries = unit_rows(rng, 300, 32), unit_rows(rng, 10, 32)
    truth = revisited(rng, 10, 300)
    ranking = search(queries, database, k=300, block=64)
    for level, ranks in count_ranks(queries, database, truth).items():
        same(ranks, judge(ranking, truth, level))


def test_rows_that_are_not_finite_stop_the_count():
    rows = np.eye(3, dtype=np.float32)
    broken = rows.copy()
    broken[1, 1] = np.inf
    truth = Truth(judgements={"positive": Ragged.of([[0]] * 3)})
    with pytest.raises(DataError, match="database: row 1"):
        count_ranks(rows, broken, truth)
    with pytest.raises(DataError, match="queries: row 1"):
        count_ranks(broken, rows, truth)
