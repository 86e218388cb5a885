import subprocess
import sys
import time

import huggingface_hub
import pytest
import safetensors.torch
import torch

from vitret.core import plugins
from vitret.core.errors import DataError, UserError
from vitret.models.backbones.timm_model import build, read_state, timm
from vitret.models.heads import cls
from vitret.models.weights import note

pytestmark = pytest.mark.slow


def noise(height: int = 64, width: int = 96, count: int = 2) -> torch.Tensor:
    return torch.randn(count, 3, height, width, generator=torch.Generator().manual_seed(0))


@pytest.mark.parametrize("arch", ["test_vit", "test_vit2", "test_vit4"])
def test_a_transformer_gives_prefix_tokens_and_grids_of_any_layers_at_any_size(arch):
    backbone = build(arch=arch, pretrained=False, layers=2).eval()
    tokens = backbone(noise())
    patch = backbone.patch
    assert patch == 16
    for prefix, grid, width in zip(tokens.prefix, tokens.grids, backbone.widths, strict=True):
        assert prefix.shape == (2, backbone.prefix_tokens, width)
        assert grid.shape == (2, width, 64 // patch, 96 // patch)


@pytest.mark.parametrize(
    "arch",
    ["test_efficientnet", "test_resnet", "test_convnext", "test_mambaout", "test_nfnet", "test_byobnet"],
)
def test_a_convolutional_network_has_no_prefix_and_its_widths_are_true(arch):
    backbone = build(arch=arch, pretrained=False, layers=2).eval()
    tokens = backbone(noise(70, 101))
    assert backbone.patch == 1
    assert [g.shape[1] for g in tokens.grids] == list(backbone.widths)
    assert all(
        prefix.shape == (2, 0, width) for prefix, width in zip(tokens.prefix, backbone.widths, strict=True)
    )


def test_the_last_tokens_are_what_timm_itself_pools():
    for arch in ("test_vit", "test_efficientnet"):
        backbone = build(arch=arch, pretrained=False).eval()
        tokens, own = backbone(noise(160, 160)), backbone.model.forward_features(noise(160, 160))
        if backbone.prefix_tokens:
            torch.testing.assert_close(tokens.prefix[-1], own[:, : backbone.prefix_tokens])
        else:
            torch.testing.assert_close(tokens.grids[-1], own)


def test_layers_by_index_are_shallow_to_deep():
    by_count = build(arch="test_vit", pretrained=False, layers=2)
    by_index = build(arch="test_vit", pretrained=False, layers=[-1, -2])
    assert by_count.layers == by_index.layers
    with pytest.raises(UserError, match="layers"):
        build(arch="test_vit", pretrained=False, layers=[99])


@pytest.mark.parametrize("suffix", [".safetensors", ".pth"])
def test_weights_come_from_a_file_and_the_classifier_is_dropped(tmp_path, suffix):
    torch.manual_seed(0)
    whole = timm.create_model("test_vit", num_classes=10)
    path = tmp_path / f"test_vit{suffix}"
    if suffix == ".pth":
        torch.save(
            {"state_dict": {f"module.{k}": v for k, v in whole.state_dict().items()}, "epoch": 3}, path
        )
    else:
        safetensors.torch.save_file(whole.state_dict(), path)
    ours = build(arch="test_vit", weights=str(path)).eval()
    expected = whole.eval().forward_features(noise(160, 160))
    torch.testing.assert_close(ours(noise(160, 160)).prefix[-1][:, 0], expected[:, 0])


def test_weights_are_looked_for_in_the_folder_by_name(tmp_path, monkeypatch):
    monkeypatch.setenv("VITRET_WEIGHTS", str(tmp_path))
    torch.manual_seed(1)
    whole = timm.create_model("test_efficientnet", num_classes=0)
    safetensors.torch.save_file(whole.state_dict(), tmp_path / "test_efficientnet.safetensors")
    ours = build(arch="test_efficientnet")
    torch.testing.assert_close(ours.model.conv_stem.weight, whole.conv_stem.weight)


def test_a_file_that_does_not_fit_is_refused_with_the_lists_of_keys(tmp_path):
    state = timm.create_model("test_vit", num_classes=0).state_dict()
    state.pop("cls_token")
    state["stray"] = torch.zeros(1)
    path = tmp_path / "odd.safetensors"
    safetensors.torch.save_file(state, path)
    with pytest.raises(
        DataError, match=r"1 missing from the file: cls_token; 1 unknown to the network: stray"
    ):
        build(arch="test_vit", weights=str(path))


class Evil:
    def __reduce__(self):
        return (print, ("this must never run",))


def test_a_pickle_with_code_is_refused_and_does_not_run(tmp_path, capsys):
    path = tmp_path / "evil.pth"
    torch.save({"weight": Evil()}, path)
    with pytest.raises(DataError, match=r"evil\.pth"):
        read_state(path)
    assert "never" not in capsys.readouterr().out


def test_an_unknown_architecture_is_named_with_the_near_ones():
    with pytest.raises(UserError, match="vit_tiny_patch16_224"):
        build(arch="vit_tiny_patch16_24", pretrained=False)


def test_without_a_network_the_hub_fails_at_once_with_three_ways_out(monkeypatch, tmp_path):
    monkeypatch.setattr(huggingface_hub.constants, "ENDPOINT", "http://127.0.0.1:9")
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_CACHE", str(tmp_path))
    started = time.monotonic()
    with pytest.raises(
        DataError, match=r"VITRET|weights/vit_small_patch16_224.*--weights FILE.*pretrained=false"
    ):
        build(arch="vit_small_patch16_224")
    assert time.monotonic() - started < 8


@pytest.mark.slow
def test_timm_and_transforms_are_imported_whatever_torchvision_stands_beside_torch():
    """With PyPI's pair for a CPU, `import torchvision` alone dies (pytorch/vision#9085)."""
    code = (
        "from vitret.models.backbones.timm_model import timm\n"
        "import torchvision.transforms.v2, torchvision.datasets\n"
        "assert timm.is_model('test_vit')"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def test_another_error_of_torchvision_is_not_hidden():
    code = (
        "import sys\n"
        "class Broken:\n"
        "    def find_spec(self, name, path=None, target=None):\n"
        "        if name == 'torchvision':\n"
        "            raise RuntimeError('something else')\n"
        "sys.meta_path.insert(0, Broken())\n"
        "import vitret.models.backbones.timm_model"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert "something else" in done.stderr


XCIT = {"embed_dim": 32, "num_heads": 2, "depth": 3, "cls_attn_layers": 2}
CAIT = {"embed_dim": 32, "num_heads": 2, "depth": 3}


@pytest.mark.parametrize("norm", ["shared_final", "none"])
@pytest.mark.parametrize(("arch", "small"), [("xcit_small_12_p16_224", XCIT), ("cait_xxs24_224", CAIT)])
def test_class_attention_gives_the_class_token_with_the_last_layer_alone(arch, small, norm):
    torch.manual_seed(0)
    backbone = build(arch=arch, pretrained=False, layers=2, norm=norm, arch_options=small).eval()
    with torch.no_grad():  # layer scale starts at 1e-5 or less, which would hide the class attention
        for parameter in backbone.parameters():
            parameter.add_(0.1 * torch.randn_like(parameter))
    images = torch.randn(2, 3, 224, 224)
    tokens = backbone(images)
    # timm's own forward: blocks, class attention, norm; (B, 1 + N, D).
    whole = backbone.model.forward_features(images)
    ours = torch.cat([tokens.prefix[-1], tokens.grids[-1].flatten(2).transpose(1, 2)], dim=1)
    assert torch.allclose(ours if norm != "none" else backbone.model.norm(ours), whole, atol=1e-5)
    assert torch.equal(tokens.prefix[0], torch.zeros(2, 0, 32))
    earlier = build(arch=arch, pretrained=False, layers=[-2], norm=norm, arch_options=small).eval()
    earlier.model.load_state_dict(backbone.model.state_dict())
    assert torch.allclose(earlier(images).grids[0], tokens.grids[0], atol=1e-5)
    assert (backbone.prefix_tokens, earlier.prefix_tokens) == (1, 0)


def test_class_attention_takes_images_of_any_shape():
    backbone = build(arch="xcit_small_12_p16_224", pretrained=False, arch_options=XCIT).eval()
    tokens = backbone(torch.randn(1, 3, 64, 96))
    assert tokens.prefix[0].shape == (1, 1, 32)
    assert tokens.grids[0].shape == (1, 32, 4, 6)


def test_a_class_token_is_not_asked_of_a_layer_before_it_enters():
    backbone = build(arch="xcit_small_12_p16_224", pretrained=False, layers=[1], arch_options=XCIT).eval()
    with pytest.raises(UserError, match="XCiT and CaiT only after their last block"):
        cls.build(backbone.widths)(backbone(torch.randn(1, 3, 32, 32)))


def vit_file(path, *, fill):
    """test_vit's weights, every number the same."""
    state = timm.create_model("test_vit", num_classes=0).state_dict()
    safetensors.torch.save_file({name: torch.full_like(value, fill) for name, value in state.items()}, path)


def test_the_file_of_the_asked_for_tag_comes_first(tmp_path, monkeypatch, capsys):
    monkeypatch.setenv("VITRET_WEIGHTS", str(tmp_path))
    vit_file(tmp_path / "test_vit.safetensors", fill=1.0)
    vit_file(tmp_path / "test_vit.r160_in1k.safetensors", fill=2.0)
    for name in ("test_vit", "test_vit.r160_in1k"):
        assert float(build(arch=name).model.cls_token.detach().mean()) == 2.0
    assert "no tag" not in capsys.readouterr().err


def test_a_file_without_a_tag_is_used_with_a_word_and_normalised_as_the_tag_says(
    tmp_path, monkeypatch, capsys
):
    monkeypatch.setenv("VITRET_WEIGHTS", str(tmp_path))
    dim = {"embed_dim": 32, "depth": 1, "num_heads": 2}
    whole = timm.create_model("vit_base_patch16_224", num_classes=0, **dim).state_dict()
    safetensors.torch.save_file(whole, tmp_path / "vit_base_patch16_224.safetensors")
    dino = build(arch="vit_base_patch16_224.dino", arch_options=dim)
    augreg = build(arch="vit_base_patch16_224.augreg_in21k", arch_options=dim)
    said = capsys.readouterr().err
    assert (
        "vit_base_patch16_224.safetensors: has no tag in its name; taken as vit_base_patch16_224.dino" in said
    )
    assert "taken as vit_base_patch16_224.augreg_in21k" in said
    assert dino.mean == (0.485, 0.456, 0.406)
    assert augreg.mean == (0.5, 0.5, 0.5)


def test_an_unknown_tag_is_named_with_the_near_ones():
    with pytest.raises(UserError, match=r"no weights 'dina' of vit_base_patch16_224\..*dino"):
        build(arch="vit_base_patch16_224.dina", pretrained=False)


@pytest.mark.parametrize("key", ["state_dict_ema", "model_ema"])
def test_averaged_weights_are_taken_as_timm_takes_them(tmp_path, capsys, key):
    state = timm.create_model("test_vit", num_classes=10).state_dict()
    averaged = {f"module.{name}": torch.full_like(value, 2.0) for name, value in state.items()}
    path = tmp_path / "model_best.pth.tar"
    torch.save({"epoch": 3, "state_dict": state, key: averaged}, path)
    theirs = timm.create_model("test_vit", num_classes=10)
    timm.models.load_checkpoint(theirs, str(path))
    ours = build(arch="test_vit", weights=str(path))
    assert torch.equal(ours.model.cls_token, theirs.cls_token)
    assert f"averaged weights; they are taken ({key})" in capsys.readouterr().err


def test_a_network_of_one_size_gets_its_square_and_says_so(capsys):
    note.cache_clear()  # A note is said once in a process.
    small = {"embed_dim": 32, "depth": 2, "num_heads": 2}
    backbone = build(arch="beit_base_patch16_224", pretrained=False, arch_options=small).eval()
    assert "takes 224×224 pixels alone: every image is resized" in capsys.readouterr().err
    assert backbone.patch == 1
    images = torch.randn(1, 3, 170, 288)
    square = torch.nn.functional.interpolate(images, (224, 224), mode="bicubic", antialias=True)
    assert torch.equal(backbone(images).grids[0], backbone(square).grids[0])
    larger = build(arch="beit_base_patch16_224", pretrained=False, arch_options=small, img_size=256)
    assert larger.sizes.fixed == (256, 256)


def test_a_size_that_was_switched_off_is_refused_in_words():
    backbone = build(arch="test_vit", pretrained=False, arch_options={"dynamic_img_size": False})
    assert backbone(torch.randn(1, 3, 160, 160)).grids[0].shape == (1, 64, 10, 10)
    with pytest.raises(UserError, match="dynamic_img_size is false, so it takes 160×160"):
        backbone(torch.randn(1, 3, 64, 96))


def test_an_image_too_small_for_a_network_is_refused_in_words():
    backbone = build(arch="inception_v3", pretrained=False).eval()
    with pytest.raises(UserError, match="inception_v3 refuses images of 32×32 pixels"):
        backbone(torch.randn(1, 3, 32, 32))


def test_registers_are_no_class_token():
    backbone = build(
        arch="vit_medium_patch16_reg4_gap_256",
        pretrained=False,
        arch_options={"embed_dim": 32, "depth": 1, "num_heads": 2},
    ).eval()
    tokens = backbone(torch.randn(1, 3, 64, 64))
    assert tokens.prefix[0].shape == (1, 4, 32)
    with pytest.raises(UserError, match="needs a class token"):
        cls.build(backbone.widths)(tokens)


DINOV2 = {"embed_dim": 32, "depth": 1, "num_heads": 2}


def test_positions_of_dinov2s_own_code():
    """Transcribed from facebookresearch/dinov2, `interpolate_pos_encoding` with offset 0.1."""
    torch.manual_seed(0)
    options = {"pretrained": False, "arch_options": DINOV2}
    ours = build(arch="vit_small_patch14_dinov2.lvd142m", positions="upstream", **options).eval()
    plain = build(arch="vit_small_patch14_dinov2.lvd142m", **options).eval()
    plain.load_state_dict(ours.state_dict())
    images = torch.randn(1, 3, 14 * 16, 14 * 21)
    grid = ours.model.pos_embed[:, 1:].reshape(1, 37, 37, 32).permute(0, 3, 1, 2)
    expected = torch.nn.functional.interpolate(
        grid, scale_factor=(16.1 / 37, 21.1 / 37), mode="bicubic", antialias=False
    )
    added = ours.model._pos_embed(torch.zeros(1, 16, 21, 32))[:, 1:]
    torch.testing.assert_close(added, expected.permute(0, 2, 3, 1).reshape(1, -1, 32))
    assert not torch.allclose(ours(images).grids[0], plain(images).grids[0], atol=1e-5)
    native = torch.randn(1, 3, 518, 518)
    torch.testing.assert_close(ours(native).grids[0], plain(native).grids[0])


@pytest.mark.parametrize("arch", ["vit_small_patch14_reg4_dinov2.lvd142m", "test_resnet"])
def test_positions_of_upstream_are_for_dinov2_without_registers(arch):
    with pytest.raises(UserError, match="positions: upstream"):
        build(arch=arch, pretrained=False, positions="upstream")


def test_positions_are_written_into_a_spec_only_where_they_are_changed():
    assert "positions" not in plugins.resolve("backbones", "timm_model", {"arch": "test_vit"})
    assert "positions" not in plugins.resolve(
        "backbones", "timm_model", {"arch": "test_vit", "positions": "timm"}
    )
    changed = plugins.resolve("backbones", "timm_model", {"arch": "test_vit", "positions": "upstream"})
    assert changed["positions"] == "upstream"


def test_widths_are_true_where_the_final_norm_is_a_neck():
    options = {"arch": "samvit_base_patch16", "pretrained": False, "arch_options": {"depth": 1}}
    backbone = build(**options).eval()
    assert backbone.widths == (256,)
    assert backbone(torch.randn(1, 3, 64, 96)).grids[0].shape == (1, 256, 4, 6)
    assert build(**options, norm="none").widths == (768,)
