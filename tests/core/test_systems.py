"""A system is its source's own recipe wherever a track does not decide."""

from pathlib import Path

import pytest

from vitret.core.config import file_names
from vitret.core.recipes import read_published, read_system, system_names

CONFIGS = Path(__file__).resolve().parents[2] / "configs"


@pytest.mark.parametrize(
    ("system", "recipe"),
    [
        ("gem_r101", "gem_r101_sfm120k"),
        ("glam", "glam_gldv2_clean"),
        ("solar", "solar_gldv1"),
        ("dolg", "dolg_gldv2_clean"),
        ("irt_l", "irt_l_sop"),
        ("irt_r", "irt_r_sop"),
    ],
)
def test_network_losses_and_optimiser_are_those_of_the_published_recipe(system: str, recipe: str):
    ours, paper = read_system(CONFIGS, system), read_published(CONFIGS, recipe).system
    assert ours.model == paper.model
    assert ours.losses == paper.losses
    assert ours.optimiser == paper.optimiser
    assert ours.memory == paper.memory


def test_token_has_its_rule_for_the_rate_at_the_tracks_batch():
    # README of Token 450090b: 0.01 x batch / 256.
    ours = read_system(CONFIGS, "token").optimiser
    assert ours.lr == 0.01 * 64 / 256
    assert ours == read_published(CONFIGS, "token_gldv2_clean").system.optimiser.model_copy(
        update={"lr": ours.lr}
    )


@pytest.mark.parametrize(
    ("name", "arch"),
    [
        ("irt_o", "deit_small_patch16_224"),
        ("irt_l", "deit_small_patch16_224"),
        ("irt_r", "deit_small_distilled_patch16_224"),
    ],
)
def test_irt_runs_the_backbone_whose_numbers_it_quotes(name: str, arch: str):
    # El-Nouby et al., 2021: Table 3 is DeiT-S, the last row of Table 2 is DeiT-S distilled.
    system = read_system(CONFIGS, name)
    assert system.model.backbone.options["arch"] == f"{arch}.fb_in1k"
    assert all(("distilled" in arch) == ("distilled" in line) for line in system.published if "DeiT" in line)


@pytest.mark.parametrize(
    "name",
    ["ap_gem", "dalg_r", "dolg", "gem_r101", "gem_r101_arcface", "glam", "irt_l", "irt_r", "solar", "token"],
)
def test_no_default_of_ours_clips_what_no_source_clips(name: str):
    assert read_system(CONFIGS, name).optimiser.clip is None


# Their rows in results/ were measured with the bare name: another name would be another network.
MEASURED = {"frozen_efficientnet_lite0", "frozen_vit_tiny", "vit_tiny_arcface", "vit_tiny_contrastive"}
MEASURED |= {"vit_tiny_dalg", "vit_tiny_dtop", "vit_tiny_irt_l", "vit_tiny_irt_r"}


@pytest.mark.parametrize("name", [*system_names(CONFIGS), *file_names(CONFIGS / "published")])
def test_a_network_that_starts_from_timms_weights_names_their_tag(name: str):
    published = name in file_names(CONFIGS / "published")
    system = read_published(CONFIGS, name).system if published else read_system(CONFIGS, name)
    backbone = system.model.backbone
    if backbone.name == "timm_model" and backbone.options["pretrained"]:
        assert ("." in backbone.options["arch"]) == (name not in MEASURED)


def test_the_resnets_start_from_torchvisions_weights_and_swin_from_imagenet_1k():
    for name in (
        "gem_r101",
        "gem_w_r101",
        "gem_r101_arcface",
        "glam",
        "token",
        "dolg",
        "ap_gem",
        "rmac_r101",
    ):
        assert read_system(CONFIGS, name).model.backbone.options["arch"] == "resnet101.tv_in1k"
    swin = read_system(CONFIGS, "dalg_r").model.backbone.options["arch"]
    assert swin == "swin_small_patch4_window7_224.ms_in1k"


def test_rmac_is_frozen_and_starts_from_imagenet():
    system = read_system(CONFIGS, "rmac_r101")
    assert system.frozen
    assert system.model.head.name == "rmac"


def test_dalg_r_has_the_rates_of_vitgal():
    # Phan et al., ACCV 2022, the nearest transformer recipe that could be read: Adam, cosine from 5e-5, 2 of 40 epochs.
    optimiser = read_system(CONFIGS, "dalg_r").optimiser
    assert (optimiser.name, optimiser.lr, optimiser.schedule) == ("adam", 5e-5, "cosine")
    assert optimiser.warmup == 2 / 40
    assert optimiser.head_lr_factor == 1
