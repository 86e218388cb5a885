"""Published layouts of transformers, written down again as plain functions, against our networks filled from them.

Each `*_forward` follows the project's own code with its own names; random weights, so that only structure decides.
"""

import math

import numpy as np
import pytest
import torch
from published_layouts import (
    IMAGES,
    SQUARE,
    TIMM_VIT,
    conv,
    layer_norm,
    linear,
    mlp,
    network,
    norm,
    renamed,
    scrambled,
)
from torch.nn import functional as fn

from vitret.core import plugins
from vitret.models.foreign.fill import fill, load_checkpoint


def vit_forward(state, x, *, patch, heads, eps=1e-6, act=fn.gelu, scale=1.0, stem=None, positions=None):
    x = conv(state, "patch_embed.proj", x, stride=patch) if stem is None else stem(x)
    size = x.shape[2:]
    x = x.flatten(2).transpose(1, 2)
    if "cls_token" in state:
        x = torch.cat([state["cls_token"].expand(len(x), -1, -1), x], dim=1)
    x = x + state["pos_embed"]
    if "register_tokens" in state:
        x = torch.cat([x[:, :1], state["register_tokens"].expand(len(x), -1, -1), x[:, 1:]], dim=1)
    for i in range(2):
        at = f"blocks.{i}"
        y = layer_norm(state, f"{at}.norm1", x, eps)
        q, k, v = (
            linear(state, f"{at}.attn.qkv", y).reshape(*y.shape[:2], 3, heads, -1).permute(2, 0, 3, 1, 4)
        )
        weights = (q @ k.transpose(-2, -1) / math.sqrt(q.shape[-1])).softmax(dim=-1)
        y = linear(state, f"{at}.attn.proj", (weights @ v).transpose(1, 2).flatten(2))
        x = x + y * state.get(f"{at}.ls1.gamma", 1.0) / scale
        y = mlp(state, f"{at}.mlp", layer_norm(state, f"{at}.norm2", x, eps), act)
        x = x + y * state.get(f"{at}.ls2.gamma", 1.0) / scale
    return layer_norm(state, "norm", x, eps), size


def check_square(model, state, layout, expected):
    scrambled(model)
    report = fill(model, state, layout=layout, where="here")
    assert torch.allclose(model(SQUARE), fn.normalize(expected, dim=-1), atol=2e-5)
    return report


def test_dino():
    options = {
        "arch": "vit_small_patch16_224.dino",
        "pretrained": False,
        "img_size": 64,
        "arch_options": TIMM_VIT,
    }
    model = network("timm_model", "cls", options=options)
    state = renamed(model, [("backbone.model.", "")])
    expected = vit_forward(state, SQUARE, patch=16, heads=2)[0][:, 0]
    published = {f"module.backbone.{name}": value for name, value in state.items()}
    published["module.head.mlp.0.weight"] = torch.zeros(2, 2)
    assert check_square(model, published, "dino", expected).left_out == ("module.head.mlp.0.weight",)


@pytest.mark.parametrize("registers", [0, 4])
def test_dinov2(registers):
    arch = "vit_small_patch14_reg4_dinov2" if registers else "vit_small_patch14_dinov2"
    options = {
        "arch": arch,
        "pretrained": False,
        "img_size": 56,
        "arch_options": {**TIMM_VIT, "patch_size": 16},
    }
    options["img_size"] = 64
    model = network("timm_model", "cls", options=options)
    state = renamed(model, [("backbone.model.", "")])
    if registers:  # the published file has one position for the class token, which timm adds in
        state["register_tokens"] = state.pop("reg_token")
        own = torch.randn(1, 1, 16)
        state["cls_token"] = state["cls_token"] - own
        state["pos_embed"] = torch.cat([own, state["pos_embed"]], dim=1)
    state["mask_token"] = torch.zeros(1, 16)
    expected = vit_forward(state, SQUARE, patch=16, heads=2)[0][:, 0]
    assert check_square(model, state, "dinov2", expected).left_out == ("mask_token",)


def test_dinov3_names_and_the_missing_key_bias():
    options = {"arch": "vit_small_patch16_dinov3_qkvb", "pretrained": False, "arch_options": TIMM_VIT}
    model = network("timm_model", "cls", options=options)
    with torch.no_grad():
        for block in model.backbone.model.blocks:
            block.attn.q_bias.normal_()
            block.attn.v_bias.normal_()
    expected = model(IMAGES)
    state = {}
    for name, value in model.state_dict().items():
        name = name.removeprefix("backbone.model.").replace("reg_token", "storage_tokens")
        name = name.replace("gamma_1", "ls1.gamma").replace("gamma_2", "ls2.gamma")
        state[name] = value.clone()
    for i in range(2):
        q, v = state.pop(f"blocks.{i}.attn.q_bias"), state.pop(f"blocks.{i}.attn.v_bias")
        state[f"blocks.{i}.attn.qkv.bias"] = torch.cat([q, torch.zeros_like(q), v])
        state[f"blocks.{i}.attn.qkv.bias_mask"] = torch.zeros(48)
    state["mask_token"], state["rope_embed.periods"] = torch.zeros(1, 16), torch.zeros(4)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.fill_(0.1)
    fill(model, state, layout="dinov3", where="here")
    assert torch.equal(model(IMAGES), expected)


def test_mocov3():
    model = network("mocov3_vit", "cls", options={"width": 16, "depth": 2, "heads": 2, "img_size": 64})
    state = renamed(model, [("backbone.", "")])
    expected = vit_forward(state, SQUARE, patch=16, heads=2)[0][:, 0]
    published = {f"module.base_encoder.{name}": value for name, value in state.items()}
    published |= {
        "module.base_encoder.head.0.weight": torch.zeros(1),
        "module.predictor.0.weight": torch.zeros(1),
    }
    published |= {f"module.momentum_encoder.{name}": value * 0 for name, value in state.items()}
    check_square(model, published, "mocov3", expected)


def test_lvvit(tmp_path):
    options = {"arch": "lvvit_s", "width": 16, "depth": 2, "heads": 2, "channels": 4, "img_size": 64}
    model = network("lvvit", "cls", options=options)
    state = renamed(model, [("backbone.", "")])

    def stem(x):
        x = norm(state, "patch_embed.bn1", conv(state, "patch_embed.conv1", x, stride=2, padding=3)).relu()
        x = norm(state, "patch_embed.bn2", conv(state, "patch_embed.conv2", x, padding=1)).relu()
        x = norm(state, "patch_embed.bn3", conv(state, "patch_embed.conv3", x, padding=1)).relu()
        return conv(state, "patch_embed.proj", x, stride=8)

    expected = vit_forward(state, SQUARE, patch=16, heads=2, eps=1e-5, scale=2.0, stem=stem)[0][:, 0]
    state |= {
        "head.weight": torch.zeros(3, 16),
        "head.bias": torch.zeros(3),
        "aux_head.weight": torch.zeros(3, 16),
    }
    assert len(check_square(model, state, "lvvit", expected).left_out) == 3
    path = tmp_path / "lvvit.pth"
    torch.save(state, path)
    again = plugins.build("backbones", "lvvit", **options, weights=str(path)).eval()
    assert torch.equal(again(SQUARE).prefix[0], model.backbone(SQUARE).prefix[0])


def test_unicom():
    options = {"arch": "vit_b_16", "width": 16, "depth": 2, "heads": 2, "img_size": 64}
    model = network("unicom_vit", "unicom", options=options, places=16, dim=6)
    state = renamed(model, [("backbone.", ""), ("head.", "")])
    tokens, _ = vit_forward(state, SQUARE, patch=16, heads=2, eps=1e-5, act=fn.relu6)
    x = norm(state, "feature.1", linear(state, "feature.0", tokens.flatten(1)), eps=2e-5)
    check_square(model, state, "unicom", norm(state, "feature.3", linear(state, "feature.2", x), eps=2e-5))


def hybrid_forward(arrays, images):
    """Google's R50+ViT in its own array layout: NHWC kernels, heads apart; weights standardised, groups of 32."""
    get = {name: torch.from_numpy(value) for name, value in arrays.items()}

    def same(x, size, stride):
        pads = []
        for side in (x.shape[3], x.shape[2]):
            total = max((math.ceil(side / stride) - 1) * stride + size - side, 0)
            pads += [total // 2, total - total // 2]
        return pads

    def std_conv(name, x, stride=1):
        kernel = get[name]
        mean, var = kernel.mean(dim=(0, 1, 2)), kernel.var(dim=(0, 1, 2), unbiased=False)
        kernel = ((kernel - mean) / (var + 1e-8).sqrt()).permute(3, 2, 0, 1)
        return fn.conv2d(fn.pad(x, same(x, kernel.shape[-1], stride)), kernel, stride=stride)

    def group(name, x):
        return fn.group_norm(x, 32, get[name + "/scale"].flatten(), get[name + "/bias"].flatten(), 1e-5)

    x = group("gn_root", std_conv("conv_root/kernel", images, 2)).relu()
    x = fn.max_pool2d(fn.pad(x, same(x, 3, 2), value=-math.inf), 3, 2)
    for i, count in ((1, 3), (2, 4), (3, 9)):
        for j in range(1, count + 1):
            at, stride = f"block{i}/unit{j}", 2 if i > 1 and j == 1 else 1
            y = group(f"{at}/gn1", std_conv(f"{at}/conv1/kernel", x)).relu()
            y = group(f"{at}/gn2", std_conv(f"{at}/conv2/kernel", y, stride)).relu()
            y = group(f"{at}/gn3", std_conv(f"{at}/conv3/kernel", y))
            if f"{at}/conv_proj/kernel" in get:
                x = group(f"{at}/gn_proj", std_conv(f"{at}/conv_proj/kernel", x, stride))
            x = (x + y).relu()
    x = torch.einsum("bchw,cd->bhwd", x, get["embedding/kernel"][0, 0]) + get["embedding/bias"]
    x = torch.cat([get["cls"].expand(len(x), -1, -1), x.flatten(1, 2)], dim=1)
    x = x + get["Transformer/posembed_input/pos_embedding"]
    at = "Transformer/encoderblock_0"

    def ln(name, y):
        return fn.layer_norm(y, y.shape[-1:], get[name + "/scale"], get[name + "/bias"], 1e-6)

    y = ln(f"{at}/LayerNorm_0", x)
    mha = f"{at}/MultiHeadDotProductAttention_1"
    q, k, v = (
        torch.einsum("bnd,dhe->bhne", y, get[f"{mha}/{n}/kernel"]) + get[f"{mha}/{n}/bias"][None, :, None]
        for n in ("query", "key", "value")
    )
    mixed = (q @ k.transpose(-2, -1) / math.sqrt(q.shape[-1])).softmax(dim=-1) @ v
    x = x + torch.einsum("bhne,hed->bnd", mixed, get[f"{mha}/out/kernel"]) + get[f"{mha}/out/bias"]
    y = (
        ln(f"{at}/LayerNorm_2", x) @ get[f"{at}/MlpBlock_3/Dense_0/kernel"]
        + get[f"{at}/MlpBlock_3/Dense_0/bias"]
    )
    x = x + fn.gelu(y) @ get[f"{at}/MlpBlock_3/Dense_1/kernel"] + get[f"{at}/MlpBlock_3/Dense_1/bias"]
    return ln("Transformer/encoder_norm", x)[:, 0]


def test_google_hybrid(tmp_path):
    options = {
        "arch": "vit_base_r50_s16_224", "pretrained": False, "img_size": 64,
        "arch_options": {"embed_dim": 16, "depth": 1, "num_heads": 2},
    }  # fmt: skip
    model = network("timm_model", "cls", options=options)
    ours = {n.removeprefix("backbone.model."): v.numpy() for n, v in model.state_dict().items()}
    arrays = {"cls": ours["cls_token"], "Transformer/posembed_input/pos_embedding": ours["pos_embed"]}
    arrays["head/kernel"] = np.zeros((16, 3), np.float32)

    def norm_arrays(at, name):
        arrays[at + "/scale"], arrays[at + "/bias"] = ours[name + ".weight"], ours[name + ".bias"]

    def kernel(at, name):
        arrays[at + "/kernel"] = np.ascontiguousarray(ours[name + ".weight"].transpose(2, 3, 1, 0))

    stem = "patch_embed.backbone"
    kernel("conv_root", f"{stem}.stem.conv")
    norm_arrays("gn_root", f"{stem}.stem.norm")
    for i, count in ((1, 3), (2, 4), (3, 9)):
        for j in range(1, count + 1):
            block = f"{stem}.stages.{i - 1}.blocks.{j - 1}"
            for r in (1, 2, 3):
                kernel(f"block{i}/unit{j}/conv{r}", f"{block}.conv{r}")
                norm_arrays(f"block{i}/unit{j}/gn{r}", f"{block}.norm{r}")
            if j == 1:
                kernel(f"block{i}/unit{j}/conv_proj", f"{block}.downsample.conv")
                norm_arrays(f"block{i}/unit{j}/gn_proj", f"{block}.downsample.norm")
    kernel("embedding", "patch_embed.proj")
    arrays["embedding/bias"] = ours["patch_embed.proj.bias"]
    norm_arrays("Transformer/encoder_norm", "norm")
    at, mha = "Transformer/encoderblock_0", "Transformer/encoderblock_0/MultiHeadDotProductAttention_1"
    norm_arrays(f"{at}/LayerNorm_0", "blocks.0.norm1")
    norm_arrays(f"{at}/LayerNorm_2", "blocks.0.norm2")
    for n, (weight, bias) in enumerate(
        zip(
            np.split(ours["blocks.0.attn.qkv.weight"], 3),
            np.split(ours["blocks.0.attn.qkv.bias"], 3),
            strict=True,
        )
    ):
        name = ("query", "key", "value")[n]
        arrays[f"{mha}/{name}/kernel"] = np.ascontiguousarray(weight.T.reshape(16, 2, 8))
        arrays[f"{mha}/{name}/bias"] = bias.reshape(2, 8)
    arrays[f"{mha}/out/kernel"] = np.ascontiguousarray(ours["blocks.0.attn.proj.weight"].T.reshape(2, 8, 16))
    arrays[f"{mha}/out/bias"] = ours["blocks.0.attn.proj.bias"]
    for i in (0, 1):
        arrays[f"{at}/MlpBlock_3/Dense_{i}/kernel"] = np.ascontiguousarray(
            ours[f"blocks.0.mlp.fc{i + 1}.weight"].T
        )
        arrays[f"{at}/MlpBlock_3/Dense_{i}/bias"] = ours[f"blocks.0.mlp.fc{i + 1}.bias"]
    path = tmp_path / "R50+ViT-B_16.npz"
    np.savez(path, **arrays)
    expected = fn.normalize(hybrid_forward({k: v.copy() for k, v in arrays.items()}, SQUARE), dim=1)
    scrambled(model)
    report = load_checkpoint(model, str(path), layout="google_npz")
    assert report.left_out == ("head.weight",)
    assert torch.allclose(model(SQUARE), expected, atol=5e-4)
