"""The head `native` gives what timm's own `forward` gives; classifiers and networks without a pooling are refused."""

import pytest
import torch

from vitret.core.errors import UserError
from vitret.core.networks import ModelSpec, Part
from vitret.models.backbones.timm_model import build, timm
from vitret.models.model import build_model, load_model, model_digest, save_model

SMALL = {"embed_dim": 64, "depth": 2, "num_heads": 2}
# Networks trained against texts, as small as their options allow; the size that their own forward is asked at.
TOWERS = {
    "siglip": ("vit_base_patch16_siglip_224.webli", SMALL, 224),
    "siglip2": ("vit_base_patch32_siglip_256.v2_webli", SMALL, 256),
    "siglip2-naflex": ("naflexvit_base_patch16_siglip.v2_webli", {"depth": 1}, 96),
    "clip": ("vit_base_patch16_clip_224.openai", SMALL, 224),
    "eva-clip": ("eva02_base_patch16_clip_224.merged2b", SMALL, 224),
    "perception-encoder": ("vit_pe_core_tiny_patch16_384.fb", {"depth": 2}, 384),
    "mobileclip": ("fastvit_mci0.apple_mclip", {}, 256),
    "mobileclip-b": ("vit_base_mci_224.apple_mclip", {"depth": 1}, 224),
    "openclip-convnext": (
        "convnext_base.clip_laion2b",
        {"depths": (1, 1, 1, 1), "dims": (8, 16, 32, 64)},
        256,
    ),
    "clip-resnet": ("resnet50_clip.openai", {}, 224),
    "vitamin": ("vitamin_small_224.datacomp1b_clip", {}, 224),
}


def spec(arch, options, head="native"):
    backbone = {"arch": arch, "pretrained": False, "arch_options": options or None}
    return ModelSpec(backbone=Part(name="timm_model", options=backbone), head=Part(name=head))


def whole(arch, options):
    """timm's network, projection included, with no weight left at the zero or one that it starts from."""
    torch.manual_seed(0)
    network = timm.create_model(arch, pretrained=False, **options).eval()
    with torch.no_grad():
        for parameter in network.parameters():
            parameter.add_(0.02 * torch.randn_like(parameter))
    return network


@pytest.mark.slow
@pytest.mark.parametrize("tower", TOWERS)
def test_it_is_what_timm_gives(tower, tmp_path):
    arch, options, side = TOWERS[tower]
    theirs = whole(arch, options)
    path = tmp_path / "weights.pth"
    torch.save(theirs.state_dict(), path)
    ours = build_model(
        ModelSpec(
            backbone=Part(
                name="timm_model",
                options={"arch": arch, "weights": str(path), "arch_options": options or None},
            ),
            head=Part(name="native"),
        )
    ).eval()
    images = torch.randn(2, 3, side, side)
    with torch.no_grad():
        expected = theirs(images)
        found = ours.raw(images)
    assert found.shape == expected.shape == (2, ours.dim)
    scale = float(expected.abs().max())
    torch.testing.assert_close(found, expected, rtol=0, atol=1e-6 * max(1.0, scale))


@pytest.mark.parametrize("tower", ["siglip", "clip"])
def test_other_sizes_are_taken_and_the_network_is_saved_whole(tower, tmp_path):
    arch, options, _ = TOWERS[tower]
    model = build_model(spec(arch, options)).eval()
    images = torch.randn(1, 3, 96, 160)
    assert model(images).shape == (1, model.dim)
    save_model(tmp_path / "model.safetensors", model)
    again, _ = load_model(tmp_path / "model.safetensors")
    assert model_digest(again) == model_digest(model)
    assert torch.equal(again(images), model(images))


@pytest.mark.parametrize("tower", ["siglip", "clip", "openclip-convnext"])
def test_other_heads_leave_the_state_as_without_it(tower):
    arch, options, _ = TOWERS[tower]
    names = set(build_model(spec(arch, options, head="mean")).state_dict())
    plain = timm.create_model(arch, pretrained=False, num_classes=0, **options).state_dict()
    assert names == {f"backbone.model.{name}" for name in plain if not name.startswith("attn_pool.")}


@pytest.mark.parametrize(
    ("arch", "why"),
    {
        "test_resnet": "a classifier's, and class scores are no descriptor",
        "test_vit": "a classifier's",
        "vit_small_patch14_dinov2.lvd142m": "without a pooling of their own",
        "vit_base_patch16_siglip_gap_224.webli": "without a pooling of their own",
    }.items(),
)
def test_a_network_without_one_is_refused_with_the_heads_that_suit(arch, why):
    small = SMALL if arch.startswith("vit_") else None
    with pytest.raises(UserError, match=rf"{why}.*--head cls, gem or mean"):
        build_model(spec(arch, small))


def test_a_file_without_the_projection_serves_other_heads_alone(tmp_path):
    arch, options, _ = TOWERS["clip"]
    path = tmp_path / "trunk.pth"
    torch.save(timm.create_model(arch, num_classes=0, **options).state_dict(), path)
    backbone = {"arch": arch, "weights": str(path), "arch_options": options}
    cls = ModelSpec(backbone=Part(name="timm_model", options=backbone), head=Part(name="cls"))
    assert build_model(cls).dim == 64
    with pytest.raises(UserError, match="does not hold head"):
        build_model(ModelSpec(backbone=Part(name="timm_model", options=backbone), head=Part(name="native")))


@pytest.mark.parametrize("given", [{"norm": "none"}, {"layers": [0]}])
def test_tokens_that_the_head_was_not_made_for_are_refused(given):
    arch, options, _ = TOWERS["siglip"]
    with pytest.raises(UserError, match="layers: 1, norm: shared_final"):
        build(arch=arch, pretrained=False, arch_options=options, **given).own_head()


def test_a_backbone_that_is_none_of_timm_is_refused():
    backbone = Part(name="mocov3_vit", options={"width": 32, "depth": 1, "heads": 2})
    with pytest.raises(UserError, match="needs a network of timm"):
        build_model(ModelSpec(backbone=backbone, head=Part(name="native")))


def test_dinov3_by_name_gives_timms_class_token():
    arch = "vit_small_patch16_dinov3.lvd1689m"
    theirs = whole(arch, SMALL)
    ours = build_model(spec(arch, SMALL, head="cls")).eval()
    ours.backbone.model.load_state_dict(theirs.state_dict())
    images = torch.randn(2, 3, 96, 64)
    with torch.no_grad():
        expected = theirs.forward_features(images)[:, 0]
        torch.testing.assert_close(ours.raw(images), expected, rtol=0, atol=1e-6)
