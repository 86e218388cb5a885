"""One member of every family of timm gives a descriptor, and what `vitret list backbones` says of it is true."""

import pytest
import torch

from vitret.core.networks import ModelSpec, Part
from vitret.models.backbones import timm_model
from vitret.models.families import CLASS_TOKEN, MEAN, ONE_SIZE, all_families, recommended_head
from vitret.models.model import build_model

# The member with the fewest parameters, counted on torch's meta device with timm 1.0.31.
SMALLEST = {
    "beit": "beit_base_patch16_224",
    "byoanet": "halonet_h1",
    "byobnet": "test_byobnet",
    "cait": "cait_xxs24_224",
    "coat": "coat_tiny",
    "convit": "convit_tiny",
    "convmixer": "convmixer_768_32",
    "convnext": "test_convnext",
    "cpubone": "cpubone_nano",
    "crossvit": "crossvit_tiny_240",
    "csatv2": "csatv2",
    "cspnet": "cs3darknet_focus_s",
    "cspnext": "cspnext_tiny",
    "davit": "davit_tiny",
    "deepseek_vit": "deepseek_vit_412m",
    "deit": "deit_tiny_patch16_224",
    "densenet": "densenet121",
    "dla": "dla46x_c",
    "dpn": "dpn48b",
    "edgenext": "edgenext_xx_small",
    "efficientformer": "efficientformer_l1",
    "efficientformer_v2": "efficientformerv2_s0",
    "efficientnet": "test_efficientnet",
    "efficientvim": "efficientvim_m1",
    "efficientvit_mit": "efficientvit_b0",
    "efficientvit_msra": "efficientvit_m0",
    "eva": "vit_tiny_patch16_dinov3_qkvb",
    "fasternet": "fasternet_t0",
    "fastvit": "fastvit_t8",
    "focalnet": "focalnet_tiny_srf",
    "gcvit": "gcvit_xxtiny",
    "gemma4_vit": "gemma4_vit_167m",
    "ghostnet": "ghostnet_050",
    "hardcorenas": "hardcorenas_b",
    "hgnet": "hgnetv2_b0",
    "hiera": "hiera_tiny_224",
    "hieradet_sam2": "sam2_hiera_tiny",
    "hrnet": "hrnet_w18_small",
    "iformer": "iformer_t",
    "inception_next": "inception_next_atto",
    "inception_resnet_v2": "inception_resnet_v2",
    "inception_v3": "inception_v3",
    "inception_v4": "inception_v4",
    "lcnetv2": "lcnetv2_small",
    "levit": "levit_128s",
    "lowformer": "lowformer_b0",
    "mambaout": "test_mambaout",
    "maxxvit": "test_coatnet",
    "metaformer": "poolformerv2_s12",
    "mlp_mixer": "gmlp_ti16_224",
    "mobilenetv3": "lcnet_035",
    "mobilenetv5": "mobilenetv5_base",
    "mobilevit": "mobilevit_xxs",
    "mvitv2": "mvitv2_tiny",
    "naflexvit": "naflexvit_base_patch16_parfac_gap",
    "nasnet": "nasnetalarge",
    "nest": "nest_tiny",
    "nextvit": "nextvit_small",
    "nfnet": "test_nfnet",
    "pit": "pit_ti_224",
    "pnasnet": "pnasnet5large",
    "pvt_v2": "pvt_v2_b0",
    "qwen3_vit": "qwen3_vit_88m",
    "rdnet": "rdnet_tiny",
    "regnet": "regnetx_002",
    "repghost": "repghostnet_050",
    "repvit": "repvit_m1",
    "res2net": "res2next50",
    "resnest": "resnest14d",
    "resnet": "test_resnet",
    "resnetv2": "resnetv2_18",
    "rexnet": "rexnet_100",
    "selecsls": "selecsls42",
    "senet": "legacy_seresnet18",
    "sequencer": "sequencer2d_s",
    "shvit": "shvit_s1",
    "sknet": "skresnet18",
    "starnet": "starnet_s050",
    "swiftformer": "swiftformer_xs",
    "swin_transformer": "swin_tiny_patch4_window7_224",
    "swin_transformer_v2": "swinv2_tiny_window8_256",
    "swin_transformer_v2_cr": "swinv2_cr_tiny_224",
    "tiny_vit": "tiny_vit_5m_224",
    "tnt": "tnt_s_legacy_patch16_224",
    "tresnet": "tresnet_m",
    "twins": "twins_svt_small",
    "vgg": "vgg11",
    "visformer": "visformer_tiny",
    "vision_transformer": "test_vit",
    "vision_transformer_hybrid": "vit_tiny_r_s16_p8_224",
    "vision_transformer_relpos": "test_vit_relpos",
    "vision_transformer_sam": "samvit_base_patch16_224",
    "vitamin": "vitamin_small_224",
    "volo": "volo_d1_224",
    "vovnet": "ese_vovnet19b_slim_dw",
    "xception": "legacy_xception",
    "xception_aligned": "xception41p",
    "xcit": "xcit_nano_12_p8_224",
}
# Fewer blocks where even the smallest member has 80 million parameters or more, or starts slowly.
SMALLER = {
    "beit": {"depth": 1},
    "deepseek_vit": {"depth": 1},
    "gemma4_vit": {"depth": 1, "img_size": 192},
    "naflexvit": {"depth": 1},
    "qwen3_vit": {"depth": 1},
    "sequencer": {"layers": [1, 1, 1, 1]},
    "vision_transformer_sam": {"depth": 1},
}
# A family that gives no features would stand here with the reason; all of timm 1.0.31 do.
EXCEPTIONS: dict[str, str] = {}
QUICK = (
    *("beit", "cait", "convnext", "crossvit", "eva", "levit", "maxxvit", "naflexvit", "resnet"),
    *("hiera", "vision_transformer", "vision_transformer_relpos"),
)


def every_family():
    for family, members in timm_model.families().items():
        marks = () if family in QUICK else pytest.mark.slow
        # timm may grow a family: its first member stands in until the smallest is written above.
        yield pytest.param(family, SMALLEST.get(family, members[0]), marks=marks, id=family)


@pytest.mark.slow
@pytest.mark.parametrize(("family", "arch"), [*every_family()])
def test_a_member_describes_small_images_of_any_shape(family, arch):
    if family in EXCEPTIONS:
        pytest.skip(EXCEPTIONS[family])
    torch.manual_seed(0)
    options = {"arch": arch, "pretrained": False, "arch_options": SMALLER.get(family)}
    head = recommended_head(arch)
    model = build_model(
        ModelSpec(backbone=Part(name="timm_model", options=options), head=Part(name=head))
    ).eval()
    assert (model.backbone.sizes.fixed is not None) == (family in ONE_SIZE)
    assert all_families()[family].head == head
    step = max(model.patch, 32) if model.patch == 1 or 32 % model.patch == 0 else model.patch
    unit = max(1, round(96 / step)) * step
    with torch.no_grad():
        rows = model(torch.randn(2, 3, unit, unit + step))
    assert rows.shape == (2, model.dim)
    assert torch.isfinite(rows).all()
    assert torch.allclose(rows.norm(dim=1), torch.ones(2), atol=1e-4)


def test_families_are_those_of_timm_and_each_has_a_head():
    known = timm_model.families()
    assert set(timm_model.timm.list_modules()) <= set(known) | set(EXCEPTIONS)
    assert set(known) >= CLASS_TOKEN | MEAN | ONE_SIZE
    assert not CLASS_TOKEN & MEAN
    assert set(EXCEPTIONS) <= set(known)


@pytest.mark.parametrize(
    ("arch", "head"),
    {
        "vit_small_patch16_224.dino": "cls",
        "vit_small_patch14_dinov2.lvd142m": "cls",
        "vit_small_patch14_reg4_dinov2.lvd142m": "cls",
        "vit_small_patch16_dinov3.lvd1689m": "cls",
        "vit_tiny_patch16_224": "cls",
        "vit_base_patch16_siglip_224.webli": "native",
        "vit_base_patch16_siglip_224.v2_webli": "native",
        "vit_base_patch16_clip_224.openai": "native",
        "vit_base_patch16_clip_224.openai_ft_in1k": "cls",
        "eva02_base_patch16_clip_224.merged2b": "native",
        "vit_pe_core_tiny_patch16_384.fb": "native",
        "fastvit_mci0.apple_mclip": "native",
        "convnext_base.clip_laion2b": "native",
        "convnext_base.fb_in22k_ft_in1k": "gem",
        "resnet50_clip.openai": "native",
        "resnet50": "gem",
        "swin_tiny_patch4_window7_224": "mean",
        "vit_base_patch16_siglip_gap_224.webli": "mean",
        "vit_medium_patch16_reg4_gap_256": "mean",
    }.items(),
)
def test_the_recommended_head_is_what_the_weights_were_trained_to_give(arch, head):
    assert recommended_head(arch) == head


def test_eupe_gives_its_class_token():
    names = timm_model.timm.list_models("vit*eupe*", pretrained=True)
    assert names
    assert {recommended_head(name) for name in names[:2]} == {"cls"}
