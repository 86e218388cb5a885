import numpy as np
import pytest
from contracts import sentences

from vitret.core import plugins
from vitret.core.errors import DataError, UserError
from vitret.core.records import Ragged, Ranking, Truth
from vitret.measure.contract import reranker_stages
from vitret.measure.reranking_shortlist import Evidence, ground_truth_ranking, reordered
from vitret.measure.scoring import Rows


def ranking(*rows):
    return Ranking(indices=np.array(rows, dtype=np.int64))


TRUTH = Truth(
    judgements={
        "easy": Ragged.of([np.array([4])]),
        "hard": Ragged.of([np.array([2])]),
        "junk": Ragged.of([np.array([0, 3])]),
    }
)


def by_table(table):
    return lambda query, candidates: np.array([table[int(c)] for c in candidates])


def matched(table, queries=None, database=None):
    database = np.eye(5) if database is None else database
    queries = database[:2] if queries is None else queries
    return Evidence(queries=queries, database=Rows.of(database), logits=by_table(table))


def test_only_the_shortlist_is_sorted_anew():
    found = reordered(ranking([5, 3, 1, 0, 2]), by_table({5: 0.1, 3: 0.2, 1: 0.9}), depth=3)
    assert found.indices.tolist() == [[1, 3, 5, 0, 2]]


def test_equal_scores_are_ordered_by_database_index():
    assert reordered(ranking([5, 3, 1]), lambda q, c: np.zeros(len(c)), depth=3).indices.tolist() == [
        [1, 3, 5]
    ]


def test_short_and_empty_rows():
    found = reordered(ranking([2, 1, -1], [-1, -1, -1]), lambda q, c: c.astype(float), depth=10)
    assert found.indices.tolist() == [[2, 1, -1], [-1, -1, -1]]


def test_a_depth_beyond_the_database_takes_all():
    assert reordered(ranking([0, 1]), lambda q, c: c.astype(float), depth=400).indices.tolist() == [[1, 0]]


def test_nan_scores_are_refused():
    with pytest.raises(DataError, match="query 0"):
        reordered(ranking([0, 1]), lambda q, c: np.array([1.0, np.nan]), depth=2)


def test_the_ground_truth_shortlist_depends_on_the_level():
    plain = ranking([0, 4, 3, 1, 2])
    assert ground_truth_ranking(plain, TRUTH, "medium").indices.tolist() == [[4, 1, 2, 0, 3]]
    # At the hard level easy images are junk too.
    assert ground_truth_ranking(plain, TRUTH, "hard").indices.tolist() == [[1, 2, 0, 4, 3]]


def test_the_two_shortlists_differ_in_who_gets_a_second_look():
    plain = ranking([0, 3, 2, 1, 4])
    matcher = matched({0: 0.0, 1: 0.0, 2: 1.0, 3: 0.5, 4: 2.0})
    rerank = plugins.build("rerankers", "rrt", depth=3)
    assert rerank(plain, matcher).indices.tolist() == [[2, 3, 0, 1, 4]]
    assert rerank(ground_truth_ranking(plain, TRUTH, "medium"), matcher).indices.tolist() == [[4, 2, 1, 0, 3]]


def test_rrt_fuses_like_ames():
    logits, similarities = {0: 4.0, 1: -4.0, 2: 0.0}, {0: 0.125, 1: 0.875, 2: 0.75}
    evidence = matched(logits, np.array([[1.0]]), np.array([[0.125], [0.875], [0.75]]))
    rerank = plugins.build("rerankers", "rrt", share=0.5)
    score = {i: 0.5 * similarities[i] + 0.5 / (1 + np.exp(-logits[i])) for i in range(3)}
    assert rerank(ranking([0, 1, 2]), evidence).indices.tolist() == [sorted(score, key=lambda i: -score[i])]


@pytest.mark.parametrize("name", plugins.names("rerankers"))
def test_every_reranker_keeps_the_contract(name):
    assert sentences(reranker_stages(name, {})) == []


def test_rrt_asks_for_its_matcher():
    with pytest.raises(UserError, match="needs a trained matcher"):
        plugins.build("rerankers", "rrt")(
            ranking([0, 1]), Evidence(queries=np.eye(2), database=Rows.of(np.eye(2)))
        )


def test_rrt_refuses_a_share_beyond_one():
    with pytest.raises(UserError, match="between 0 and 1"):
        plugins.build("rerankers", "rrt", share=1.5)


def naive_superglobal(query, rows, neighbours, beta, expand):
    refined = []
    for i, x in enumerate(rows):
        others = sorted((j for j in range(len(rows)) if j != i), key=lambda j: -(x @ rows[j]))[:neighbours]
        top, bottom = x.copy(), 1.0
        for j in others:
            top += beta * (x @ rows[j]) * rows[j]
            bottom += beta * (x @ rows[j])
        refined.append(top / bottom)
    first = [query @ x for x in refined]
    best = sorted(range(len(rows)), key=lambda i: -first[i])[:expand]
    new = np.max([refined[i] for i in best], axis=0)
    return [(s + new @ x) / 2 for s, x in zip(first, refined, strict=True)]


def test_superglobal_equals_its_description():
    rng = np.random.default_rng(0)
    database = rng.normal(size=(30, 6))
    database /= np.linalg.norm(database, axis=1, keepdims=True)
    queries = database[:2] + 0.1
    order = np.argsort(-(queries @ database.T), axis=1)
    found = plugins.build("rerankers", "superglobal", depth=20, neighbours=4, expand=3)(
        Ranking(indices=order), Evidence(queries=queries, database=Rows.of(database))
    )
    for q in range(2):
        scores = naive_superglobal(queries[q], database[order[q, :20]], 4, 0.15, 3)
        wanted = order[q, :20][np.argsort(-np.array(scores))]
        assert found.indices[q, :20].tolist() == wanted.tolist()
        assert found.indices[q, 20:].tolist() == order[q, 20:].tolist()


def test_superglobal_with_fewer_images_than_it_asks_for():
    database = np.eye(3)
    rerank = plugins.build("rerankers", "superglobal")
    evidence = Evidence(queries=np.eye(3)[:1], database=Rows.of(database))
    assert rerank(ranking([0, 1, 2]), evidence).indices[0, 0] == 0
    assert rerank(ranking([0]), evidence).indices.tolist() == [[0]]
