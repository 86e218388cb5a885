import pickle
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from vitret.core.errors import DataError, UserError
from vitret.core.protocol import ExpansionSpec, Protocol, RerankSpec
from vitret.core.records import Descriptors, EvalSet, Images, Ragged, Ranks, Truth
from vitret.measure.evaluate import evaluate, measure, parse_metric
from vitret.measure.reranking_shortlist import Evidence


def circle(*degrees):
    angles = np.deg2rad(np.array(degrees, dtype=np.float64))
    return Descriptors(rows=np.stack([np.cos(angles), np.sin(angles)], axis=1).astype(np.float32))


def evalset(truth, database, query_rows=None):
    names = [f"{i}.jpg" for i in range(database)]
    return EvalSet(
        name="toy",
        queries=Images.of(Path("/nowhere"), names[: truth.queries]),
        database=Images.of(Path("/nowhere"), names),
        truth=truth,
        query_rows=query_rows,
    )


# The query looks along 0°. Ranking by angle: 1 (easy) at 5°, 0 (junk) at 10°, 2 (nothing) at 20°, 3 (hard) at 30°.
TRUTH = Truth(judgements={"easy": Ragged.of([[1]]), "hard": Ragged.of([[3]]), "junk": Ragged.of([[0]])})
DATABASE = circle(10, 5, 20, 30)


def test_angles_worked_on_paper():
    found = evaluate(
        Evidence.of(circle(0), DATABASE), evalset(TRUTH, 4), protocol=Protocol(), metrics=["mAP", "mP@10"]
    )
    # Without junk: easy 1 2 → rank 0. Medium 1 2 3 → ranks 0, 2. Hard 2 3 → rank 1.
    assert {level: ranks.values.tolist() for level, ranks in found.ranks.items()} == {
        "easy": [0],
        "medium": [0, 2],
        "hard": [1],
    }
    assert found.mean("easy", "mAP") == 1.0
    assert found.mean("medium", "mAP") == pytest.approx(19 / 24)
    assert found.mean("hard", "mAP") == 0.25
    assert found.mean("medium", "mP@10") == pytest.approx(2 / 3)
    assert found.n == 1


def test_distractors_are_negatives_of_every_query():
    found = evaluate(
        Evidence.of(circle(0), DATABASE, distractors=circle(-1, 25)),
        evalset(TRUTH, 4),
        protocol=Protocol(),
        metrics=["mAP"],
        levels=["medium"],
    )
    # Medium without junk: distractor, 1, 2, distractor, 3 → ranks 1, 4.
    assert found.ranks["medium"].values.tolist() == [1, 4]


def test_queries_without_positives_are_left_out_and_counted():
    truth = Truth(judgements={"positive": Ragged.of([[1], []])})
    found = evaluate(
        Evidence.of(circle(0, 40), DATABASE), evalset(truth, 4), protocol=Protocol(), metrics=["R@1"]
    )
    assert found.n == 2
    assert found.n_effective("all") == 1
    assert found.mean("all", "R@1") == 1.0


def test_expansion_of_the_protocol_is_applied():
    # Alone the query, 0°, is nearer to −8° than to 9°; the mean with all four neighbours lies at 4.4°.
    protocol = Protocol(expansion=ExpansionSpec(kind="aqe", n=4))
    truth = Truth(judgements={"positive": Ragged.of([[0]])})
    database = circle(9, -8, 10, 11)
    plain = evaluate(
        Evidence.of(circle(0), database), evalset(truth, 4), protocol=Protocol(), metrics=["mAP"]
    )
    grown = evaluate(Evidence.of(circle(0), database), evalset(truth, 4), protocol=protocol, metrics=["mAP"])
    assert plain.ranks["all"].values.tolist() == [1]
    assert grown.ranks["all"].values.tolist() == [0]


def test_what_cannot_be_measured_is_refused_before_the_work():
    arguments = {"protocol": Protocol(), "metrics": ["mAP"]}
    with pytest.raises(DataError, match="4 database images but 3 descriptors"):
        evaluate(Evidence.of(circle(0), circle(1, 2, 3)), evalset(TRUTH, 4), **arguments)
    with pytest.raises(UserError, match=r"no level 'hrad'\. Did you mean 'hard'"):
        evaluate(Evidence.of(circle(0), DATABASE), evalset(TRUTH, 4), levels=["hrad"], **arguments)
    with pytest.raises(UserError, match=r"no metric called 'map'\. Did you mean 'mAP'"):
        evaluate(Evidence.of(circle(0), DATABASE), evalset(TRUTH, 4), protocol=Protocol(), metrics=["map"])
    for kind, message in (("rtt", "Did you mean 'rrt'"), ("rrt", "needs a trained matcher")):
        with pytest.raises(UserError, match=message):
            evaluate(
                Evidence.of(circle(0), DATABASE),
                evalset(TRUTH, 4),
                protocol=Protocol(rerank=RerankSpec(kind=kind)),
                metrics=["mAP"],
            )


def test_re_ranking_of_the_protocol_is_applied():
    def found(shortlist, depth):
        spec = RerankSpec(kind="rrt", depth=depth, shortlist=shortlist)
        measured = evaluate(
            # The last image is the best.
            Evidence.of(circle(0), DATABASE, logits=lambda query, candidates: candidates.astype(float)),
            evalset(TRUTH, 4),
            protocol=Protocol(rerank=spec),
            metrics=["mAP"],
        )
        return {level: ranks.values.tolist() for level, ranks in measured.ranks.items()}

    # Plain: 1 0 | 2 3 becomes 1 0 | 2 3. Without junk: easy 1 2, medium 1 2 3, hard 2 3.
    assert found("plain", 2) == {"easy": [0], "medium": [0, 2], "hard": [1]}
    # The oracle's shortlists hold no junk. Easy: 1 2 becomes 2 1. Medium: 2 1 | 3. Hard: 2 3 becomes 3 2.
    assert found("oracle", 2) == {"easy": [1], "medium": [1, 2], "hard": [0]}


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("mAP", 19 / 24),
        ("mP@1", 1.0),
        ("mP@10", 2 / 3),
        ("R@1", 1.0),
        ("R-precision", 0.5),
        ("MAP@R", 0.5),
        ("mAP@1", 1.0),
    ],
)
def test_every_spelling_finds_its_metric(name, value):
    assert parse_metric(name)(Ranks.of([[0, 2]], [2]))[0] == pytest.approx(value)


@pytest.mark.parametrize("name", ["mP@0", "mP", "mAP@", "R@x", "MAP@10", "", "r-precision"])
def test_other_spellings_are_refused_with_a_proposal(name):
    with pytest.raises(UserError, match=r"Did you mean|Known"):
        parse_metric(name)


def test_a_metric_of_ones_own_is_one_file(tmp_path, monkeypatch):
    (tmp_path / "metrics").mkdir()
    (tmp_path / "metrics" / "reciprocal_rank.py").write_text(
        "import numpy as np\n"
        "def build():\n"
        "    return lambda ranks: np.array([1 / (ranks.row(q)[0] + 1) for q in range(len(ranks))])\n"
    )
    monkeypatch.setenv("VITRET_INCLUDE", str(tmp_path))
    assert parse_metric("reciprocal_rank")(Ranks.of([[3]], [1]))[0] == 0.25


def test_metrics_are_recomputed_from_stored_ranks():
    first = evaluate(
        Evidence.of(circle(0), DATABASE), evalset(TRUTH, 4), protocol=Protocol(), metrics=["mAP", "mP@1"]
    )
    again = measure(first.ranks, ["mAP", "mP@1"])
    assert {key: value.tolist() for key, value in first.per_query.items()} == {
        key: value.tolist() for key, value in again.per_query.items()
    }


def test_measuring_needs_no_torch():
    code = (
        "import sys\n"
        "import vitret.compare.paired\n"
        "from vitret.measure import *\n"
        "measure({'all': Ranks.of([[0]], [1])}, ['mAP', 'mP@5', 'R@1', 'R-precision', 'MAP@R', 'mAP@100'])\n"
        "assert not {'torch', 'timm', 'faiss', 'torchvision', 'pandas'} & set(sys.modules)\n"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


class Plain(pickle.Unpickler):
    def find_class(self, module, name):
        raise AssertionError(f"the ground truth names {module}.{name}")


def revisited(path):
    with path.open("rb") as handle:
        raw = Plain(handle).load()
    kinds = ("easy", "hard", "junk")
    truth = Truth(judgements={kind: Ragged.of([q[kind] for q in raw["gnd"]]) for kind in kinds})
    return truth, len(raw["imlist"])


# Counts: reference/datasets.md 1.2, which opened the official pickles.
@pytest.mark.parametrize(
    ("name", "images", "easy", "hard", "junk", "without_easy"),
    [("roxford5k", 4993, 3029, 2497, 1356, 2), ("rparis6k", 6322, 6874, 10350, 7153, 0)],
)
def test_the_real_ground_truth(shared, name, images, easy, hard, junk, without_easy):
    truth, database = revisited(shared / "groundtruth" / f"gnd_{name}.pkl")
    assert database == images
    assert truth.queries == 70
    rng = np.random.default_rng(0)
    rows = rng.standard_normal((images + 70, 16)).astype(np.float32)
    rows /= np.linalg.norm(rows, axis=1, keepdims=True)
    queries, searched = Descriptors(rows=rows[:70]), Descriptors(rows=rows[70:])
    found = evaluate(
        Evidence.of(queries, searched), evalset(truth, images), protocol=Protocol(), metrics=["mAP", "mP@10"]
    )
    assert {level: int(ranks.n_positive.sum()) for level, ranks in found.ranks.items()} == {
        "easy": easy,
        "medium": easy + hard,
        "hard": hard,
    }
    # Whole rankings find every positive; the last rank leaves room for the junk that was taken out.
    for level, (good, bad) in {level: truth.at(level) for level in truth.levels}.items():
        ranks = found.ranks[level]
        assert len(ranks.values) == len(good.values)
        last = [ranks.row(q)[-1] for q in range(70) if len(ranks.row(q))]
        room = [images - len(bad.row(q)) for q in range(70) if len(ranks.row(q))]
        assert (np.array(last) < np.array(room)).all()
        assert found.n_effective(level) == 70 - (without_easy if level == "easy" else 0)
    assert sum(len(truth.judgements["junk"].row(q)) for q in range(70)) == junk


@pytest.mark.parametrize("name", ["roxford5k", "rparis6k"])
def test_descriptors_that_know_the_truth_are_perfect(shared, name):
    truth, images = revisited(shared / "groundtruth" / f"gnd_{name}.pkl")
    # One axis a query; its positives lie on it, everything else on the last axis: every level is perfect.
    rows = np.zeros((images, 71), dtype=np.float32)
    good, _ = truth.at("medium")
    for q in range(70):
        rows[good.row(q), q] = 1.0
    rows[~rows.any(axis=1), 70] = 1.0
    rows /= np.linalg.norm(rows, axis=1, keepdims=True)
    queries = Descriptors(rows=np.eye(71, dtype=np.float32)[:70])
    found = evaluate(
        Evidence.of(queries, Descriptors(rows=rows)),
        evalset(truth, images),
        protocol=Protocol(),
        metrics=["mAP"],
    )
    assert all(found.mean(level, "mAP") == pytest.approx(1.0) for level in truth.levels)
