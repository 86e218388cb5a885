"""Every metric against its published definition written out slowly, and against numbers with a named origin."""

import math

import numpy as np
import pytest
from contracts import sentences

from vitret.core import plugins
from vitret.core.errors import UserError
from vitret.core.records import Ragged, Ranking, Ranks, Truth
from vitret.measure.contract import metric_stages, random_rankings
from vitret.measure.evaluate import parse_metric
from vitret.measure.judge import judge
from vitret.measure.metrics.average_precision import average_precision
from vitret.measure.metrics.map_at_k import build as build_map_at_k
from vitret.measure.metrics.map_at_k import map_at_k
from vitret.measure.metrics.map_at_r import map_at_r
from vitret.measure.metrics.precision_at_k import precision_at_k
from vitret.measure.metrics.r_precision import r_precision
from vitret.measure.metrics.recall_at_k import recall_at_k

OPTIONS = {
    "precision_at_k": {"k": 5},
    "plain_precision_at_k": {"k": 5},
    "recall_at_k": {"k": 5},
    "found_at_k": {"k": 9},
    "ndcg_at_k": {"k": 5},
}


def written_out_average_precision(ranks, n):
    """Recall on one axis, precision on the other, the trapezoids between the steps summed."""
    if n == 0:
        return math.nan
    area, step = 0.0, 1.0 / n
    for hits_before, rank in enumerate(ranks):
        precision_before = 1.0 if rank == 0 else hits_before / rank
        precision_after = (hits_before + 1) / (rank + 1)
        area += (precision_before + precision_after) * step / 2.0
    return area


def written_out_precision(ranks, n, k):
    if n == 0:
        return math.nan
    if len(ranks) == 0:
        return 0.0
    places = [rank + 1 for rank in ranks]
    cut = min(max(places), k)
    return sum(place <= cut for place in places) / cut


def written_out_recall(ranks, n, k):
    return math.nan if n == 0 else float(any(rank < k for rank in ranks))


def precision_sum(ranks, k):
    """Walk down the list; at each positive among the first k add the precision so far."""
    hits, total, places = 0, 0.0, {int(rank) for rank in ranks}
    for place in range(k):
        if place in places:
            hits += 1
            total += hits / (place + 1)
    return total, hits


def written_out_gain(ranks, n, k):
    if n == 0:
        return math.nan
    perfect = sum(1 / math.log2(place + 1) for place in range(1, min(n, k) + 1))
    return sum(1 / math.log2(rank + 2) for rank in ranks if rank < k) / perfect


def written_out_map(ranks, n, k, denominator):
    if n == 0:
        return math.nan
    total, hits = precision_sum(ranks, k)
    divisor = {"min": min(n, k), "positives": n, "found": max(hits, 1)}[denominator]
    return total / divisor


CASES = [
    (average_precision, written_out_average_precision),
    (r_precision, lambda r, n: sum(x < n for x in r) / n if n else math.nan),
    (map_at_r, lambda r, n: written_out_map(r, n, n, "positives")),
    *(
        (lambda ranks, k=k: precision_at_k(ranks, k=k), lambda r, n, k=k: written_out_precision(r, n, k))
        for k in (1, 5, 10)
    ),
    *(
        (lambda ranks, k=k: recall_at_k(ranks, k=k), lambda r, n, k=k: written_out_recall(r, n, k))
        for k in (1, 8)
    ),
    (parse_metric("MRR"), lambda r, n: (1 / (min(r) + 1) if len(r) else 0.0) if n else math.nan),
    (parse_metric("P@5"), lambda r, n: sum(x < 5 for x in r) / 5 if n else math.nan),
    (parse_metric("found@5"), lambda r, n: sum(x < 5 for x in r) / n if n else math.nan),
    (parse_metric("nDCG@5"), lambda r, n: written_out_gain(r, n, 5)),
    (parse_metric("mAP@5/positives"), lambda r, n: written_out_map(r, n, 5, "positives")),
    *(
        (
            lambda ranks, k=k, d=d: map_at_k(ranks, k=k, denominator=d),
            lambda r, n, k=k, d=d: written_out_map(r, n, k, d),
        )
        for k in (5, 100)
        for d in ("min", "positives", "found")
    ),
]


@pytest.mark.parametrize("case", range(len(CASES)))
def test_the_published_definition_on_500_random_rankings(case):
    metric, written_out = CASES[case]
    rows, positives = random_rankings(500, seed=case)
    expected = np.array([written_out(row, n) for row, n in zip(rows, positives, strict=True)])
    np.testing.assert_allclose(
        metric(Ranks.of(rows, positives)), expected, rtol=0, atol=1e-12, equal_nan=True
    )


@pytest.mark.parametrize(
    ("ranks", "n", "expected"),
    [
        ([0], 1, 1.0),
        ([1], 1, 0.25),
        ([0, 2], 2, 19 / 24),
        ([0, 1, 2], 3, 1.0),
        ([3, 4], 2, 0.225),
        ([0, 2], 5, 19 / 60),
    ],
)
def test_average_precision_of_the_official_code(ranks, n, expected):
    # The function of revisitop's evaluate.py, run on these lists (reference: filipradenovic/revisitop).
    assert average_precision(Ranks.of([ranks], [n]))[0] == pytest.approx(expected, abs=1e-12)


def test_junk_toy_of_the_official_code():
    # revisitop's evaluate.py: ranking 5 1 0 3 2 4, positives 0 and 2, junk 5 and 3 → 0.416667.
    truth = Truth(judgements={"positive": Ragged.of([[0, 2], []]), "junk": Ragged.of([[5, 3], [1]])})
    ranking = Ranking(indices=np.array([[5, 1, 0, 3, 2, 4], [0, 1, 2, 3, 4, 5]]))
    values = average_precision(judge(ranking, truth, "all"))
    assert values[0] == pytest.approx(0.41666667, abs=1e-8)
    assert np.nanmean(values) == pytest.approx(0.41666667, abs=1e-8)  # the empty query does not move the mean


def test_precision_shortens_k_to_the_last_positive():
    # Worked on paper: both positives in the first two places, so k = 10 becomes 2.
    assert precision_at_k(Ranks.of([[0, 1]], [2]), k=10)[0] == 1.0
    assert precision_at_k(Ranks.of([[0, 4]], [2]), k=10)[0] == 0.4


def test_precision_of_a_truncated_ranking_without_positives_is_zero():
    assert precision_at_k(Ranks.of([[]], [3]), k=10)[0] == 0.0


def test_the_denominator_of_the_challenge_lets_a_perfect_list_score_one():
    full = Ranks.of([np.arange(250)], [250])
    assert map_at_k(full, k=100)[0] == pytest.approx(1.0)
    assert map_at_k(full, k=100, denominator="positives")[0] == pytest.approx(0.4)


def test_an_unknown_denominator_is_refused():
    with pytest.raises(UserError, match="min, positives, found"):
        build_map_at_k(denominator="k")


@pytest.mark.parametrize("name", plugins.names("metrics"))
def test_every_metric_keeps_the_contract(name):
    assert sentences(metric_stages(name, OPTIONS.get(name, {}))) == []


@pytest.mark.parametrize("name", plugins.names("metrics"))
def test_moving_a_positive_up_never_lowers_a_metric_except_the_quirk(name):
    if name == "precision_at_k":
        pytest.skip("k' depends on the last positive, so moving it up may shorten the list")
    metric = plugins.build("metrics", name, **OPTIONS.get(name, {}))
    rng = np.random.default_rng(3)
    for _ in range(50):
        ranks = np.sort(rng.choice(30, 5, replace=False)) + 1
        better = ranks.copy()
        better[0] -= 1
        assert metric(Ranks.of([better], [5]))[0] >= metric(Ranks.of([ranks], [5]))[0]
