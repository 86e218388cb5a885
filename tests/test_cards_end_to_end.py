"""Every card, from its miniature to a number: fetched, adopted, verified, trained one step, measured.

`pytest tests/test_cards_end_to_end.py -s` ends with the table of cards.
"""

import json
import math
from collections.abc import Iterator, Sequence
from pathlib import Path

import miniatures
import pytest
import torch
from miniatures import Miniature
from official_server import OfficialServer

from vitret.compare.arena import read_suite
from vitret.core import config
from vitret.core.networks import ModelSpec
from vitret.core.protocol import Protocol
from vitret.core.recipes import Recipe
from vitret.core.records import Descriptors, EvalSet, Images
from vitret.core.runs import open_run
from vitret.data import layout
from vitret.data.prepare import contract
from vitret.data.prepare.request import Choices
from vitret.describe.extract import extract
from vitret.describe.request import Request
from vitret.learn.train import train
from vitret.measure.evaluate import Measurement, evaluate
from vitret.measure.reranking_shortlist import Evidence
from vitret.models.model import Retriever, build_model, load_model

pytestmark = pytest.mark.slow

CPU = torch.device("cpu")
STEPS = ("downloaded", "adopted", "verified", "trained", "measured")
Done = dict[str, dict[str, str]]
MODEL = {
    "backbone": {"name": "timm_model", "arch": "test_vit", "pretrained": False, "img_size": 32},
    "head": "gem",
}
PROTOCOL = Protocol(size=32, size_rule="square", upscale=True, query_size="same_size")
SUITES = Path(__file__).resolve().parent.parent / "configs" / "suites"
BY_LABELS = {"losses": ["arcface"], "sampler": "random"}
BY_TUPLES = {
    "losses": [{"name": "contrastive_tuples", "negatives": 1}],
    "sampler": {"name": "tuples", "negatives": 1},
}


@pytest.fixture(scope="module")
def done() -> Iterator[Done]:
    """What became of each card, printed at the end."""
    table: Done = {name: dict.fromkeys(STEPS, "") for name in miniatures.names()}
    yield table
    rows = [
        ("card", *STEPS),
        ("---",) * (1 + len(STEPS)),
        *((name, *row.values()) for name, row in table.items()),
    ]
    print("\n", *(f"| {' | '.join(row)} |" for row in rows), sep="\n")  # noqa: T201


@pytest.fixture(autouse=True)
def _one_thread() -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


def small(name: str, tmp_path: Path, server: OfficialServer) -> Miniature:
    miniature = miniatures.build(name, tmp_path / "miniatures" / name)
    server.serve(miniature.published)
    return miniature


def untrained() -> Retriever:
    torch.manual_seed(0)
    return build_model(ModelSpec.model_validate(MODEL))


def one_step(name: str, root: Path, home: Path, idea: dict[str, object]) -> Retriever:
    """Train one batch of a prepared set; its loss is a number."""
    trainset = layout.load_train(root, name)
    batch = 6
    recipe = Recipe.model_validate(
        {
            "system": {"name": "one-step", "title": "one step", "model": MODEL, **idea},
            "track": {
                "name": name,
                "train_set": name,
                "images_seen": batch,
                "batch": batch,
                "image": {"size": 32},
                "validation": 0.0,
            },
            "seed": 0,
        }
    )
    checkpoint = train(recipe, trainset, open_run(home, recipe), device=CPU, workers=0)
    lines = [json.loads(line) for line in (checkpoint.parent / "log.jsonl").read_text().splitlines()]
    losses = [line["loss"] for line in lines if "loss" in line]
    assert len(losses) == 1
    assert math.isfinite(losses[0])
    return load_model(checkpoint)[0]


def described(model: Retriever, images: Images) -> Descriptors:
    descriptors = extract(Request(model=model, images=images, protocol=PROTOCOL, device=CPU))
    assert len(descriptors.failed) == 0
    return descriptors


def numbers_of(evalset: EvalSet) -> tuple[Sequence[str], Sequence[str]]:
    """Metrics and levels of the suite that measures a set; a few at every level for a set that none does."""
    for stem in config.file_names(SUITES):
        suite = read_suite(SUITES, stem)
        if evalset.name in suite.sets:
            return suite.metrics, suite.levels
    return ("mAP", "R@1"), evalset.truth.levels


def measured(model: Retriever, evalset: EvalSet, distractors: Descriptors | None = None) -> Measurement:
    metrics, levels = numbers_of(evalset)
    measurement = evaluate(
        Evidence.of(
            described(model, evalset.queries), described(model, evalset.database), distractors=distractors
        ),
        evalset,
        protocol=PROTOCOL,
        metrics=metrics,
        levels=levels,
    )
    for level, metric in measurement.per_query:
        assert measurement.n_effective(level) > 0
        assert 0 <= measurement.mean(level, metric) <= 1
    return measurement


@pytest.mark.parametrize("name", miniatures.names())
def test_a_card_from_its_host_to_a_number(
    name: str, tmp_path: Path, official_server: OfficialServer, monkeypatch: pytest.MonkeyPatch, done: Done
):
    monkeypatch.setenv("VITRET_MIRROR", official_server.mirror)
    miniature = small(name, tmp_path, official_server)
    gated = name in miniatures.GATED
    done[name]["downloaded"] = "gated" if gated else "yes"
    if not gated:
        miniature.prepare(tmp_path / "fetched")
    miniature.prepare(tmp_path / "adopted", miniature.peer)
    done[name]["adopted"] = "yes"
    for root in ("adopted",) if gated else ("fetched", "adopted"):
        assert list(contract.sound(name, tmp_path / root, miniature.card)) == []
    done[name]["verified"] = "yes"
    root = tmp_path / ("adopted" if gated else "fetched")
    model = untrained()
    kinds = miniature.card.kind
    done[name]["trained"] = done[name]["measured"] = "no such part"
    if "train" in kinds:
        model = one_step(name, root, tmp_path / "home", BY_LABELS)
        done[name]["trained"] = "labels"
        if layout.load_train(root, name).pairs is not None:
            one_step(name, root, tmp_path / "home", BY_TUPLES)
            done[name]["trained"] = "labels, tuples"
    if "eval" in kinds:
        found = measured(model, layout.load_eval(root, name))
        done[name]["measured"] = f"{len(found.per_query)} numbers, {found.n} queries"
    if "distractors" in kinds:
        small("roxford5k", tmp_path, official_server).prepare(root)
        evalset = layout.load_eval(root, "roxford5k")
        crowd = described(model, layout.load_images(root, name).images)
        alone, among_them = measured(model, evalset), measured(model, evalset, crowd)
        assert all(among_them.mean(*key) <= alone.mean(*key) for key in alone.per_query)
        done[name]["measured"] = f"beside roxford5k, {len(crowd)} distractors"


def test_a_packed_set_trains_the_step_that_the_loose_one_does(
    tmp_path: Path, official_server: OfficialServer, monkeypatch: pytest.MonkeyPatch
):
    """Paths in the tars sort otherwise than loose ones, so the one step is on other images: it is only run."""
    monkeypatch.setenv("VITRET_MIRROR", official_server.mirror)
    miniature = small("gldv2-clean", tmp_path, official_server)
    miniature.prepare(tmp_path / "packed", choices=Choices(packed=True))
    model = one_step("gldv2-clean", tmp_path / "packed", tmp_path / "home", BY_LABELS)
    images = layout.load_train(tmp_path / "packed", "gldv2-clean").images
    assert b".tar/" in images.paths[0]
    assert described(model, images).rows.shape == (39, model.dim)
