"""The networks that the systems name: sizes as computed in dtop.md 2.1 and irt.md 1.2 with timm 1.0.31."""

import pytest
import safetensors.torch
import torch

from vitret.core import plugins
from vitret.core.errors import UserError
from vitret.models.backbones import resnet_soa, timm_model
from vitret.models.heads import cls


def on_shapes(arch, **options):
    with torch.device("meta"):
        return timm_model.build(arch=arch, pretrained=False, **options)


def count(module):
    return sum(p.numel() for p in module.parameters())


@pytest.mark.slow
def test_the_hybrid_has_its_published_size():
    model = on_shapes("vit_base_r50_s16_384").model
    assert count(model) == 98_181_952
    assert count(model.patch_embed.backbone) == 11_894_848
    assert count(model.patch_embed.proj) == 787_200
    assert count(model.blocks) == 85_054_464
    assert model.pos_embed.shape == (1, 577, 768)
    assert on_shapes("vit_base_r50_s16_224").model.pos_embed.shape == (1, 197, 768)
    assert len(model.state_dict()) == 306


@pytest.mark.parametrize(("height", "width"), [(384, 384), (512, 352), (384, 512), (448, 448)])
def test_the_hybrids_stem_has_stride_16(height, width):
    model = on_shapes("vit_base_r50_s16_384", layers=6)
    stem = model.model.patch_embed.backbone(torch.empty(1, 3, height, width, device="meta"))
    stem = stem[-1] if isinstance(stem, list) else stem
    assert stem.shape == (1, 1024, height // 16, width // 16)
    tokens = model(torch.empty(1, 3, height, width, device="meta"))
    assert len(tokens.grids) == 6
    assert tokens.grids[0].shape == (1, 768, height // 16, width // 16)
    assert tokens.prefix[0].shape == (1, 1, 768)


@pytest.mark.parametrize(
    ("arch", "millions"),
    [
        ("deit_small_patch16_224", 21.67),
        ("deit_base_patch16_224", 85.80),
        ("resnet50", 23.51),
        ("resnet101", 42.50),
    ],
)
def test_trunks_without_classifier(arch, millions):
    assert count(on_shapes(arch)) / 1e6 == pytest.approx(millions, abs=0.006)


@pytest.mark.parametrize("training", [False, True])
def test_a_distilled_deit_gives_its_class_token_or_the_mean_of_two(training):
    # irt.md 1.2: timm's own headless forward gives the mean of class and distillation token, in train and eval alike.
    torch.manual_seed(0)
    backbone = timm_model.build(
        arch="deit_small_distilled_patch16_224",
        pretrained=False,
        arch_options={"embed_dim": 32, "depth": 2, "num_heads": 2},
    ).train(training)
    images = torch.randn(2, 3, 224, 224)
    tokens = backbone(images)
    assert tokens.prefix[0].shape == (2, 2, 32)
    first, mean = cls.build((32,))(tokens), cls.build((32,), prefix="mean")(tokens)
    assert torch.allclose(first, backbone.model.forward_features(images)[:, 0], atol=1e-5)
    assert torch.allclose(mean, backbone.model(images), atol=1e-5)
    assert not torch.allclose(first, mean, atol=1e-3)


@pytest.mark.parametrize(
    ("arch", "widths"),
    [
        ("swin_tiny_patch4_window7_224", (384, 768)),
        ("swin_small_patch4_window7_224", (384, 768)),
        ("swin_base_patch4_window7_224", (512, 1024)),
    ],
)
def test_the_last_two_stages_of_swin(arch, widths):
    model = on_shapes(arch, layers=[2, 3])
    assert model.widths == widths
    grids = model(torch.empty(1, 3, 224, 320, device="meta")).grids
    assert [tuple(g.shape) for g in grids] == [(1, widths[0], 14, 20), (1, widths[1], 7, 10)]


@pytest.mark.parametrize(
    ("arch", "patch"),
    [
        *(
            ("vit_small_patch16_224.dino", 16),
            ("vit_small_patch8_224.dino", 8),
            ("vit_base_patch14_dinov2", 14),
        ),
        *(("vit_base_patch16_dinov3", 16), ("xcit_small_12_p16_224", 16), ("xcit_small_24_p16_224", 16)),
    ],
)
def test_named_transformers_take_other_shapes(arch, patch):
    model = on_shapes(arch)
    assert model.patch == patch
    grid = model(torch.empty(1, 3, 4 * patch, 6 * patch, device="meta")).grids[0]
    assert grid.shape[2:] == (4, 6)


def test_a_plain_resnet_equals_timms():
    torch.manual_seed(0)
    small = {"layers": (1, 2, 1, 1), "channels": (8, 16, 32, 64)}
    theirs = timm_model.build(
        arch="resnet50", pretrained=False, layers=2, arch_options={**small, "stem_width": 64}
    ).eval()
    ours = resnet_soa.build(
        arch="resnet50", pretrained=False, attend=[], depths=(1, 2, 1, 1), width=8, layers=2
    ).eval()
    state = theirs.model.state_dict()
    # timm's stem stays 64 wide; ours is as wide as the first stage's inside.
    if state["conv1.weight"].shape != ours.conv1.weight.shape:
        ours.conv1 = torch.nn.Conv2d(3, 64, 7, stride=2, padding=3, bias=False)
        ours.bn1 = torch.nn.BatchNorm2d(64)
        first = ours.layer1[0]
        first.conv1 = torch.nn.Conv2d(64, 8, 1, bias=False)
        first.downsample[0] = torch.nn.Conv2d(64, 32, 1, bias=False)
        ours.eval()
    ours.load_state_dict(state)
    images = torch.randn(2, 3, 64, 96)
    for mine, other in zip(ours(images).grids, theirs(images).grids, strict=True):
        assert torch.allclose(mine, other, atol=1e-5)


def test_caffe_pixels_arrive_blue_first_in_steps_of_255():
    torch.manual_seed(0)
    plain = resnet_soa.build(arch="resnet26", pretrained=False, attend=[], width=8).eval()
    caffe = resnet_soa.build(arch="resnet26", pretrained=False, attend=[], width=8, caffe=True).eval()
    caffe.load_state_dict(plain.state_dict())
    pixels = torch.randint(0, 256, (1, 3, 32, 32)).float()
    ours = (pixels / 255 - torch.tensor(caffe.mean).view(3, 1, 1)) / torch.tensor(caffe.std).view(3, 1, 1)
    expected = pixels.flip(1) - torch.tensor([103.939, 116.779, 123.68]).view(3, 1, 1)
    assert torch.allclose(caffe(ours).grids[0], plain(expected).grids[0], rtol=1e-3, atol=1e-3)


def test_caffes_pixels_need_caffes_weights(tmp_path):
    with pytest.raises(UserError, match=r"BGR.*weights: FILE.*caffe: false"):
        resnet_soa.build(arch="resnet26", caffe=True)
    safetensors.torch.save_file(
        timm_model.build(arch="resnet26", pretrained=False).model.state_dict(), tmp_path / "caffe.safetensors"
    )
    assert resnet_soa.build(arch="resnet26", caffe=True, weights=str(tmp_path / "caffe.safetensors")).caffe


def test_own_backbones_at_full_size():
    with torch.device("meta"):
        sizes = {
            name: count(plugins.build("backbones", name)) for name in ("conv_stem_vit", "mocov3_vit", "lvvit")
        }
    # A DeiT-S trunk; the stem replaces 0.30 M of patch projection by 1.66 M.
    assert sizes["mocov3_vit"] == count(on_shapes("deit_small_patch16_224"))
    stem = 64 * 3 * 49 + 2 * 64 * 64 * 9 + 3 * 128 + 384 * 64 * 64 + 384
    assert sizes["conv_stem_vit"] - sizes["mocov3_vit"] == stem - (384 * 3 * 256 + 384)


def test_solars_backbone_starts_from_timms_weights(tmp_path):
    torch.manual_seed(0)
    theirs = timm_model.build(arch="resnet26", pretrained=False).eval()
    path = tmp_path / "resnet26.safetensors"
    safetensors.torch.save_file(theirs.model.state_dict(), path)
    ours = resnet_soa.build(arch="resnet26", weights=str(path)).eval()
    images = torch.randn(1, 3, 64, 64)
    assert torch.allclose(ours(images).grids[0], theirs(images).grids[0], atol=1e-4)
    with pytest.raises(UserError, match="pretrained: false"):
        resnet_soa.build(arch="resnet26", weights=str(path), width=8)
