"""The papers' own recipes carry the papers' numbers; where each was read stands beside it."""

import math
from pathlib import Path

import pytest
import torch

from vitret.core.config import file_names, read_yaml, validate
from vitret.core.errors import UserError
from vitret.core.protocol import Suite
from vitret.core.recipes import Recipe, System, read_published, read_system
from vitret.learn.optimise import freeze, make_optimiser
from vitret.models.flops import shape_only

CONFIGS = Path(__file__).resolve().parents[2] / "configs"
NAMES = file_names(CONFIGS / "published")


def published(name: str) -> Recipe:
    return read_published(CONFIGS, name)


@pytest.mark.parametrize("name", NAMES)
def test_every_recipe_resolves_and_says_what_its_paper_leaves_open(name: str):
    recipe = published(name)
    assert recipe.budget == "own"
    assert recipe.system.name == recipe.track.name == name
    assert not recipe.system.frozen
    assert recipe.system.open
    assert recipe.system.published
    assert f"{recipe.track.images_seen:,} images" in recipe.track.about
    assert recipe.track.validation == 0.0


@pytest.mark.slow
def test_no_two_recipes_are_the_same_run():
    assert len({published(name).digest for name in NAMES}) == len(NAMES)


# El-Nouby et al., 2021: AdamW, 3e-5, 5e-4, 64; 35k / 2k / 35k iterations; beta 0.5 and lambda 0.7 on all three; the
# memory is as large as the training set, for In-Shop a fifth of it with keys from a momentum encoder of 0.999.
# Table 2 has DeiT-S, distilled or not, with the regulariser (IRT_R); Table 3 DeiT-S without it (IRT_L).
@pytest.mark.parametrize(
    ("form", "arch", "weights"),
    [
        ("irt_r_{}", "deit_small_distilled_patch16_224", {"contrastive": 1.0, "koleo": 0.7}),
        ("irt_r_{}_deit_s", "deit_small_patch16_224", {"contrastive": 1.0, "koleo": 0.7}),
        ("irt_l_{}", "deit_small_patch16_224", {"contrastive": 1.0}),
    ],
)
@pytest.mark.parametrize(
    ("train_set", "iterations", "memory", "momentum"),
    [("sop", 35_000, 1.0, None), ("cub200", 2_000, 1.0, None), ("inshop", 35_000, 0.2, 0.999)],
)
def test_irt_on_categories(
    form: str,
    arch: str,
    weights: dict[str, float],
    train_set: str,
    iterations: int,
    memory: float,
    momentum: float | None,
):
    recipe = published(form.format(train_set))
    optimiser = recipe.system.optimiser
    assert recipe.system.model.backbone.options["arch"] == f"{arch}.fb_in1k"
    assert (optimiser.name, optimiser.lr, optimiser.weight_decay) == ("adamw", 3e-5, 5e-4)
    assert (recipe.track.train_set, recipe.track.batch) == (train_set, 64)
    assert recipe.track.images_seen == iterations * 64
    assert {loss.name: loss.weight for loss in recipe.system.losses} == weights
    assert recipe.system.losses[0].options["margin"] == 0.5
    assert recipe.system.memory is not None
    assert isinstance(recipe.system.memory.size, float)
    assert (recipe.system.memory.size, recipe.system.memory.momentum) == (memory, momentum)
    image = recipe.track.image
    assert (image.policy, image.resize, image.size, image.flip) == ("square", 256, 224, True)


# The same paper on SfM-120k: Adam, 5e-7, 1e-6; 5 tuples of 1 + 1 + 5; 2,000 pairs and 22,000 candidates an epoch, 100
# epochs; margin 0.85; squares of 224 or 384; lambda 4.0 (its Tables 3 and 6). exp(-0.01) is the code's it builds on.
@pytest.mark.parametrize(
    ("name", "arch", "size", "koleo"),
    [
        ("irt_r_sfm120k", "deit_base_distilled_patch16_384", 384, [4.0]),
        ("irt_r_sfm120k_224", "deit_small_patch16_224", 224, [4.0]),
        ("irt_l_sfm120k", "deit_base_distilled_patch16_384", 384, []),
        ("irt_l_sfm120k_224", "deit_small_patch16_224", 224, []),
        ("irt_l_sfm120k_224_distilled", "deit_small_distilled_patch16_224", 224, []),
        ("irt_l_sfm120k_224_deit_b", "deit_base_distilled_patch16_224", 224, []),
    ],
)
def test_irt_on_landmarks(name: str, arch: str, size: int, koleo: list[float]):
    recipe = published(name)
    check_cirtorch_tuples(recipe)
    assert recipe.system.model.backbone.options["arch"] == f"{arch}.fb_in1k"
    tuples, *rest = recipe.system.losses
    assert (tuples.name, tuples.options["negatives"], tuples.options["margin"]) == (
        "contrastive_tuples",
        5,
        0.85,
    )
    assert [loss.weight for loss in rest if loss.name == "koleo"] == koleo
    assert (recipe.track.image.policy, recipe.track.image.size) == ("square", size)


@pytest.mark.parametrize("name", [name for name in NAMES if name.startswith("irt_")])
def test_irt_is_measured_on_squares_as_it_was_trained(name: str):
    recipe = published(name)
    protocol = suite_of(recipe).protocol
    image = recipe.track.image
    assert (protocol.size_rule, protocol.size) == ("square", image.resize or image.size)
    assert protocol.centre_crop == (None if image.resize is None else image.size)


# README and train.py of cnnimageretrieval-pytorch 1e66a41: the best R101; GeM's p learns ten times as fast.
def test_gem_of_cirtorch():
    recipe = published("gem_r101_sfm120k")
    check_cirtorch_tuples(recipe)
    (tuples,) = recipe.system.losses
    assert (tuples.name, tuples.options["margin"]) == ("contrastive_tuples", 0.85)
    assert recipe.system.optimiser.lr_factors == {"head.p": 10}
    assert recipe.system.optimiser.freeze_batch_norm
    assert (recipe.track.image.policy, recipe.track.image.size) == ("longer", 362)
    assert recipe.system.model.head.options["p"] == 3.0


def check_cirtorch_tuples(recipe: Recipe) -> None:
    optimiser = recipe.system.optimiser
    assert (optimiser.name, optimiser.lr, optimiser.weight_decay) == ("adam", 5e-7, 1e-6)
    assert (optimiser.schedule, optimiser.decay) == ("exponential", pytest.approx(0.99004983, abs=1e-8))
    assert optimiser.decay_vectors  # the code exempts GeM's p alone
    assert recipe.system.sampler.options == {"negatives": 5, "queries": 2000, "pool": 22000}
    assert recipe.track.batch == 5 * 7
    assert recipe.track.images_seen == 100 * 2000 * 7


# Song et al., WACV 2022: SGD 0.9, 1e-3, 1e-5, batch 64, group-size sampling, ArcFace 0.3, 512-d, on each training set
# of its Table 3, with its counts of images. Five epochs, scale 30, cosine to 3e-6: Yokoo et al., whom it cites.
@pytest.mark.parametrize(
    ("name", "train_set", "images"),
    [
        ("glam_landmarks_clean", "landmarks-clean", 27_965),
        ("glam_gldv1", "gldv1", 1_225_029),
        ("glam_gldv2_noisy", "gldv2-noisy", 4_132_914),
        ("glam_gldv2_clean", "gldv2-clean", 1_580_470),
    ],
)
def test_glam_on_each_training_set(name: str, train_set: str, images: int):
    recipe = published(name)
    optimiser = recipe.system.optimiser
    assert (optimiser.name, optimiser.momentum, optimiser.lr, optimiser.weight_decay) == (
        "sgd",
        0.9,
        1e-3,
        1e-5,
    )
    assert (optimiser.schedule, optimiser.final_lr, optimiser.warmup) == ("cosine", 3e-6, 0.0)
    (arcface,) = recipe.system.losses
    assert (arcface.name, arcface.options["margin"], arcface.options["scale"]) == ("arcface", 0.3, 30.0)
    assert (recipe.system.sampler.name, recipe.track.image.policy) == ("groups", "groups")
    assert recipe.system.model.head.options["dim"] == 512
    assert (recipe.track.train_set, recipe.track.batch) == (train_set, 64)
    assert recipe.track.images_seen == 5 * images


# Configurations of DOLG 63b117d (512 px: its author in issue 3), Token 450090b, SOLAR ae0682a and DIR 610247f.
def test_dolg():
    recipe = published("dolg_gldv2_clean")
    optimiser = recipe.system.optimiser
    assert (optimiser.name, optimiser.lr, optimiser.weight_decay, optimiser.nesterov) == (
        "sgd",
        0.01,
        1e-4,
        True,
    )
    assert optimiser.warmup == 5 / 100
    (loss,) = recipe.system.losses
    assert (loss.name, loss.options["margin"], loss.options["scale"]) == ("curricularface", 0.15, 30.0)
    assert (recipe.track.batch, recipe.track.image.size, recipe.track.image.crop_area) == (
        64,
        512,
        (0.08, 1.0),
    )
    assert recipe.track.images_seen == 100 * 1_580_470
    assert optimiser.decay_all  # one group of all weights, norms and biases too
    assert recipe.system.model.head.options["learn"]


def test_token():
    # train.py, Dataset/configdataset.py, utils/helpfunc.py and experiment.sh: vectors do not decay, no clipping.
    recipe = published("token_gldv2_clean")
    optimiser, image = recipe.system.optimiser, recipe.track.image
    assert recipe.system.model.backbone.options["arch"] == "resnet101.tv_in1k"
    assert (optimiser.name, optimiser.lr, optimiser.momentum) == ("sgd", 0.01 * 128 / 256, 0.9)
    assert (optimiser.nesterov, optimiser.weight_decay, optimiser.clip) == (True, 1e-4, None)
    assert (optimiser.schedule, optimiser.final_lr) == ("cosine", 0.0)
    assert optimiser.warmup == pytest.approx(5 / 30)
    (loss,) = recipe.system.losses
    assert (loss.name, loss.options["margin"], loss.options["scale"]) == ("arcface_dropped", 0.2, 32.0)
    assert recipe.system.model.head.options["dim"] == 1024
    assert (recipe.track.batch, image.policy, image.size) == (128, "square", 512)
    assert (image.crop_area, image.crop_aspect, image.flip) == ((0.2, 1.0), (0.75, 1.3333), True)
    assert (image.brightness, image.contrast, image.saturation, image.hue) == (0.4, 0.4, 0.2, 0.1)
    assert (image.recolour, image.interpolation) == (0.8, "bilinear")
    assert recipe.track.images_seen == 30 * 1_580_470


# README line 211 and train.py: `-ld 1e-2` is the decay of the rate, exp(-0.01) an epoch, and no rate of attention.
def test_solar():
    recipe = published("solar_gldv1")
    optimiser = recipe.system.optimiser
    assert (optimiser.name, optimiser.lr, optimiser.weight_decay) == ("adam", 1e-6, 1e-6)
    assert (optimiser.schedule, optimiser.warmup, optimiser.clip) == ("exponential", 0.0, None)
    assert optimiser.decay == pytest.approx(math.exp(-1e-2), rel=1e-12)
    assert optimiser.freeze_batch_norm
    (loss,) = recipe.system.losses
    assert (loss.name, loss.options["margin"], loss.options["second_order"]) == ("triplet_sos", 1.25, 10.0)
    assert loss.options["over_tuples"] == "mean"
    assert recipe.system.sampler.options == {"negatives": 5, "queries": 2000, "pool": 20000}
    assert recipe.track.batch == 8 * 7
    assert recipe.track.images_seen == 100 * 2000 * 7
    image = recipe.track.image
    assert (image.policy, image.size, image.square_crop, image.flip) == ("square", 1024, True, False)
    assert image.mining_size == 1024 // 3


SOLARS = [published("solar_gldv1").system, read_system(CONFIGS, "solar")]


@pytest.mark.parametrize("system", SOLARS)
def test_solar_starts_from_the_network_that_cirtorch_trained_on_google_landmarks(system: System):
    start = system.model.checkpoint
    assert start is not None
    assert (start.file, start.layout) == ("gl18-tl-resnet101-gem-w-a4d43db.pth", "cirtorch")


@pytest.mark.parametrize("system", SOLARS)
def test_solar_learns_its_attentions_its_layer_and_the_power_alone(system: System):
    # train.py ae0682a: soa4, soa5 and whiten at 1e-6, GeM's p at 100 times that without decay; nothing else.
    model = shape_only(system.model)
    losses = torch.nn.ModuleDict()
    freeze(system.optimiser, model.backbone, {"head": model.head, "losses": losses})
    optimiser = make_optimiser(
        system.optimiser, model.backbone, {"head": model.head, "losses": losses}, fused=False
    )
    names = {id(weight): name for name, weight in model.named_parameters()}
    learned = {
        names[id(weight)]: (pytest.approx(group["lr"]), group["weight_decay"])
        for group in optimiser.param_groups
        for weight in group["params"]
    }
    attention = [
        f"{block}.{layer}.{kind}"
        for block in ("backbone.soa3", "head.soa")
        for layer in ("f.0", "f.1", "g.0", "g.1", "h", "v")
        for kind in ("weight", "bias")
    ]
    assert learned == {
        **dict.fromkeys(attention, (1e-06, 1e-06)),
        **dict.fromkeys(("head.fc.weight", "head.fc.bias"), (1e-06, 1e-06)),
        "head.p": (1e-4, 0.0),
    }
    assert {name for name, weight in model.named_parameters() if weight.requires_grad} == learned.keys()


# README, lines 198 to 208, and train.py of cirtorch 1e66a41: what is ResNet-101's, p at ten times the rate.
def test_gem_w_of_cirtorch():
    system = read_system(CONFIGS, "gem_w_r101")
    (loss,) = system.losses
    assert (loss.name, loss.options["negatives"], loss.options["margin"]) == ("triplet_sos", 4, 0.5)
    assert (loss.options["over_tuples"], loss.options["second_order"]) == ("sum", 0.0)
    assert system.sampler.options == {"negatives": 4, "queries": 2000, "pool": 20000}
    optimiser = system.optimiser
    # train.py, lines 199 to 225: p alone has a group of its own, at 10 times the rate and without decay.
    assert (optimiser.lr, optimiser.lr_factors, optimiser.decay_vectors) == (5e-7, {"head.p": 10}, True)
    assert (optimiser.weight_decay, optimiser.decay_all) == (1e-6, None)


def test_ap_gem():
    recipe = published("ap_gem_landmarks_clean")
    (loss,) = recipe.system.losses
    assert (loss.name, loss.options["bins"]) == ("quantised_ap", 25)
    head = recipe.system.model.head
    assert (head.name, head.options["dim"], head.options["p"], head.options["normalise"]) == (
        "gem_fc",
        2048,
        3.0,
        False,
    )


def suite_of(recipe: Recipe) -> Suite:
    file = CONFIGS / "suites" / f"{recipe.track.suite}.yaml"
    return validate(Suite, read_yaml(file), str(file))


@pytest.mark.parametrize("name", NAMES)
def test_each_names_a_suite_that_there_is(name: str):
    recipe = published(name)
    assert suite_of(recipe).name == recipe.track.suite


@pytest.mark.parametrize(
    "base", ["sop-square", "cub200-square", "inshop-square", "landmarks-square224", "landmarks-square384"]
)
def test_128_dimensions_are_a_pca_without_whitening_of_the_same_images(base: str):
    # El-Nouby et al.: PCA and then unit length, no whitening; on landmarks fitted on SfM-120k.
    suites = CONFIGS / "suites"
    plain, pca = (
        validate(Suite, read_yaml(suites / f"{name}.yaml"), name) for name in (base, f"{base}-pca128")
    )
    whitening = pca.protocol.whitening
    assert (whitening.kind, whitening.power, whitening.dim) == ("pca_power", 0.0, 128)
    assert whitening.data == base.removesuffix("-square").replace("landmarks-square224", "sfm120k").replace(
        "landmarks-square384", "sfm120k"
    )
    assert pca.protocol.model_copy(update={"whitening": plain.protocol.whitening}) == plain.protocol


def test_a_name_that_is_not_there_is_answered_with_the_nearest():
    with pytest.raises(UserError, match="irt_r_sop"):
        published("irt_r_sob")
