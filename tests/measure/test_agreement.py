"""Each number that a library defines, from the library and from vitret, on rankings with ties, junk and empty queries.

The libraries are in the extra `test` alone. ranx is not: it needs numba.
"""

import math

import numpy as np
import pytest

from vitret.core.records import EvalSet, Images, Ragged, Truth
from vitret.measure.definitions import definitions, judge_descriptors, judge_ranking
from vitret.measure.scoring import Rows
from vitret.measure.search import search

QUERIES, DATABASE = 40, 130
BY_NAME = {one.name: one for one in definitions()}


def _truth(rng):
    """Easy, hard and junk lists; some queries without positives at some level, some with very many."""
    rows = {kind: [] for kind in ("easy", "hard", "junk")}
    for q in range(QUERIES):
        sizes = {
            "easy": 0 if q % 5 == 0 else rng.integers(1, 12),
            "hard": 0 if q % 7 == 0 else rng.integers(1, 60),
        }
        images = rng.permutation(DATABASE)
        for kind in rows:
            size = int(sizes.get(kind, rng.integers(0, 30)))
            rows[kind].append(np.sort(images[:size]))
            images = images[size:]
    return Truth(judgements={kind: Ragged.of(lists) for kind, lists in rows.items()})


@pytest.fixture(scope="module")
def case():
    """A set, descriptors of which every third image stands four times, and the ranking that vitret makes of them."""
    rng = np.random.default_rng(5)
    truth = _truth(rng)
    names = [f"{i}" for i in range(DATABASE)]
    evalset = EvalSet(
        name="random",
        queries=Images.of(None, [f"q{q}" for q in range(QUERIES)]),
        database=Images.of(None, names),
        truth=truth,
    )
    queries, database = rng.normal(size=(QUERIES, 6)), rng.normal(size=(DATABASE, 6))
    for q in range(QUERIES):
        database[truth.judgements["easy"].row(q)] += queries[q]
    database[1::3] = database[0:-1:3]
    ranking = search(queries, database, k=DATABASE)
    assert (np.diff(ranking.scores) == 0).any()
    return evalset, queries, database, ranking


def _list(case, q, level, junk):
    """A query's whole result list after junk, and which of it is positive."""
    evalset, _, _, ranking = case
    good, bad = (lists.row(q) for lists in evalset.truth.at(level))
    kept = [i for i in ranking.indices[q].tolist() if junk == "counted" or i not in set(bad.tolist())]
    return kept, np.isin(kept, good)


CHOICES = [(level, junk) for level in ("easy", "medium", "hard") for junk in ("removed", "counted")]


def _ours(case, name, level, junk):
    """Our values of each query, and whether the query has a positive."""
    judged = judge_ranking(case[3], case[0])
    values = BY_NAME[name].per_query((judged.removed if junk == "removed" else judged.counted)[level])
    return values, ~np.isnan(values)


def test_descriptors_and_their_ranking_give_the_same(case):
    evalset, queries, database, ranking = case
    one, two = judge_descriptors(queries, Rows.of(database), evalset), judge_ranking(ranking, evalset)
    for side in ("removed", "counted"):
        for level, ranks in getattr(one, side).items():
            assert (ranks.values == getattr(two, side)[level].values).all()


@pytest.mark.parametrize(("level", "junk"), CHOICES)
def test_the_official_routine_by_hand(case, level, junk):
    # Philbin et al. and Radenović et al., walked down a list: precision before and after each positive.
    expected = np.full(QUERIES, math.nan)
    for q in range(QUERIES):
        _, hits = _list(case, q, level, junk)
        if hits.any():
            area, found = 0.0, 0
            for place, hit in enumerate(hits):
                if hit:
                    before = 1.0 if place == 0 else found / place
                    found += 1
                    area += (before + found / (place + 1)) / 2
            expected[q] = area / hits.sum()
    ours, _ = _ours(case, "mAP", level, junk)
    np.testing.assert_allclose(ours, expected, atol=1e-12)


TREC = {
    "AP by rectangles": "map",
    "mAP@5/positives": "map_cut_5",
    "mAP@100/positives": "map_cut_100",
    "mAP@1000/positives": "map_cut_1000",
    "R-precision": "Rprec",
    "P@5": "P_5",
    "P@10": "P_10",
    "R@1": "success_1",
    "R@5": "success_5",
    "R@10": "success_10",
    "found@10": "recall_10",
    "found@100": "recall_100",
    "MRR": "recip_rank",
    "nDCG@10": "ndcg_cut_10",
}


@pytest.mark.parametrize(("level", "junk"), CHOICES)
def test_trec_eval_from_tied_scores(case, level, junk):
    library = pytest.importorskip("pytrec_eval")
    ranking = case[3]
    # trec_eval puts the later name first where scores tie; names count down as database numbers count up.
    name = [f"{DATABASE - i:04d}" for i in range(DATABASE)]
    relevant, run = {}, {}
    for q in range(QUERIES):
        kept, hits = _list(case, q, level, junk)
        place = {int(i): k for k, i in enumerate(ranking.indices[q])}
        relevant[str(q)] = {name[i]: int(hit) for i, hit in zip(kept, hits, strict=True)}
        run[str(q)] = {name[i]: float(ranking.scores[q, place[i]]) for i in kept}
    measures = {"map", "map_cut", "Rprec", "P", "success", "recall", "recip_rank", "ndcg_cut"}
    theirs = library.RelevanceEvaluator(relevant, measures).evaluate(run)
    for ours_name, theirs_name in TREC.items():
        ours, asked = _ours(case, ours_name, level, junk)
        expected = [theirs[str(q)][theirs_name] for q in np.flatnonzero(asked)]
        np.testing.assert_allclose(ours[asked], expected, atol=1e-9, err_msg=ours_name)


def test_ir_measures_gives_the_mean(case):
    library = pytest.importorskip("ir_measures")
    relevant, run = [], []
    for q in range(QUERIES):
        kept, hits = _list(case, q, "hard", "removed")
        if hits.any():
            relevant += [library.Qrel(str(q), str(i), int(hit)) for i, hit in zip(kept, hits, strict=True)]
        run += [library.ScoredDoc(str(q), str(i), -float(place)) for place, i in enumerate(kept)]
    names = {
        "AP by rectangles": library.AP,
        "mAP@5/positives": library.AP @ 5,
        "R-precision": library.Rprec,
        "P@10": library.P @ 10,
        "R@5": library.Success @ 5,
        "found@10": library.R @ 10,
        "MRR": library.RR,
        "nDCG@10": library.nDCG @ 10,
    }
    theirs = library.calc_aggregate(list(names.values()), relevant, run)
    for name, measure in names.items():
        assert np.nanmean(_ours(case, name, "hard", "removed")[0]) == pytest.approx(
            theirs[measure], abs=1e-9
        ), name


@pytest.mark.slow
@pytest.mark.parametrize(("level", "junk"), CHOICES[:2])
def test_scikit_learn_where_nothing_ties(case, level, junk):
    library = pytest.importorskip("sklearn.metrics")
    ours, asked = _ours(case, "AP by rectangles", level, junk)
    for q in np.flatnonzero(asked):
        _, hits = _list(case, q, level, junk)
        assert ours[q] == pytest.approx(
            library.average_precision_score(hits, -np.arange(len(hits))), abs=1e-9
        )


@pytest.fixture(scope="module")
def torchmetrics():
    # Its image part imports torchvision, which vitret knows how to import beside a torch for CPUs alone.
    from vitret.models.backbones import timm_model  # noqa: F401

    return pytest.importorskip("torchmetrics.retrieval")


@pytest.mark.slow
@pytest.mark.parametrize(
    ("level", "junk", "empty"), [("easy", "removed", "skip"), ("hard", "counted", "neg")], ids=str
)
def test_torchmetrics(case, torchmetrics, level, junk, empty):
    import torch

    indexes, scores, targets = [], [], []
    for q in range(QUERIES):
        _, hits = _list(case, q, level, junk)
        indexes += [q] * len(hits)
        # What has a score of zero or less can be no positive there.
        scores += (1 - np.arange(len(hits)) / 1000).tolist()
        targets += hits.tolist()
    names = {
        "AP by rectangles": torchmetrics.RetrievalMAP,
        "mAP@100/found": lambda **given: torchmetrics.RetrievalMAP(top_k=100, **given),
        "R-precision": torchmetrics.RetrievalRPrecision,
        "P@10": lambda **given: torchmetrics.RetrievalPrecision(top_k=10, **given),
        "R@5": lambda **given: torchmetrics.RetrievalHitRate(top_k=5, **given),
        "found@10": lambda **given: torchmetrics.RetrievalRecall(top_k=10, **given),
        "MRR": torchmetrics.RetrievalMRR,
        "nDCG@10": lambda **given: torchmetrics.RetrievalNormalizedDCG(top_k=10, **given),
    }
    for name, make in names.items():
        metric = make(empty_target_action=empty)
        theirs = metric(torch.tensor(scores), torch.tensor(targets), indexes=torch.tensor(indexes))
        ours, _ = _ours(case, name, level, junk)
        expected = np.nanmean(ours) if empty == "skip" else np.nan_to_num(ours).mean()
        assert float(theirs) == pytest.approx(expected, abs=2e-6), name


@pytest.mark.slow
def test_the_default_of_torchmetrics_counts_empty_queries_as_zero(case, torchmetrics):
    assert torchmetrics.RetrievalMAP().empty_target_action == "neg"
    judged = judge_ranking(case[3], case[0])
    ours = BY_NAME["AP by rectangles, empty as 0"].value(judged.removed["easy"])
    assert ours == pytest.approx(np.nan_to_num(_ours(case, "AP by rectangles", "easy", "removed")[0]).mean())


@pytest.mark.slow
def test_pytorch_metric_learning_on_labels(torchmetrics):
    library = pytest.importorskip("pytorch_metric_learning.utils.accuracy_calculator")
    import torch

    rng = np.random.default_rng(2)
    # Class 7 has one image alone: a query without positives.
    labels = np.r_[rng.integers(0, 7, 79), 7]
    rows = rng.normal(size=(80, 5)) + np.eye(8, 5)[labels]
    images = np.arange(80)
    same = [np.flatnonzero((labels == labels[q]) & (images != q)) for q in images]
    paths = Images.of(None, [str(i) for i in images])
    evalset = EvalSet(
        name="labels",
        queries=paths,
        database=paths,
        truth=Truth(judgements={"positive": Ragged.of(same), "junk": Ragged.of([[q] for q in images])}),
        query_rows=images,
    )
    ranking = search(rows, rows, k=80)
    judged = judge_ranking(ranking, evalset)
    # A query's own image is never counted, so nothing but it being junk leaves no second way.
    assert not judged.counted
    others = np.stack([row[row != q] for q, row in enumerate(ranking.indices)])

    def known(query, num_k, reference, ref_includes_query):
        return torch.zeros(len(others), num_k), torch.tensor(others[:, :num_k])

    calculator = library.AccuracyCalculator(
        include=(
            "mean_average_precision_at_r",
            "r_precision",
            "precision_at_1",
            "mean_average_precision",
            "mean_reciprocal_rank",
        ),
        k=79,
        knn_func=known,
        device=torch.device("cpu"),
    )
    theirs = calculator.get_accuracy(
        torch.tensor(rows),
        torch.tensor(labels),
        torch.tensor(rows),
        torch.tensor(labels),
        ref_includes_query=True,
    )
    names = {
        "MAP@R": "mean_average_precision_at_r",
        "R-precision": "r_precision",
        "R@1": "precision_at_1",
        "AP by rectangles": "mean_average_precision",
        "MRR": "mean_reciprocal_rank",
    }
    for ours, name in names.items():
        assert BY_NAME[ours].value(judged.removed["all"]) == pytest.approx(theirs[name], abs=1e-6), ours
