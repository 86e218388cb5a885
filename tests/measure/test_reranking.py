"""Ranks after re-ranking against a full ranking that is sorted, cut and judged as a whole."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from vitret.core.protocol import RerankSpec
from vitret.core.records import Ragged, Ranking, Truth
from vitret.measure.counting import count_ranks
from vitret.measure.judge import judge
from vitret.measure.reranking import reranked
from vitret.measure.reranking_shortlist import Evidence
from vitret.measure.scoring import Rows
from vitret.measure.search import search

IMAGES, QUERIES = 40, 3


def scene(seed):
    rng = np.random.default_rng(seed)
    rows = rng.integers(-2, 3, (IMAGES + QUERIES, 4)).astype(np.float32)  # many ties
    parts = [np.split(rng.permutation(IMAGES)[:15], (4, 8)) for _ in range(QUERIES)]
    truth = Truth(
        judgements={
            name: Ragged.of([part[i] for part in parts]) for i, name in enumerate(("easy", "hard", "junk"))
        }
    )
    table = rng.integers(0, 5, (QUERIES, IMAGES)).astype(float)
    return rows[IMAGES:], rows[:IMAGES], truth, lambda q, c: table[q, c]


def naive(queries, database, truth, logits, *, level, depth, shortlist, own):
    """The whole ranking, without the query's own image; for the oracle without junk; its beginning sorted again."""
    full = search(queries, database, k=IMAGES).indices
    rows = []
    for q, row in enumerate(full):
        junk = truth.at(level)[1].row(q) if shortlist == "oracle" else []
        left = [i for i in row if i != own[q] and i not in junk]
        first = sorted(left[:depth], key=lambda i: (-logits(q, i), i))
        rows.append(first + left[depth:])
    width = max(map(len, rows))
    padded = [row + [-1] * (width - len(row)) for row in rows]
    return judge(Ranking(indices=np.array(padded)), truth, level)


@settings(max_examples=25, deadline=None)
@given(st.integers(0, 10_000), st.integers(1, 50), st.sampled_from(["plain", "oracle"]), st.booleans())
def test_ranks_equal_those_of_the_whole_ranking(seed, depth, shortlist, inside):
    queries, database, truth, logits = scene(seed)
    own = np.array([truth.at("medium")[1].row(q)[0] if inside else -1 for q in range(QUERIES)])
    found = reranked(
        count_ranks(queries, database, truth),
        Evidence(queries=queries, database=Rows.of(database[:30], database[30:]), logits=logits),
        truth,
        spec=RerankSpec(kind="rrt", depth=depth, shortlist=shortlist),
        query_rows=own if inside else None,
    )
    for level, ranks in found.items():
        wanted = naive(
            queries, database, truth, logits, level=level, depth=depth, shortlist=shortlist, own=own
        )
        assert ranks.values.tolist() == wanted.values.tolist()
        assert ranks.offsets.tolist() == wanted.offsets.tolist()


@pytest.mark.parametrize("shortlist", ["plain", "oracle"])
def test_a_matcher_that_repeats_the_search_changes_nothing(shortlist):
    queries, database, truth, _ = scene(1)
    rows = Rows.of(database)
    plain = count_ranks(queries, database, truth)
    evidence = Evidence(queries=queries, database=rows)
    same = Evidence(queries=queries, database=rows, logits=evidence.similarities)
    found = reranked(plain, same, truth, spec=RerankSpec(kind="rrt", depth=20, shortlist=shortlist))
    assert {level: ranks.values.tolist() for level, ranks in found.items()} == {
        level: ranks.values.tolist() for level, ranks in plain.items()
    }


def test_superglobal_works_from_descriptors_alone():
    queries, database, truth, _ = scene(2)
    database = database / np.maximum(np.linalg.norm(database, axis=1, keepdims=True), 1e-6)
    plain = count_ranks(queries, database, truth)
    evidence = Evidence(queries=queries, database=Rows.of(database))
    found = reranked(plain, evidence, truth, spec=RerankSpec(kind="superglobal", depth=10))
    assert all(len(found[level].values) == len(plain[level].values) for level in plain)
    assert any(found[level].values.tolist() != plain[level].values.tolist() for level in plain)
