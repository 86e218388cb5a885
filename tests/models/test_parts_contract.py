"""What every backbone under every head must do, at tiny widths on the CPU.

The pairs are those that `configs/systems` names, shrunk, and beside them each head on each kind of backbone and each
named backbone under a pooling.
"""

import copy
import functools
import re
from pathlib import Path

import pytest
import torch

from vitret.core import plugins
from vitret.core.recipes import ModelSpec, Part, read_system, system_names
from vitret.models.model import build_model, load_model, model_digest, save_model

CONFIGS = Path(__file__).resolve().parents[2] / "configs"
VIT = {"embed_dim": 32, "num_heads": 2}

# Heads with their defaults shrunk, and which backbones (by kind) they make sense on.
HEADS = {
    "cls": ({}, ("vit",)),
    "mean": ({}, ("vit", "cnn")),
    "max": ({}, ("vit", "cnn")),
    "gem": ({}, ("vit", "cnn", "swin")),
    "gem_fc": ({"dim": 12}, ("vit", "cnn")),
    "mac": ({}, ("vit", "cnn")),
    "spoc": ({"centre": True}, ("vit", "cnn")),
    "crow": ({}, ("vit", "cnn")),
    "rmac": ({}, ("vit", "cnn")),
    "regional_gem": ({"whiten": True, "last": True}, ("vit", "cnn")),
    "dtop": ({"aspp_width": 8, "dim": 12}, ("vit2",)),
    "dalg": ({"window": 3, "fusion_width": 16, "fusion_heads": 2, "dim": 12}, ("swin2", "cnn2", "vit2")),
    "dolg": ({"dim": 12}, ("cnn2", "vit2", "swin2")),
    "solar": ({}, ("cnn", "vit")),
    "glam": ({"dim": 12}, ("cnn", "vit")),
    "glam_gated": ({"dim": 12}, ("cnn", "vit")),
    "superglobal": ({"dim": 12}, ("cnn", "vit")),
    "token": ({"dim": 12, "inner": 16, "heads": 2}, ("cnn", "vit")),
    "unicom": ({"dim": 12, "places": 24}, ("vit",)),
}
KINDS = {
    "vit": ("deit_small_distilled_patch16_224", 1),
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


def cases():
    found = {}
    for name in system_names(CONFIGS):
        found[f"system-{name}"] = shrunk(read_system(CONFIGS, name).model)
    for head, (options, kinds) in HEADS.items():
        for kind in kinds:
            arch, layers = KINDS[kind]
            backbone = Part(name="timm_model", options={"arch": arch, "layers": layers})
            found[f"{head}-on-{kind}"] = shrunk(
                ModelSpec(backbone=backbone, head=Part(name=head, options=options))
            )
    for arch in BACKBONES:
        backbone = Part(name="timm_model", options={"arch": arch})
        found[f"{arch}-gem"] = shrunk(ModelSpec(backbone=backbone, head=Part(name="gem")))
    xcit = Part(name="timm_model", options={"arch": "xcit_small_12_p16_224"})
    found["xcit_small_12_p16_224-cls"] = shrunk(ModelSpec(backbone=xcit, head=Part(name="cls")))
    for name, options in OWN.items():
        found[f"{name}-gem"] = ModelSpec(backbone=Part(name=name, options=options), head=Part(name="gem"))
    unique = {}
    for name, spec in found.items():
        unique.setdefault(spec.model_dump_json(), (name, spec))
    return dict(unique.values())


CASES = cases()
each = pytest.mark.parametrize("case", CASES)


@functools.cache
def built(case):
    torch.manual_seed(0)
    model = build_model(CASES[case])
    # What starts at zero (attention that adds nothing yet) must not hide a missing path.
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(0.02 * torch.randn_like(parameter))
    return model.eval()


def images(case, batch=3, seed=1, square=False):
    model = built(case)
    unit = model.patch if model.patch > 8 else 32
    if CASES[case].head.name == "unicom" or not square:
        height, width = 4 * unit, 6 * unit
    else:
        height = width = 4 * unit
    return torch.randn(batch, 3, height, width, generator=torch.Generator().manual_seed(seed))


def test_every_part_is_in_the_contract():
    named = {spec.head.name for spec in CASES.values()}
    assert set(plugins.names("heads")) <= named
    assert set(plugins.names("backbones")) <= {spec.backbone.name for spec in CASES.values()}


@each
@pytest.mark.parametrize(("training", "square"), [(False, True), (False, False), (True, False)])
def test_one_unit_vector_per_image(case, training, square):
    model = copy.deepcopy(built(case)).train(training)
    torch.manual_seed(0)
    rows = model(images(case, square=square))
    assert rows.shape == (3, model.dim)
    assert rows.dtype == torch.float32
    assert torch.allclose(rows.norm(dim=1), torch.ones(3), atol=1e-5)


@each
def test_every_parameter_that_should_gets_a_gradient(case):
    model = copy.deepcopy(built(case)).train()
    torch.manual_seed(0)
    rows = model(images(case))
    (rows * torch.randn(rows.shape, generator=torch.Generator().manual_seed(2))).sum().backward()
    wanted = {n: p for n, p in model.named_parameters() if p.requires_grad}
    if CASES[case].head.name != "cls":
        wanted = {n: p for n, p in wanted.items() if not re.match(OUTSIDE, n)}
    assert wanted
    lost = [n for n, p in wanted.items() if p.grad is None or (p.ndim > 1 and not p.grad.any())]
    assert lost == []
    assert all(torch.isfinite(p.grad).all() for p in wanted.values())
    frozen = [n for n, p in model.named_parameters() if not p.requires_grad and p.grad is not None]
    assert frozen == []


@each
def test_the_same_seed_gives_the_same_result(case):
    model = copy.deepcopy(built(case))
    seen = images(case)
    assert torch.equal(model(seen), model(seen))
    model.train()
    results = []
    for _ in range(2):
        torch.manual_seed(5)
        results.append(copy.deepcopy(model)(seen))
    assert torch.equal(*results)


@each
def test_an_image_does_not_see_its_batch(case):
    model = built(case)
    seen = images(case)
    alone = torch.cat([model(image[None]) for image in seen])
    assert torch.allclose(model(seen), alone, atol=1e-5)


@each
def test_saved_and_loaded_it_is_the_same_network(case, tmp_path):
    model = built(case)
    save_model(tmp_path / "model.safetensors", model)
    again, spec = load_model(tmp_path / "model.safetensors")
    assert spec.model_dump(mode="json") == model.spec.resolved().model_dump(mode="json")
    assert model_digest(again) == model_digest(model)
    assert torch.equal(again(images(case)), model(images(case)))


@each
def test_half_precision_stays_finite(case):
    model = copy.deepcopy(built(case)).train()
    torch.manual_seed(0)
    with torch.autocast("cpu", torch.bfloat16):
        rows = model(images(case))
    assert torch.isfinite(rows).all()
    rows.sum().backward()
    assert all(torch.isfinite(p.grad).all() for p in model.parameters() if p.grad is not None)


@pytest.mark.parametrize("name", system_names(CONFIGS))
def test_every_system_builds_at_full_size(name):
    spec = read_system(CONFIGS, name).model
    options = spec.backbone.options
    if "pretrained" in plugins.options("backbones", spec.backbone.name):
        options = {**options, "pretrained": False}
    with torch.device("meta"):
        model = build_model(
            ModelSpec(backbone=Part(name=spec.backbone.name, options=options), head=spec.head)
        )
    assert model.dim > 0
