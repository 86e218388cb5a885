"""A bench under protocols that re-rank, at 32 pixels: by descriptors alone, and by a matcher trained beside the run."""

from pathlib import Path

import pytest
import torch
from small_bench import draw, finish, linked, make_places, write_categories

from vitret.compare import results
from vitret.compare.asked import Places, Request
from vitret.compare.bench import bench
from vitret.compare.machine import Machine
from vitret.compare.plan import plan
from vitret.compare.work import resolve
from vitret.core.errors import DataError, UserError
from vitret.data.layout.write import LayoutWriter
from vitret.models.reranking import load_matcher

CPU = Machine(device=torch.device("cpu"), precision="fp32", workers=1)
MATCHER = (
    "matcher: {width: 16, layers: 1, heads: 2, hidden: 32, triples: 960, batch: 24, positives: 1, lr: 3e-3}"
)


@pytest.fixture
def places(tmp_path: Path) -> Places:
    """Sets `town` (train), `test` (evaluation) and `far` (distractors), and one frozen network."""
    found = make_places(tmp_path / "places", track="town", suite="plain")
    for name, rerank in {
        "none": "{}",
        "plain": f"{{kind: rrt, depth: 5, options: {{{MATCHER}}}}}",
        "oracle": f"{{kind: rrt, depth: 5, shortlist: oracle, options: {{{MATCHER}}}}}",
        "misspelt": "{kind: rrt, options: {matcher: {widht: 16}}}",
        "superglobal": "{kind: superglobal, depth: 10, options: {neighbours: 3, expand: 2}}",
    }.items():
        (found.suites / f"{name}.yaml").write_text(
            f"name: {name}\nsets: [test]\ndistractors: far\nlevels: [all]\nmetrics: [mAP, R@1]\nprimary: mAP\n"
            "protocol:\n  {size: 32, size_rule: square, query_size: same_size, crop: none, "
            f"rerank: {rerank}}}\n"
        )
    images = draw(tmp_path / "drawn", patterns=10, views=4)
    with LayoutWriter(found.data, "town", workers=1) as writer:
        writer.train(linked(writer, images), [i // 4 for i in range(len(images))])
        finish(writer)
    with LayoutWriter(found.data, "test", workers=1) as writer:
        write_categories(writer, images[:24], views=4)
    with LayoutWriter(found.data, "far", workers=1) as writer:
        writer.distractors(linked(writer, images[24:]))
        finish(writer)
    return found


def measured(places: Places, suite: str) -> list[results.Result]:
    work = resolve(places, Request(train_set="town", suite=suite))
    paths = bench(places, work, machine=CPU, command="test", say=lambda _: None)
    return [results.read_result(path) for path in paths]


@pytest.mark.slow
def test_a_matcher_is_trained_once_for_both_shortlists(places):
    assert any("train a matcher" in line for line in plan(places, Request(train_set="town", suite="plain")))
    rows = measured(places, "plain") + measured(places, "oracle")
    assert [row.eval_name for row in rows] == ["test", "test+far"] * 2
    assert len({row.fingerprint for row in rows}) == 2
    assert "rrt of top 5, oracle shortlist" in rows[2].protocol.line()
    assert rows[0].protocol.rerank.options["matcher"]["positives"] == 1
    assert rows[0].training.manifest  # the network is frozen, its matcher is not
    assert rows[0].training.images_seen == 0
    (file,) = places.home.glob("runs/*/matchers/*/matcher.safetensors")
    assert load_matcher(file).spec.width == 16
    # The set's only junk is the query itself, which neither shortlist holds: both rules give one number.
    assert rows[0].metrics == rows[2].metrics
    assert not measured(places, "plain")  # a row that stands is not measured again


def test_superglobal_works_through_the_bench(places):
    plain, _ = measured(places, "none")
    again, far = measured(places, "superglobal")
    assert again.fingerprint != plain.fingerprint
    assert again.protocol.rerank.options == {"neighbours": 3, "beta": 0.15, "expand": 2}
    assert far.metrics["mAP"].value <= 1
    assert again.training.manifest == ""
    assert not list(places.home.glob("runs/*/matchers"))


@pytest.mark.slow
def test_rows_and_runs_know_the_bytes_they_were_learned_from(places, tmp_path):
    """A set that grows, as shard by shard, makes rows of a matcher stale and a trained network a thing of the past."""
    card = {"title": "town", "subset": "a subset, 9 of 10 shards"}
    images = sorted((tmp_path / "drawn").iterdir())
    (places.configs / "systems" / "learner.yaml").write_text(
        "name: learner\ntitle: Learner\nlosses: [arcface]\n"
        "model: {backbone: {name: timm_model, arch: test_vit, pretrained: false, img_size: 32}, head: gem}\n"
    )
    track = places.configs / "tracks" / "town.yaml"
    track.write_text(
        "name: town\ntrain_set: town\nimages_seen: 8\nbatch: 4\nimage: {size: 32}\nvalidation: 0.0\n"
        "seeds: [0]\nsystems: [learner]\nsuite: none\n"
    )
    rows = measured(places, "none")
    assert {row.training.subset for row in rows} == {""}
    with LayoutWriter(places.data, "town", replace=True, workers=1) as writer:
        names = linked(writer, images[:36])
        writer.train(names, [i // 4 for i in range(36)])
        writer.card(card)
        writer.finish()
    with pytest.raises(DataError, match="was trained on other bytes of town"):
        resolve(places, Request(train_set="town", suite="none"))
    (run,) = places.home.glob("runs/town-learner-*")
    run.rename(run.with_name("before"))
    again = measured(places, "none")
    assert {row.training.subset for row in again} == {"a subset, 9 of 10 shards"}
    assert {row.training.manifest for row in again}.isdisjoint(row.training.manifest for row in rows)


def test_what_cannot_work_is_said_before_the_work(places):
    with pytest.raises(UserError, match="Did you mean 'width'"):
        resolve(places, Request(train_set="town", suite="misspelt"))
    (places.configs / "tracks" / "lost.yaml").write_text(
        "name: lost\ntrain_set: lost\nimages_seen: 0\nsystems: [frozen]\nsuite: plain\n"
    )
    with pytest.raises(DataError, match="vitret prepare lost"):
        resolve(places, Request(train_set="lost", suite="plain"))
