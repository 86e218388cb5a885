import numpy as np
import pytest
from unit_rows import unit_rows

from vitret.core.protocol import ExpansionSpec
from vitret.measure.expansion import apply, expand
from vitret.measure.scoring import Rows


def naive(vectors, database, n, alpha, own=None):
    out = []
    for i, vector in enumerate(vectors):
        scores = database.astype(np.float64) @ vector.astype(np.float64)
        order = [j for j in np.argsort(-scores, kind="stable") if own is None or j != own[i]][:n]
        total = vector.astype(np.float64) + sum(max(scores[j], 0.0) ** alpha * database[j] for j in order)
        out.append(total / np.linalg.norm(total))
    return np.array(out)


@pytest.mark.parametrize("alpha", [0.0, 1.0, 3.0])
@pytest.mark.parametrize("n", [1, 4, 50])
def test_expansion_equals_a_naive_loop(alpha, n):
    rng = np.random.default_rng(0)
    database, queries = unit_rows(rng, 30, 6), unit_rows(rng, 5, 6)
    rows = Rows.of(database[:20], database[20:])
    np.testing.assert_allclose(
        expand(queries, rows, n=n, alpha=alpha), naive(queries, database, n, alpha), atol=1e-6
    )


def test_queries_of_the_database_do_not_count_themselves_twice():
    rng = np.random.default_rng(1)
    database = unit_rows(rng, 30, 6)
    own = np.array([3, -1, 29])
    queries = np.concatenate([database[3:4], unit_rows(rng, 1, 6), database[29:]])
    found = expand(queries, Rows.of(database), n=4, alpha=3.0, own_rows=own)
    np.testing.assert_allclose(found, naive(queries, database, 4, 3.0, own), atol=1e-6)


def test_augmentation_moves_the_database_and_leaves_the_queries():
    rng = np.random.default_rng(2)
    database, queries = unit_rows(rng, 25, 5), unit_rows(rng, 3, 5)
    asked, grown = apply(
        ExpansionSpec(kind="dba", n=3, alpha=2.0), queries, Rows.of(database[:20], database[20:])
    )
    assert asked is queries
    expected = naive(database, database, 3, 2.0, np.arange(25))
    np.testing.assert_allclose(grown.take(np.arange(25)), expected, atol=1e-6)


def test_average_expansion_ignores_alpha_and_none_changes_nothing():
    rng = np.random.default_rng(3)
    database, queries = Rows.of(unit_rows(rng, 25, 5)), unit_rows(rng, 3, 5)
    averaged, _ = apply(ExpansionSpec(kind="aqe", n=3, alpha=3.0), queries, database)
    np.testing.assert_allclose(averaged, naive(queries, database.parts[0], 3, 0.0), atol=1e-6)
    same, rows = apply(ExpansionSpec(), queries, database)
    assert same is queries
    assert rows is database
