"""Planted copies are found, others are not, and a killed audit continues."""

import io
import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image, ImageOps

from vitret.compare.overlap import audit as audit_module
from vitret.compare.overlap.audit import Audit, Settings, overlap
from vitret.compare.overlap.evidence import (
    Parts,
    continued,
    read_evidence,
    require_same_bytes,
    with_verdicts,
    write_evidence,
)
from vitret.compare.overlap.hashes import hash_file, near
from vitret.core.errors import UserError
from vitret.core.networks import ModelSpec
from vitret.core.pairs import NO, PHOTOGRAPH, YES, counted
from vitret.core.protocol import Protocol
from vitret.core.records import EvalSet, Images, Ragged, TrainSet, Truth
from vitret.describe.request import Request
from vitret.minitown.draw import draw
from vitret.minitown.world import plan_distractors
from vitret.models.model import build_model
from vitret.pages.overlap import write_page

pytest.importorskip("cv2")

COPIES = {
    "rescaled": lambda image: image.resize((image.width * 2 // 3, image.height * 2 // 3)),
    "cropped": lambda image: image.crop((image.width // 8, image.height // 8, image.width, image.height)),
    "mirrored": ImageOps.mirror,
}


def _silent(name):
    from vitret.compare.machine import silent

    return silent(name)


@pytest.fixture(scope="module")
def planted(tmp_path_factory: pytest.TempPathFactory) -> Audit:
    """Forty photographs; copies of the first three, recompressed, are the queries."""
    root = tmp_path_factory.mktemp("planted")
    names = []
    for number, (_, data) in enumerate(sorted(draw(plan_distractors(0, images=40), workers=1))):
        (root / f"{number}.jpg").write_bytes(data)
        names.append(f"{number}.jpg")
    asked = []
    for number, (name, change) in enumerate(COPIES.items()):
        change(Image.open(root / names[number])).save(root / f"{name}.jpg", quality=60)
        asked.append(f"{name}.jpg")
    strangers = names[30:]
    trainset = TrainSet(
        name="trained", images=Images.of(root, names[:30]), labels=np.arange(30), digest="of-the-training-set"
    )
    evalset = EvalSet(
        name="asked",
        queries=Images.of(root, asked),
        database=Images.of(root, strangers),
        truth=Truth(judgements={"positive": Ragged.of([[0], [1], [2]])}),
        digest="of-the-evaluation-set",
    )
    requests = {}
    for seed in (0, 1):
        torch.manual_seed(seed)
        spec = {"name": "timm_model", "arch": "test_vit", "pretrained": False, "img_size": 64}
        model = build_model(ModelSpec.model_validate({"backbone": spec, "head": "gem"}))
        requests[f"random {seed}"] = [
            Request(
                model=model,
                images=evalset.queries,
                protocol=Protocol(size=64),
                device=torch.device("cpu"),
                precision="fp32",
            )
        ]
    return Audit(
        trainset=trainset,
        evalset=evalset,
        requests=requests,
        home=root / "home",
        settings=Settings(neighbours=30),
    )


def _by_query(evidence):
    return {p["image"]: p["train"] for p in evidence["pairs"] if p["proposal"] == PHOTOGRAPH}


def test_copies_are_found_and_nothing_else_is_a_photograph(planted):
    evidence = overlap(planted, say=print, steps=_silent)
    assert _by_query(evidence) == {"rescaled.jpg": "0.jpg", "cropped.jpg": "1.jpg", "mirrored.jpg": "2.jpg"}
    assert [pair["proposal"] for pair in evidence["pairs"][:3]] == [PHOTOGRAPH] * 3


def test_written_evidence_is_read_as_it_was(planted, tmp_path: Path):
    evidence = overlap(planted, say=print, steps=_silent)
    write_evidence(tmp_path / "o.json", evidence)
    assert read_evidence(tmp_path / "o.json") == json.loads(json.dumps(evidence))


def test_a_killed_audit_continues_with_the_same_evidence(planted, monkeypatch):
    straight = overlap(planted, say=print, steps=_silent)
    (log,) = (planted.home / "overlap").glob("*/verified.jsonl")
    first, second, *_ = log.read_bytes().splitlines(keepends=True)
    log.write_bytes(first + second[:30])
    seen = []
    verify = audit_module._verify
    monkeypatch.setattr(
        audit_module, "_verify", lambda a, p, *r, **k: seen.append(p.image) or verify(a, p, *r, **k)
    )
    assert overlap(planted, say=print, steps=_silent) == straight
    assert "rescaled.jpg" not in seen
    assert len(seen) == 5


def test_one_descriptor_is_refused(planted):
    one = replace(planted, requests=dict(list(planted.requests.items())[:1]))
    with pytest.raises(UserError, match="name two different ones"):
        overlap(one, say=print, steps=_silent)


def test_what_is_near_at_one_of_two_sizes_is_a_candidate(planted, tmp_path: Path):
    small = {
        name: [replace(one, protocol=Protocol(size=32)) for one in sizes]
        for name, sizes in planted.requests.items()
    }
    both = {name: [*planted.requests[name], *sizes] for name, sizes in small.items()}
    found = []
    for requests in (planted.requests, small, both):
        audit = replace(planted, requests=requests, settings=Settings(neighbours=1), home=tmp_path)
        found.append(overlap(audit, say=print, steps=_silent)["pairs"])
    large, little, every = ({pair["id"] for pair in pairs} for pairs in found)
    assert every == large | little
    assert large != little
    assert {len(pair["parts"]["cosines"]) for pair in found[2]} == {2}


def test_what_is_near_the_whole_query_is_a_candidate_beside_what_is_near_its_box(planted):
    one = replace(planted, settings=Settings(neighbours=1))
    trained = np.eye(3, dtype=np.float32)
    found: list = [{}, {}]
    box, whole = np.array([[1, 0, 0], [0.6, 0.8, 0]], np.float32), np.array([[0, 0, 1]], np.float32)
    audit_module._add_nearest(found, 0, box, trained, audit=one)
    audit_module._add_nearest(found, 0, whole, trained, audit=one)
    audit_module._add_nearest(found, 0, np.array([[0.6, 0, 0]], np.float32), trained, audit=one)
    assert [sorted(rows) for rows in found] == [[0, 2], [1]]
    assert found[0][0] == [1.0, None]  # the greater cosine stays


def test_verdicts_of_the_page_come_back(planted, tmp_path: Path):
    evidence = overlap(planted, say=print, steps=_silent)
    first, second, third = evidence["pairs"][:3]
    file = tmp_path / "verdicts.json"
    file.write_text(json.dumps({"pairs": [{**first, "verdict": NO}, {**second, "verdict": YES}]}))
    judged = with_verdicts(evidence, file)
    assert [pair["id"] for pair in counted(judged["pairs"])] == [second["id"], third["id"]]
    # The second was undone on the page; the first is not on it.
    file.write_text(json.dumps({"pairs": [{**second, "verdict": None, "decided": True}]}))
    undone = with_verdicts(judged, file)
    assert [pair["verdict"] for pair in undone["pairs"][:2]] == [NO, None]
    file.write_text(json.dumps({"train": {"digest": "other"}, "pairs": [{**second, "verdict": NO}]}))
    with pytest.raises(UserError, match="on other bytes of trained"):
        with_verdicts(evidence, file)
    file.write_text(json.dumps({"pairs": [{**first, "id": "of another audit", "verdict": YES}]}))
    with pytest.raises(UserError, match="another audit"):
        with_verdicts(evidence, file)


def test_what_a_reader_did_not_decide_stays_as_another_decided_it(planted, tmp_path: Path):
    evidence = overlap(planted, say=print, steps=_silent)
    first, second, third, *rest = evidence["pairs"]
    one, other, by_hand = (tmp_path / f"{name}.json" for name in ("one", "other", "by_hand"))
    # Both pages were made before either reader began.
    one.write_text(
        json.dumps({"pairs": [_said(first, YES), _said(second, YES), _said(third, None, decided=False)]})
    )
    other.write_text(
        json.dumps({"pairs": [_said(first, None, decided=False), _said(second, NO), _said(third, NO)]})
    )
    judged = with_verdicts(with_verdicts(evidence, one), other)
    assert [pair["verdict"] for pair in judged["pairs"]] == [YES, NO, NO, *(None for _ in rest)]
    elsewhere = {
        **_said(first, None, decided=False),
        "id": "of another audit",
    }  # open there, so it says nothing
    other.write_text(json.dumps({"pairs": [_said(second, NO), elsewhere]}))
    assert with_verdicts(judged, other) == judged
    by_hand.write_text(json.dumps({"pairs": [{**first, "verdict": None}, {**second, "verdict": YES}]}))
    assert [pair["verdict"] for pair in with_verdicts(judged, by_hand)["pairs"][:3]] == [YES, YES, NO]


def test_an_audit_of_fewer_candidates_loses_no_verdict(planted, tmp_path: Path):
    before = overlap(planted, say=print, steps=_silent)
    judged = {**before, "pairs": [{**pair, "verdict": NO} for pair in before["pairs"]]}
    fewer = overlap(
        replace(planted, settings=Settings(neighbours=1), home=tmp_path), say=print, steps=_silent
    )
    assert len(fewer["pairs"]) < len(before["pairs"])
    found = continued(fewer, judged)
    assert {pair["id"]: pair["verdict"] for pair in found["pairs"]} == dict.fromkeys(
        (pair["id"] for pair in before["pairs"]), NO
    )
    scores = [pair["score"] for pair in found["pairs"]]
    assert scores == sorted(scores, reverse=True)
    compared = {pair["id"] for pair in fewer["pairs"]}
    assert all(
        pair["parts"]["cosines"] == [None, None] for pair in found["pairs"] if pair["id"] not in compared
    )
    # What nobody judged goes: the new audit speaks.
    assert continued(fewer, before)["pairs"] == fewer["pairs"]


def test_verdicts_on_other_bytes_are_not_written_over(planted):
    before = overlap(planted, say=print, steps=_silent)
    digests = {side: before[side]["digest"] for side in ("train", "evaluation")}
    judged = {**before, "pairs": [{**pair, "verdict": NO} for pair in before["pairs"]]}
    require_same_bytes(judged, digests, path=Path("o.json"))
    require_same_bytes(before, {**digests, "train": "other"}, path=Path("o.json"))
    with pytest.raises(UserError, match=r"o\.json: has verdicts on .* of other bytes of trained"):
        require_same_bytes(judged, {**digests, "train": "other"}, path=Path("o.json"))


def _said(pair: dict, verdict: str | None, *, decided: bool = True) -> dict:
    return {**pair, "verdict": verdict, "decided": decided}


def test_the_page_needs_no_network(planted, tmp_path: Path):
    evidence = overlap(planted, say=print, steps=_silent)
    root = planted.trainset.images.root
    count = write_page(
        tmp_path / "p.html", evidence, files=lambda p: (root / p["train"], root / p["image"]), most=5
    )
    text = (tmp_path / "p.html").read_text()
    assert count == text.count("<article") == 5
    assert "http" not in text


def test_recompression_changes_few_bits_of_a_hash(tmp_path: Path):
    (_, data), (_, other) = list(draw(plan_distractors(0, images=2), workers=1))
    Image.open(io.BytesIO(data)).save(tmp_path / "a.png")
    Image.open(io.BytesIO(data)).save(tmp_path / "b.jpg", quality=40)
    Image.open(io.BytesIO(other)).save(tmp_path / "c.png")
    hashes = np.array([hash_file(tmp_path / name)[0] for name in ("b.jpg", "c.png")], np.uint64)
    rows, bits = near(hashes, hash_file(tmp_path / "a.png")[0], within=10, most=5)
    assert rows.tolist() == [0]
    assert bits[0] <= 4


def test_a_score_is_the_sum_of_its_parts():
    parts = Parts(cosines=(0.5, None), bits=8, inliers=20, matches=30, pixels=0.9, mirrored=False)
    assert parts.score == pytest.approx(0.25 + 0.5 + 0.5 + 0.9)
    assert parts.proposal == PHOTOGRAPH
