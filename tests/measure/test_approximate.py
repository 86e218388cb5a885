"""Approximate search by faiss: what is found is ordered as by exact search, and the recall is that of counting."""

import numpy as np
import pytest

from vitret.core.approximate import HnswSpec, IvfPqSpec, parse_index
from vitret.core.errors import UserError
from vitret.measure import approximate as module
from vitret.measure.approximate import approximate
from vitret.measure.scoring import Rows
from vitret.measure.search import search

faiss = pytest.importorskip("faiss", reason="needs the faiss extra")
IMAGES, CLASSES, DIM = 10_000, 400, 15
FEW = IvfPqSpec(bytes=2, lists=16, probes=3, depth=60)  # 15 dimensions are filled up to 16


@pytest.fixture(scope="module")
def rows() -> np.ndarray:
    """Unit rows in classes; neighbours of a class are close, and every list of an index holds several classes."""
    rng = np.random.default_rng(0)
    centres = rng.standard_normal((CLASSES, DIM), dtype=np.float32)
    drawn = centres[rng.integers(0, CLASSES, IMAGES)] + 0.5 * rng.standard_normal(
        (IMAGES, DIM), dtype=np.float32
    )
    return (drawn / np.linalg.norm(drawn, axis=1, keepdims=True)).astype(np.float16)


def shares(found: np.ndarray, exact: np.ndarray, k: int) -> float:
    """The recall, query by query."""
    return float(
        np.mean([len({*a[:k]} & {*b[:k]}) / k for a, b in zip(found.tolist(), exact.tolist(), strict=True)])
    )


def test_recall_is_that_of_exact_search_and_what_is_found_is_ordered_exactly(rows: np.ndarray):
    database, queries = Rows.of(rows[:6000], rows[6000:]), rows[:40] + np.float16(0.01)
    found = approximate(queries, database, FEW)
    exact = search(queries, database, k=60)
    assert found.facts.recall == {
        "1": shares(found.ranking.indices, exact.indices, 1),
        "10": shares(found.ranking.indices, exact.indices, 10),
    }
    assert 0.3 < found.facts.recall["10"] < 1.0
    assert found.facts.recall_queries == 40
    assert found.facts.index == "Pad16,IVF16,PQ2np"
    # Of each image two bytes and eight of its number; then 16 centres and 2 times 256 codes, float32.
    assert found.facts.index_bytes == pytest.approx(IMAGES * 10 + 16 * 16 * 4 + 2 * 256 * 8 * 4, rel=0.01)
    for q in range(40):
        scores = dict(zip(exact.indices[q].tolist(), exact.scores[q].tolist(), strict=True))
        shown = [(scores[i], -i) for i in found.ranking.indices[q].tolist() if i in scores]
        assert shown == sorted(shown, reverse=True)


def test_with_all_lists_all_images_and_rescoring_it_is_exact(rows: np.ndarray):
    some = Rows.of(rows)
    every = approximate(rows[:5], some, FEW.model_copy(update={"probes": 16, "depth": IMAGES}))
    exact = search(rows[:5], some, k=IMAGES)
    assert np.array_equal(every.ranking.indices, exact.indices)
    assert every.facts.recall == {"1": 1.0, "10": 1.0, "100": 1.0}


def test_lists_on_disk_find_what_those_in_memory_find(rows: np.ndarray, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(module, "_PART", 4000)  # three parts are merged
    kept = approximate(rows[:20], Rows.of(rows), FEW)
    stored = approximate(rows[:20], Rows.of(rows), FEW.model_copy(update={"on_disk": True}))
    assert np.array_equal(kept.ranking.indices, stored.ranking.indices)
    assert stored.facts.recall == kept.facts.recall


def test_a_graph_and_a_query_that_is_in_the_database(rows: np.ndarray):
    some = Rows.of(rows[:1500])
    found = approximate(rows[:30], some, HnswSpec(links=8, breadth=40, depth=20), query_rows=np.arange(30))
    exact = search(rows[:30], some, k=11).indices
    assert (exact[:, 0] == np.arange(30)).mean() > 0.9
    assert found.ranking.indices[0, 0] == 0  # it stays in the ranking, and is junk there
    others = [[i for i in one if i != q] for q, one in enumerate(found.ranking.indices.tolist())]
    exact_others = [[i for i in one if i != q] for q, one in enumerate(exact.tolist())]
    assert found.facts.recall["1"] == pytest.approx(
        np.mean([a[0] == b[0] for a, b in zip(others, exact_others, strict=True)])
    )
    assert 0.9 < found.facts.recall["10"] <= 1.0
    shallow = approximate(rows[:30], some, HnswSpec(depth=1), query_rows=np.arange(30))
    assert shallow.facts.recall["1"] < 0.1  # the one image that is found is the query itself


def test_too_few_rows_and_unknown_words(rows: np.ndarray):
    with pytest.raises(UserError, match="by hnsw"):
        approximate(rows[:2], Rows.of(rows[:500]), FEW)
    with pytest.raises(UserError, match="lists=256"):
        approximate(rows[:2], Rows.of(rows), FEW.model_copy(update={"lists": 257}))
    with pytest.raises(UserError, match="bytes=15"):
        approximate(rows[:2], Rows.of(rows), FEW.model_copy(update={"bytes": 16}))
    with pytest.raises(UserError, match="Did you mean 'hnsw'"):
        parse_index("hnws")
    with pytest.raises(UserError, match=r"unknown key 'link'\. Did you mean 'links'"):
        parse_index("hnsw,link=3")
    with pytest.raises(UserError, match="not OPTION=VALUE"):
        parse_index("hnsw,links")
