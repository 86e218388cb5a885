from pathlib import Path

import pytest

from vitret.compare.published import gaps
from vitret.compare.tables import measured_sentences
from vitret.pages.systems import page

ROOT = Path(__file__).resolve().parents[2]
SYSTEM = """
title: A network
source: a paper
published: ["70 per cent"]
open: ["the batch"]
model: {{backbone: {{name: timm_model, arch: test_vit, pretrained: false}}, head: cls}}
losses: [{{name: contrastive, margin: 0.5}}]
sampler: {{name: pxk, k: 4}}
memory: {{size: 0.2, momentum: 0.999}}
optimiser: {{name: sgd, lr: 0.5, clip: null, final_lr: 1e-3, freeze_batch_norm: true, lr_factors: {{head.p: 10}}}}
name: {name}
"""


@pytest.fixture
def configs(tmp_path: Path) -> Path:
    for folder in ("systems", "published"):
        (tmp_path / folder).mkdir()
    (tmp_path / "systems" / "a.yaml").write_text(SYSTEM.format(name="a"))
    system = SYSTEM.format(name="b").strip().replace("\n", "\n  ")
    track = (
        "{name: b, train_set: town, images_seen: 6400, batch: 64, suite: s, image: {size: 96, flip: false}}"
    )
    (tmp_path / "published" / "b.yaml").write_text(f"system:\n  {system}\ntrack: {track}\n")
    return tmp_path


def test_a_card_names_all_that_defines_a_recipe(configs: Path):
    text = page(configs, {}, {})
    for card in text.split("\n## ")[1:]:
        for words in (
            "starts from: random weights",
            "sgd(lr=0.5", "clip=None", "final_lr=0.001", "freeze_batch_norm=True", "lr_factors={'head.p': 10",
            "memory: size=0.2, start=0, momentum=0.999", "the batch", "70 per cent", "gap: not known: not run yet",
        ):  # fmt: skip
            assert words in card
        assert "nesterov" not in card  # at its default


def test_published_recipes_have_cards_of_their_own_with_their_budget(configs: Path):
    systems, recipes = page(configs, {}, {}).split("# Published recipes")
    assert "`a`" in systems
    assert "`b`" in recipes
    assert "town; 6,400 images, batch 64; image(policy='square', size=96, flip=False)" in recipes
    assert "suite: s" in recipes


def test_a_gap_is_the_sentence_or_why_there_is_none(configs: Path):
    text = page(configs, {"a": ["it ran"], "b": ["it ran"]}, {"b": ["R@1 -1.0"]})
    assert "- gap: R@1 -1.0\n" in text
    assert "- gap: not known: not measured as published\n" in text


@pytest.mark.slow
def test_the_committed_page_is_what_the_systems_give():
    results = ROOT / "results"
    fresh = page(ROOT / "configs", measured_sentences(results), gaps(results))
    assert (ROOT / "docs" / "systems.md").read_text() == fresh, (
        "stale: run `vitret list systems --format md > docs/systems.md`"
    )
