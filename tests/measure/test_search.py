import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from unit_rows import unit_rows

from vitret.core.errors import DataError, UserError
from vitret.measure.scoring import Rows, exact_scores
from vitret.measure.search import search


def by_sorting(queries, database, k):
    scores = np.stack([exact_scores(query, database) for query in queries])
    order = np.stack([np.lexsort((np.arange(len(database)), -row))[:k] for row in scores])
    return order, np.take_along_axis(scores, order, axis=1)


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 2**32), st.integers(1, 60), st.integers(1, 12), st.integers(1, 70), st.integers(1, 70))
def test_search_equals_sorting_with_many_ties(seed, images, dim, k, block):
    rng = np.random.default_rng(seed)
    database = unit_rows(rng, images, dim)[rng.integers(0, images, images)]
    queries = unit_rows(rng, 4, dim)
    found = search(queries, database, k=k, block=block)
    order, scores = by_sorting(queries, database, k)
    assert found.indices.tolist() == order.tolist()
    assert found.scores.tolist() == scores.tolist()


@pytest.mark.parametrize("engine", ["numpy", "torch", "faiss"])
@pytest.mark.parametrize("dim", [24, 768])
def test_engines_agree_to_the_last_bit(engine, dim):
    if engine == "faiss":
        pytest.importorskip("faiss", reason="needs the faiss extra")
    rng = np.random.default_rng(1)
    # Every image forty times and more: faiss alone gives such ties no order.
    database = unit_rows(rng, 60, dim)[rng.integers(0, 60, 2500)]
    database[::3] += (rng.integers(-2, 3, database[::3].shape) * 2.0**-25).astype(np.float32)
    queries = unit_rows(rng, 30, dim)
    found = search(queries, database, k=50, engine=engine, block=999)
    order, scores = by_sorting(queries, database, 50)
    assert (found.indices == order).all()
    assert (found.scores == scores).all()


@pytest.mark.parametrize("engine", ["numpy", "torch", "faiss"])
def test_a_database_of_one_image_repeated_comes_in_its_order(engine):
    if engine == "faiss":
        pytest.importorskip("faiss", reason="needs the faiss extra")
    alike = np.tile(np.array([[0.6, 0.8]], dtype=np.float32), (500, 1))
    assert search(alike[:2], alike, k=20, engine=engine, block=64).indices.tolist() == [list(range(20))] * 2


def test_several_arrays_are_searched_as_one():
    database = np.eye(4, dtype=np.float32)
    found = search(database[3:], Rows.of(database[:3], database[3:].astype(np.float16)), k=1)
    assert found.indices.tolist() == [[3]]


def test_wrong_uses():
    rows = np.eye(3, dtype=np.float32)
    with pytest.raises(UserError, match="at least 1"):
        search(rows, rows, k=0)
    with pytest.raises(DataError, match="dimensions"):
        search(rows[:, :2], rows, k=1)
    with pytest.raises(UserError, match="numpy"):
        search(rows, rows, k=1, engine="cuda")
