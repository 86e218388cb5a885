import dataclasses

import numpy as np
import pytest
import torch

from vitret.core.errors import UserError
from vitret.core.protocol import Protocol
from vitret.core.reranking import MatcherSpec
from vitret.describe.reranking import LocalFeatures
from vitret.learn.reranking import Triples, mine, train_matcher
from vitret.models.model import build_model
from vitret.models.reranking import Matcher, load_matcher

CPU = torch.device("cpu")
# Three classes on a circle, in degrees; class 2 stands alone, far away.
LABELS = np.array([0, 0, 0, 1, 1, 1, 2, 2])
ANGLES = np.deg2rad([0, 2, 4, 6, 8, 10, 180, 182])
ROUND = np.stack([np.cos(ANGLES), np.sin(ANGLES)], axis=1).astype(np.float32)


def test_anchors_need_positives_and_a_negative_among_their_neighbours():
    found = mine(ROUND, LABELS, neighbours=3, positives=2, anchors=None, seed=0)
    # Three nearest of 0: 1 2 3, of 2 (4°): 1 3 (tie) 0 or 4; those of class 2 have only one positive.
    assert 0 in found.anchors
    assert not set(found.anchors) & {6, 7}
    for anchor, positive, negative in found.epoch(0):
        near = found.near[list(found.anchors).index(anchor)]
        assert anchor not in near
        assert {positive, negative} <= set(near.tolist())
        assert LABELS[positive] == LABELS[anchor] != LABELS[negative]


def test_no_triples_is_said_with_a_way_out():
    with pytest.raises(UserError, match="no image has 5 of its class"):
        mine(ROUND, LABELS, neighbours=7, positives=5, anchors=None, seed=0)


def test_the_stream_can_be_entered_anywhere():
    triples = mine(ROUND, LABELS, neighbours=5, positives=1, anchors=None, seed=4)
    straight = [next_.tolist() for _, next_ in zip(range(20), triples.stream(0), strict=False)]
    later = [next_.tolist() for _, next_ in zip(range(9), triples.stream(11), strict=False)]
    assert straight[11:] == later
    assert sorted(row[0] for row in straight[: len(triples)]) == triples.anchors.tolist()


def test_some_anchors_are_drawn():
    assert set(mine(ROUND, LABELS, neighbours=5, positives=1, anchors=3, seed=0).anchors) < set(range(8))


@pytest.fixture
def scene(tiny, patterns):
    """An untrained network, coloured patterns, and triples of them."""
    torch.manual_seed(0)
    trainset = tiny.trainset(patterns)
    model = build_model(tiny.recipe().system.model).eval()
    generator = np.random.default_rng(0)
    near = np.stack([generator.permutation(len(trainset.labels)) for _ in trainset.labels])
    rows = np.arange(len(trainset.labels))
    return model, trainset, Triples(rows, near, trainset.labels, positives=1, seed=0)


def make(scene, kind, **changes):
    model, trainset, triples = scene
    sizes = {"width": 32, "layers": 2, "heads": 2, "hidden": 64}
    spec = MatcherSpec(kind=kind, **sizes, **({"triples": 720, "batch": 12, "lr": 3e-3} | changes))
    torch.manual_seed(spec.seed)
    matcher = Matcher(spec, inputs=model.backbone.widths[-1], global_dim=model.dim)
    protocol = Protocol(size=32, size_rule="square", query_size="same_size")
    find = LocalFeatures(model, trainset.images, protocol, matcher.keep, device=CPU, scales=spec.scales)
    known = find(range(len(trainset.images)))  # the network is frozen: each image is described once
    return matcher, triples, lambda rows: [known[row] for row in rows]


@pytest.mark.parametrize(("kind", "scales"), [("grid", (1.0,)), ("landmark", (0.5, 1.0))])
def test_a_matcher_learns_to_tell_pairs_apart(scene, tmp_path, kind, scales):
    matcher, triples, find = make(scene, kind, scales=scales, triples=2400, batch=24)
    told = []
    path = train_matcher(
        matcher, triples, find, tmp_path / "m", device=CPU, progress=lambda *words: told.append(words)
    )
    again = load_matcher(path)
    anchor, positive, negative = (find(rows.tolist()) for rows in triples.epoch(999).T)
    with torch.no_grad():
        right = torch.cat([again(anchor, positive) > 0, again(anchor, negative) < 0]).float().mean()
    assert right > 0.7
    assert told[-1][:2] == (100, 100)
    assert (tmp_path / "m" / "log.jsonl").read_text().count("\n") == 5


def test_an_interrupted_training_gives_the_same_bytes(scene, tmp_path):
    straight = train_matcher(*make(scene, "grid"), tmp_path / "straight", device=CPU)

    def killed(done, total, words):
        if done == 40:
            raise KeyboardInterrupt

    arguments = {"device": CPU, "save_seconds": 0.0}
    with pytest.raises(KeyboardInterrupt):
        train_matcher(*make(scene, "grid"), tmp_path / "killed", progress=killed, **arguments)
    assert not (tmp_path / "killed" / "matcher.safetensors").exists()
    assert (tmp_path / "killed" / "state" / "trainer.pt").exists()
    resumed = train_matcher(*make(scene, "grid"), tmp_path / "killed", **arguments)
    assert resumed.read_bytes() == straight.read_bytes()
    for name in ("straight", "killed"):
        assert [path.name for path in sorted((tmp_path / name).iterdir())] == [
            "log.jsonl",
            "matcher.safetensors",
        ]
    assert (tmp_path / "killed" / "log.jsonl").read_text() == (
        tmp_path / "straight" / "log.jsonl"
    ).read_text()


def test_a_loss_that_is_not_finite_ends_it(scene, tmp_path):
    matcher, triples, find = make(scene, "grid", triples=12)
    broken = lambda rows: [dataclasses.replace(f, many=f.many * float("nan")) for f in find(rows)]  # noqa: E731
    with pytest.raises(UserError, match="the loss is nan"):
        train_matcher(matcher, triples, broken, tmp_path / "m", device=CPU)
