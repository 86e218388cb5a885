import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from vitret.core.errors import DataError, MachineError, UserError
from vitret.measure.engines import scorer
from vitret.measure.scoring import (
    Rows,
    confirm,
    exact_pairs,
    exact_scores,
    key_indices,
    key_scores,
    largest_norm,
    order_keys,
    tolerance,
)

FLOATS = st.floats(-4, 4, width=32)


@given(st.lists(st.tuples(FLOATS, st.integers(0, 2**32 - 1)), min_size=1, max_size=30))
def test_keys_order_by_score_then_by_index_and_give_both_back(pairs):
    scores = np.array([score for score, _ in pairs], dtype=np.float32)
    indices = np.array([index for _, index in pairs], dtype=np.int64)
    keys = order_keys(scores, indices)
    assert (key_scores(keys) == scores).all()
    assert (key_indices(keys) == indices).all()
    by_keys = [(scores[i], indices[i]) for i in np.argsort(-keys)]
    assert by_keys == sorted(zip(scores, indices, strict=True), key=lambda pair: (-pair[0], pair[1]))


@settings(max_examples=40, deadline=None)
@given(st.integers(1, 600), st.integers(1, 40), st.integers(0, 2**32))
def test_the_exact_score_of_a_row_does_not_depend_on_its_neighbours(dim, n, seed):
    rng = np.random.default_rng(seed)
    row, query = rng.standard_normal((2, dim)).astype(np.float32)
    alone = exact_scores(query, row[None])[0]
    among = rng.standard_normal((n, dim)).astype(np.float32)
    for place in range(n):
        among[place] = row
        assert exact_scores(query, among)[place] == alone
        assert exact_scores(query, np.asfortranarray(among))[place] == alone


@settings(max_examples=40, deadline=None)
@given(
    st.integers(1, 3000), st.integers(1, 40), st.integers(0, 2**32), st.sampled_from([np.float16, np.float32])
)
def test_the_exact_score_of_a_pair_does_not_depend_on_how_it_is_asked_for(dim, n, seed, dtype):
    rng = np.random.default_rng(seed)
    queries, rows = rng.standard_normal((2, n, dim)).astype(dtype)
    expected = [exact_scores(query, row[None])[0] for query, row in zip(queries, rows, strict=True)]
    assert exact_pairs(queries, rows).tolist() == expected


@pytest.mark.parametrize("dim", [2, 64, 512, 2048])
@pytest.mark.parametrize("engine", ["numpy", "torch"])
def test_the_matrix_product_stays_well_inside_its_tolerance(dim, engine):
    rng = np.random.default_rng(dim)
    # Rows without a sign change add up to the largest partial sums: the worst case for rounding.
    rows = np.abs(rng.standard_normal((500, dim))).astype(np.float32)
    rows /= np.linalg.norm(rows, axis=1, keepdims=True)
    with scorer(rows[:20], engine=engine, device="cpu") as score:
        proposed = score(rows, 0).scores(slice(0, 20))
    exact = np.stack([exact_scores(rows[q], rows) for q in range(20)])
    assert np.abs(proposed - exact).max() < tolerance(dim, 1.0) / 2


def test_a_product_in_lower_precision_is_noticed():
    exact = np.array([0.5, 0.25], dtype=np.float32)
    with pytest.raises(MachineError, match="lower precision"):
        confirm(exact + np.float32(1e-3), exact, tolerance(512, 1.0))


def test_rows_read_several_arrays_as_one():
    rows = Rows.of(np.arange(6.0).reshape(3, 2), np.arange(6.0, 10.0).reshape(2, 2))
    assert len(rows) == 5
    assert rows.take(np.array([4, 0, 3])).tolist() == [[8, 9], [0, 1], [6, 7]]
    assert [(offset, len(part)) for offset, part in rows.blocks(2)] == [(0, 2), (2, 1), (3, 2)]


def test_rows_of_other_dimensions_are_refused():
    with pytest.raises(DataError, match="2 and of 3 dimensions"):
        Rows.of(np.ones((1, 3)), np.ones((1, 2)))
    with pytest.raises(DataError, match="int64 of shape"):
        Rows.of(np.ones((1, 3), dtype=np.int64))


def test_a_row_that_is_not_finite_is_named():
    rows = np.ones((4, 2), dtype=np.float32)
    rows[2, 1] = np.nan
    with pytest.raises(DataError, match="database: row 102"):
        largest_norm(rows, what="database", offset=100)


def test_an_unknown_engine_is_refused():
    with (
        pytest.raises(UserError, match="Did you mean 'torch'"),
        scorer(np.ones((1, 1)), engine="trch", device=None),
    ):
        pass
