"""What every backbone under every head must do (`vitret.models.contract`), at tiny widths on the CPU.

Each head stands once on the backbone it is meant for and each backbone once under a pooling: these go through the whole
contract. Other pairs, and the systems of `configs/systems` shrunk, only have to give unit vectors and gradients.
"""

import functools
import re
from pathlib import Path

import pytest
import torch

from vitret.core import plugins
from vitret.core.networks import ModelSpec, Part
from vitret.core.recipes import read_system, system_names
from vitret.models import contract
from vitret.models.flops import shape_only
from vitret.models.model import build_model, without_weights

pytestmark = pytest.mark.slow

CONFIGS = Path(__file__).resolve().parents[2] / "configs"
VIT = {"embed_dim": 32, "num_heads": 2}

# Heads with their defaults shrunk, and the kinds of backbone they make sense on, the first one meant for them.
HEADS = {
    "cls": ({}, ("vit",)),
    "mean": ({}, ("vit", "cnn")),
    "max": ({}, ("vit", "cnn")),
    "native": ({}, ("clip",)),
    "gem": ({}, ("vit", "cnn", "swin")),
    "gem_fc": ({"dim": 12}, ("cnn", "vit")),
    "mac": ({}, ("cnn", "vit")),
    "spoc": ({"centre": True}, ("cnn", "vit")),
    "crow": ({}, ("cnn", "vit")),
    "rmac": ({}, ("cnn", "vit")),
    "regional_gem": ({"whiten": True, "last": True}, ("cnn", "vit")),
    "dtop": ({"aspp_width": 8, "dim": 12}, ("vit2",)),
    "dalg": ({"window": 3, "fusion_width": 16, "fusion_heads": 2, "dim": 12}, ("swin2", "cnn2", "vit2")),
    "dolg": ({"dim": 12}, ("cnn2", "vit2", "swin2")),
    "solar": ({}, ("cnn", "vit")),
    "glam": ({"dim": 12}, ("cnn", "vit")),
    "glam_gated": ({"dim": 12}, ("cnn", "vit")),
    "superglobal": ({"dim": 12}, ("cnn", "vit")),
    "token": ({"dim": 12, "inner": 16, "heads": 2}, ("cnn", "vit")),
    "unicom": ({"dim": 12, "places": 24}, ("vit",)),
    "linear": ({"dim": 12}, ("vit",)),
}
KINDS = {
    "vit": ("deit_small_distilled_patch16_224", 1),
    "clip": ("vit_base_patch16_clip_224.openai", 1),
    "vit2": ("deit_small_distilled_patch16_224", 2),
    "cnn": ("resnet50", 1),
    "cnn2": ("resnet50", 2),
    "swin": ("swin_small_patch4_window7_224", 1),
    "swin2": ("swin_small_patch4_window7_224", 2),
}
BACKBONES = [
    *(
        "deit_small_patch16_224",
        "deit_base_distilled_patch16_384",
        "vit_base_r50_s16_384",
        "vit_small_patch16_224.dino",
    ),
    *(
        "vit_small_patch14_dinov2",
        "vit_small_patch14_reg4_dinov2",
        "vit_small_patch16_dinov3",
        "xcit_small_12_p16_224",
    ),
    *("swin_tiny_patch4_window7_224", "swin_base_patch4_window7_224", "tf_efficientnet_lite0", "resnet101"),
]
OWN = {
    "conv_stem_vit": {"width": 32, "depth": 2, "heads": 2, "channels": 8},
    "vitgan_vit": {"width": 32, "depth": 2, "heads": 2},
    "mocov3_vit": {"width": 32, "depth": 2, "heads": 2},
    "lvvit": {"width": 32, "depth": 2, "heads": 2, "channels": 8},
    "unicom_vit": {"width": 32, "depth": 2, "heads": 2, "img_size": 96},
    "resnet_soa": {"pretrained": False, "width": 8, "depths": [1, 1, 1, 1]},
}
# A pooling of XCiT's patch tokens does not see what only the class token goes through; the case with `cls` does.
OUTSIDE = r"backbone\.model\.(cls_token|cls_attn_blocks\.\d\.(attn|mlp|gamma2))"


def tiny_timm(options):
    """A timm backbone of the same family with a few thousand parameters."""
    arch, options = options["arch"], {**options, "pretrained": False}
    layers = options.get("layers", 1)
    depth = max(2, layers if isinstance(layers, int) else max(layers) + 1)
    if "test_" in arch or options.get("arch_options"):
        return options
    if arch.startswith(("vit_", "deit")):
        side = 56 if "patch14" in arch else 64
        sized = {} if "dinov3" in arch else {"img_size": side}
        return {**options, **sized, "arch_options": {**VIT, "depth": depth}}
    if arch.startswith("xcit"):
        return {**options, "arch_options": {**VIT, "depth": 2}}
    if arch.startswith("swin"):
        small = {"embed_dim": 32, "depths": (1, 1, 2, 1), "num_heads": (1, 2, 4, 8)}
        return {**options, "img_size": 64, "arch_options": small}
    if arch.startswith("resnet"):
        return {**options, "arch_options": {"layers": (1, 1, 1, 1), "channels": (8, 16, 16, 32)}}
    return options


def shrunk(spec):
    backbone = spec.backbone.options
    options = (
        tiny_timm(backbone) if spec.backbone.name == "timm_model" else {**backbone, **OWN[spec.backbone.name]}
    )
    if isinstance(options.get("layers"), int) and options["layers"] > options.get("depth", 99):
        options["depth"] = options["layers"]
    head = {
        **HEADS[spec.head.name][0],
        **{k: v for k, v in spec.head.options.items() if k not in HEADS[spec.head.name][0]},
    }
    return ModelSpec(
        backbone=Part(name=spec.backbone.name, options=options), head=Part(name=spec.head.name, options=head)
    )


def pair(backbone, head, options=None, **given):
    return ModelSpec(backbone=Part(name=backbone, options=given), head=Part(name=head, options=options or {}))


def on_kind(head, kind):
    arch, layers = KINDS[kind]
    return shrunk(pair("timm_model", head, HEADS[head][0], arch=arch, layers=layers))


def parts():
    """Each head, each backbone."""
    found = {f"{head}-on-{kinds[0]}": on_kind(head, kinds[0]) for head, (_, kinds) in HEADS.items()}
    found |= {f"{arch}-gem": shrunk(pair("timm_model", "gem", arch=arch)) for arch in BACKBONES}
    found |= {f"{name}-gem": pair(name, "gem", **options) for name, options in OWN.items()}
    return found


def combinations():
    """What is combined otherwise, where it is not one of `parts`: heads on other kinds of backbone, and systems."""
    found = {
        f"{head}-on-{kind}": on_kind(head, kind) for head, (_, kinds) in HEADS.items() for kind in kinds[1:]
    }
    found["xcit_small_12_p16_224-cls"] = shrunk(pair("timm_model", "cls", arch="xcit_small_12_p16_224"))
    found |= {f"system-{name}": shrunk(read_system(CONFIGS, name).model) for name in system_names(CONFIGS)}
    known = {spec.model_dump_json() for spec in PARTS.values()}
    unique = {}
    for name, spec in found.items():
        if spec.model_dump_json() not in known:
            unique.setdefault(spec.model_dump_json(), (name, spec))
    return dict(unique.values())


PARTS = parts()
COMBINATIONS = combinations()
CASES = PARTS | COMBINATIONS
part = pytest.mark.parametrize("case", PARTS)
each = pytest.mark.parametrize("case", CASES)


@functools.cache
def built(case):
    torch.manual_seed(0)
    return contract.perturbed(build_model(CASES[case]))


def images(case, batch=3, seed=1, square=False):
    model = built(case)
    unit = model.patch if model.patch > 8 else 32
    if CASES[case].head.name == "unicom" or not square:
        height, width = 4 * unit, 6 * unit
    else:
        height = width = 4 * unit
    return torch.randn(batch, 3, height, width, generator=torch.Generator().manual_seed(seed))


def reached(case):
    """Which parameters the descriptors of a case depend on."""
    if CASES[case].head.name == "cls":
        return lambda name: True
    return lambda name: re.match(OUTSIDE, name) is None


def test_every_part_is_in_the_contract():
    assert set(plugins.names("heads")) <= {spec.head.name for spec in PARTS.values()}
    # What others publish is whatever their repository holds: test_foreign_networks.py and test_hf_networks.py.
    foreign = {"torchhub_model", "hf_model"}
    assert set(plugins.names("backbones")) - foreign <= {spec.backbone.name for spec in PARTS.values()}


@each
def test_one_unit_vector_per_image_and_a_gradient_for_every_parameter(case):
    model, square, wide = built(case), images(case, square=True), images(case)
    assert list(contract.unit_vectors(model, square, wide)) == []
    assert list(contract.gradients(model, wide, reached=reached(case))) == []


@part
def test_the_same_seed_gives_the_same_result(case):
    assert list(contract.same_under_a_seed(built(case), images(case))) == []


@part
def test_an_image_does_not_see_its_batch(case):
    assert list(contract.alone_as_in_a_batch(built(case), images(case))) == []


@part
def test_saved_and_loaded_it_is_the_same_network(case):
    assert list(contract.survives_saving(built(case), images(case))) == []


@part
def test_half_precision_stays_finite(case):
    assert list(contract.finite_in_half_precision(built(case), images(case))) == []


def full_size():
    """One system for each network: many differ in loss or sampler alone."""
    specs = {name: without_weights(read_system(CONFIGS, name).model) for name in system_names(CONFIGS)}
    return {spec.model_dump_json(): name for name, spec in specs.items()}.values()


@pytest.mark.slow
@pytest.mark.parametrize("name", full_size())
def test_every_system_builds_at_full_size(name):
    assert shape_only(read_system(CONFIGS, name).model).dim > 0
