"""Published layouts, written down again as plain functions of a state dict, against our networks filled from it.

Each `*_forward` follows the project's own code with its own names; random weights, so that only structure decides.
"""

import math
import re
from pathlib import PurePosixPath

import numpy as np
import pytest
import torch
from torch.nn import functional as fn

from vitret.core import plugins
from vitret.core.errors import DataError, UserError
from vitret.core.recipes import ModelSpec, Part
from vitret.models.checkpoints_of_others import fill, load_backbone, load_checkpoint, read_checkpoint
from vitret.models.layouts import LAYOUTS
from vitret.models.model import build_model
from vitret.models.pooling import regions

IMAGES = torch.randn(2, 3, 64, 96, generator=torch.Generator().manual_seed(0))
DEPTHS = (1, 2, 1, 1)
RESNET = {"arch": "resnet26", "pretrained": False, "width": 8, "depths": DEPTHS, "attend": []}


def network(backbone, head, **given):
    options, head_options = given.pop("options", {}), given
    model = build_model(
        ModelSpec(backbone=Part(name=backbone, options=options), head=Part(name=head, options=head_options))
    )
    torch.manual_seed(7)
    with torch.no_grad():
        for name, value in model.state_dict().items():
            if name.endswith("running_mean"):
                value.normal_(0, 0.1)
            elif name.endswith("running_var"):
                value.uniform_(0.5, 1.5)
            elif value.is_floating_point() and value.ndim > 1:
                value.add_(0.05 * torch.randn_like(value))
    return model.eval()


def renamed(model, pairs):
    """The model's tensors under published names: the first pair whose beginning fits."""
    state = {}
    for name, value in model.state_dict().items():
        ours, theirs = next((a, b) for a, b in pairs if name.startswith(a))
        state[theirs + name.removeprefix(ours)] = value.clone()
    return state


def scrambled(model):
    with torch.no_grad():
        for value in model.state_dict().values():
            if value.is_floating_point():
                value.uniform_(0.1, 0.2)


def norm(state, name, x, eps=1e-5):
    return fn.batch_norm(
        x,
        state[name + ".running_mean"],
        state[name + ".running_var"],
        state[name + ".weight"],
        state[name + ".bias"],
        eps=eps,
    )


def linear(state, name, x):
    return fn.linear(x, state[name + ".weight"], state.get(name + ".bias"))


def conv(state, name, x, **given):
    return fn.conv2d(x, state[name + ".weight"], state.get(name + ".bias"), **given)


def bottleneck(state, at, x, stride, names):
    a, abn, b, bbn, c, cbn, proj, pbn = (f"{at}.{n}" for n in names)
    y = norm(state, abn, conv(state, a, x)).relu()
    y = norm(state, bbn, conv(state, b, y, stride=stride, padding=1)).relu()
    y = norm(state, cbn, conv(state, c, y))
    if proj + ".weight" in state:
        x = norm(state, pbn, conv(state, proj, x, stride=stride))
    return (x + y).relu()


TORCHVISION = ("conv1", "bn1", "conv2", "bn2", "conv3", "bn3", "downsample.0", "downsample.1")
PYCLS = ("f.a", "f.a_bn", "f.b", "f.b_bn", "f.c", "f.c_bn", "proj", "bn")


def resnet_maps(state, x, *, stem, stem_bn, stages, block="{}", names=TORCHVISION, first=0, soa4=None):
    x = fn.max_pool2d(norm(state, stem_bn, conv(state, stem, x, stride=2, padding=3)).relu(), 3, 2, 1)
    maps = []
    for i, count in enumerate(DEPTHS):
        for j in range(count):
            at = f"{stages[i]}.{block.format(j + first)}"
            x = bottleneck(state, at, x, 2 if i > 0 and j == 0 else 1, names)
        if i == 2 and soa4:
            x = soa_forward(state, soa4, x)
        maps.append(x)
    return maps


def gem(x, p):
    return x.clamp(min=1e-6).pow(p).mean(dim=(2, 3)).pow(1 / p)


def soa_forward(state, at, x):
    f = norm(state, f"{at}.f.1", conv(state, f"{at}.f.0", x)).relu().flatten(2)
    g = norm(state, f"{at}.g.1", conv(state, f"{at}.g.0", x)).relu().flatten(2)
    h = conv(state, f"{at}.h", x).flatten(2)
    attention = (f.shape[1] ** -0.5 * f.transpose(1, 2) @ g).softmax(dim=-1)
    mixed = (attention @ h.transpose(1, 2)).transpose(1, 2).reshape(len(x), -1, *x.shape[2:])
    return x + conv(state, f"{at}.v", mixed)


def check(model, state, layout, expected):
    expected = fn.normalize(expected, dim=-1)
    scrambled(model)
    report = fill(model, state, layout=layout, where="here")
    assert torch.allclose(model(IMAGES), expected, atol=2e-5)
    return report


def test_cirtorch():
    model = network("resnet_soa", "gem_fc", options=RESNET, p=2.5)
    state = renamed(
        model,
        [("backbone.conv1.", "features.0."), ("backbone.bn1.", "features.1.")]
        + [(f"backbone.layer{i}.", f"features.{i + 3}.") for i in range(1, 5)]
        + [("head.p", "pool.p"), ("head.fc.", "whiten.")],
    )
    stages = ["features.4", "features.5", "features.6", "features.7"]
    deep = resnet_maps(state, IMAGES, stem="features.0", stem_bn="features.1", stages=stages)[-1]
    check(model, state, "cirtorch", linear(state, "whiten", fn.normalize(gem(deep, state["pool.p"]), dim=1)))


def cirtorch_state(model, head):
    """A network's tensors as cirtorch names them; attention has no name there and is left out."""
    pairs = [("backbone.conv1.", "features.0."), ("backbone.bn1.", "features.1.")]
    pairs += [(f"backbone.layer{i}.", f"features.{i + 3}.") for i in range(1, 5)]
    state = renamed(model, [*pairs, *head, ("backbone.soa", "soa"), ("head.soa", "soa")])
    return {name: value for name, value in state.items() if not name.startswith("soa")}


def test_solar_starts_from_a_network_of_cirtorch():
    # SOLAR ae0682a loads gl18-tl-resnet101-gem-w and adds two attentions, which start as the identity.
    given = network("resnet_soa", "gem_fc", options=RESNET, p=2.5)
    state = cirtorch_state(given, [("head.p", "pool.p"), ("head.fc.", "whiten.")])
    solar = build_model(
        ModelSpec(
            backbone=Part(name="resnet_soa", options={**RESNET, "attend": [3]}), head=Part(name="solar")
        )
    ).eval()
    report = fill(solar, state, layout="cirtorch", where="here")
    assert report.drawn
    assert all(".soa" in name for name in report.drawn)
    assert torch.allclose(solar(IMAGES), given(IMAGES), atol=2e-5)
    names = "|".join(re.escape(name) for name in report.drawn)
    bare = {name: value for name, value in as_solar(solar).items() if ".soa" not in name}
    with pytest.raises(DataError, match=rf"as 'solar': \d+ missing from the file: ({names})"):
        fill(solar, bare, layout="solar", where="here")


def test_cirtorchs_regional_network_with_both_layers():
    # The names of cirtorch 1e66a41: Rpool holds its GeM as rpool and its layer as whiten; the last layer is whiten.
    model = network("resnet_soa", "regional_gem", options=RESNET, whiten=True, last=True)
    pairs = [("head.p", "pool.rpool.p"), ("head.whiten.", "pool.whiten."), ("head.fc.", "whiten.")]
    state = cirtorch_state(model, pairs)
    stages = ["features.4", "features.5", "features.6", "features.7"]
    deep = resnet_maps(state, IMAGES, stem="features.0", stem_bn="features.1", stages=stages)[-1]
    rows = [gem(deep, state["pool.rpool.p"])]
    for top, left, side in regions(*deep.shape[2:], levels=3, overlap=0.4):
        rows.append(gem(deep[:, :, top : top + side, left : left + side], state["pool.rpool.p"]))
    rows = [fn.normalize(linear(state, "pool.whiten", fn.normalize(row, dim=1)), dim=1) for row in rows]
    check(model, state, "cirtorch", linear(state, "whiten", fn.normalize(sum(rows), dim=1)))


def test_cirtorch_into_a_timm_network():
    options = {
        "arch": "resnet26",
        "pretrained": False,
        "arch_options": {"stem_type": "", "stem_width": 64, "avg_down": False},
    }
    options["arch_options"] = {}
    model = network("timm_model", "gem", options={**options, "arch": "resnet50"})
    pairs = [("backbone.model.conv1.", "features.0."), ("backbone.model.bn1.", "features.1.")]
    pairs += [(f"backbone.model.layer{i}.", f"features.{i + 3}.") for i in range(1, 5)] + [
        ("head.p", "pool.p")
    ]
    state = renamed(model, pairs)
    expected = model(IMAGES)
    scrambled(model)
    fill(model, state, layout="cirtorch", where="here")
    assert torch.equal(model(IMAGES), expected)


def test_dir_has_no_norm_before_its_layer_and_a_fixed_power():
    model = network("resnet_soa", "gem_fc", options=RESNET, normalise=False, learn=False)
    state = renamed(model, [("backbone.", "module."), ("head.fc.", "module.fc."), ("head.p", "left")])
    del state["left"]
    plain = {name.removeprefix("module."): value for name, value in state.items()}
    deep = resnet_maps(plain, IMAGES, stem="conv1", stem_bn="bn1", stages=[f"layer{i}" for i in range(1, 5)])[
        -1
    ]
    expected = fn.normalize(linear(plain, "fc", gem(deep, 3.0)), dim=1)
    with torch.no_grad():
        for name, value in model.state_dict().items():
            if name != "head.p":
                value.fill_(1)
    fill(model, state, layout="dir", where="here")
    assert torch.allclose(model(IMAGES), expected, atol=2e-5)


@pytest.mark.parametrize("atrous", [False, True])
def test_dolg_reads_blue_first(atrous):
    model = network("resnet_soa", "dolg", options={**RESNET, "layers": 2}, dim=6, multi_atrous=atrous)
    pairs = [("backbone.conv1.", "globalmodel.stem.conv."), ("backbone.bn1.", "globalmodel.stem.bn.")]
    for i, count in enumerate(DEPTHS, start=1):
        for j in range(count):
            ours = ("conv1", "bn1", "conv2", "bn2", "conv3", "bn3", "downsample.0", "downsample.1")
            for mine, theirs in zip(ours, PYCLS, strict=True):
                pairs.append((f"backbone.layer{i}.{j}.{mine}.", f"globalmodel.s{i}.b{j + 1}.{theirs}."))
    pairs += [
        ("head.atrous.aspp.", "localmodel.aspp.aspp."),
        ("head.atrous.im_pool.", "localmodel.aspp.im_pool.1."),
        ("head.atrous.conv_after.", "localmodel.aspp.conv_after.0."),
        ("head.localmodel.", "localmodel."),
        ("head.fc", "fc"),
        ("head.p", "left"),
    ]
    state = renamed(model, pairs)
    power = state.pop("left")
    assert power.item() == 3.0
    state["globalmodel.stem.conv.weight"] = state["globalmodel.stem.conv.weight"].flip(1)
    state["desc_cls.weight"], state["desc_cls.t"] = torch.zeros(4, 6), torch.zeros(1)
    stages = [f"globalmodel.s{i}" for i in range(1, 5)]
    *_, fine, coarse = resnet_maps(
        state, IMAGES.flip(1), stem="globalmodel.stem.conv", stem_bn="globalmodel.stem.bn", stages=stages, block="b{}",
        names=PYCLS, first=1,
    )  # fmt: skip
    if atrous:
        at = "localmodel.aspp"
        seen = [
            conv(state, f"{at}.im_pool.1", fine.mean(dim=(2, 3), keepdim=True))
            .relu()
            .expand(-1, -1, *fine.shape[2:])
        ]
        seen.append(conv(state, f"{at}.aspp.0", fine))
        seen += [
            conv(state, f"{at}.aspp.{i}", fine, padding=d, dilation=d) for i, d in ((1, 6), (2, 12), (3, 18))
        ]
        fine = conv(state, f"{at}.conv_after.0", torch.cat(seen, dim=1)).relu()
    u = norm(state, "localmodel.bn", conv(state, "localmodel.conv1", fine))
    local = fn.softplus(conv(state, "localmodel.conv2", u.relu())) * fn.normalize(u, dim=1)
    whole = linear(state, "fc_t", gem(coarse, 3.0))
    along = torch.bmm(whole.unsqueeze(2), torch.bmm(whole.unsqueeze(1), local.flatten(2))).view_as(local)
    rest = (local - along / (whole.norm(dim=1) ** 2).view(-1, 1, 1, 1)).mean(dim=(2, 3))
    with torch.no_grad():
        for name, value in model.state_dict().items():
            if name != "head.p":
                value.fill_(1)
    report = fill(model, state, layout="dolg", where="here")
    assert report.left_out == ("desc_cls.t", "desc_cls.weight")
    expected = fn.normalize(linear(state, "fc", torch.cat([whole, rest], dim=1)), dim=1)
    assert torch.allclose(model(IMAGES), expected, atol=2e-5)


def attention(state, at, q, k, v, heads):
    q, k, v = (
        linear(state, f"{at}.{n}", x).unflatten(-1, (heads, -1)).transpose(1, 2)
        for n, x in zip("qkv", (q, k, v), strict=True)
    )
    weights = (q @ k.transpose(-2, -1) / math.sqrt(q.shape[-1])).softmax(dim=-1)
    return linear(state, f"{at}.proj", (weights @ v).transpose(1, 2).flatten(2))


def layer_norm(state, at, x, eps=1e-5):
    return fn.layer_norm(x, x.shape[-1:], state[at + ".weight"], state[at + ".bias"], eps)


def mlp(state, at, x, act=fn.gelu):
    return linear(state, f"{at}.fc2", act(linear(state, f"{at}.fc1", x)))


def test_token():
    model = network("resnet_soa", "token", options=RESNET, dim=6, inner=8, words=3, heads=2)
    pairs = [("backbone.conv1.", "backbone.block1.0."), ("backbone.bn1.", "backbone.block1.1.")]
    pairs += [(f"backbone.layer{i}.", f"backbone.block{i + 1}.") for i in range(1, 5)] + [("head.", "tr.")]
    state = renamed(model, pairs)
    state["classifier.weight"] = torch.zeros(4, 6)
    stages = [f"backbone.block{i}" for i in range(2, 6)]
    deep = resnet_maps(state, IMAGES, stem="backbone.block1.0", stem_bn="backbone.block1.1", stages=stages)[
        -1
    ]
    x = norm(state, "tr.conv.1", conv(state, "tr.conv.0", deep)).flatten(2).transpose(1, 2)
    x = x + attention(state, "tr.encoder.0.attn", x, x, x, 2)
    x = x + linear(state, "tr.encoder.0.mlp", norm(state, "tr.encoder.0.bn", x.reshape(-1, 8)).view_as(x))
    q = state["tr.query"].repeat(2, 1, 1)
    words = torch.bmm(torch.softmax(torch.bmm(q, x.permute(0, 2, 1)), dim=1), x)
    words = layer_norm(state, "tr.token_norm.1", linear(state, "tr.token_norm.0", words))
    for i in range(2):
        at = f"tr.decoder.{i}"
        words = words + attention(state, f"{at}.cross_attn", layer_norm(state, f"{at}.bn1", words), x, x, 2)
        words = words + mlp(state, f"{at}.mlp", words)
        n = layer_norm(state, f"{at}.bn2", words)
        words = words + attention(state, f"{at}.self_attn", n, n, n, 2)
    expected = norm(state, "tr.proj.1", linear(state, "tr.proj.0", words.flatten(1)))
    assert check(model, state, "token", expected).left_out == ("classifier.weight",)


def as_solar(model):
    """A network's tensors as SOLAR's code names them."""
    pairs = [("backbone.conv1.", "features.conv1.0."), ("backbone.bn1.", "features.conv1.1.")]
    pairs += [("backbone.layer1.", "features.conv2_x.2."), ("backbone.soa3.", "features.soa4.")]
    pairs += [(f"backbone.layer{i}.", f"features.conv{i + 1}_x.") for i in range(2, 5)]
    pairs += [("head.soa.", "features.soa5."), ("head.p", "pool.p"), ("head.fc.", "whiten.")]
    return renamed(model, pairs)


def test_solar():
    model = network("resnet_soa", "solar", options={**RESNET, "attend": [3]})
    state = as_solar(model)
    state["features.soa4.gamma"] = state["features.soa5.gamma"] = torch.zeros(1)
    stages = ["features.conv2_x.2", "features.conv3_x", "features.conv4_x", "features.conv5_x"]
    deep = resnet_maps(
        state,
        IMAGES,
        stem="features.conv1.0",
        stem_bn="features.conv1.1",
        stages=stages,
        soa4="features.soa4",
    )[-1]
    deep = soa_forward(state, "features.soa5", deep)
    expected = linear(state, "whiten", fn.normalize(gem(deep, state["pool.p"]), dim=1))
    check(model, state, "solar", expected)


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


TIMM_VIT = {"embed_dim": 16, "depth": 2, "num_heads": 2}
SQUARE = IMAGES[:, :, :, :64]


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


def test_what_does_not_fit_is_listed():
    model = network("mocov3_vit", "cls", options={"width": 16, "depth": 2, "heads": 2, "img_size": 64})
    state = {f"base_encoder.{n.removeprefix('backbone.')}": v for n, v in model.state_dict().items()}
    state["base_encoder.norm.weight"] = torch.zeros(17)
    state["something.else"] = state.pop("base_encoder.norm.bias")
    with pytest.raises(DataError) as caught:
        fill(model, state, layout="mocov3", where="file.pth")
    text = str(caught.value)
    assert "1 missing from the file: backbone.norm.bias" in text
    assert "1 unknown to the network: something.else" in text
    assert "backbone.norm.weight (17,) instead of (16,)" in text


def test_unknown_layouts_are_refused():
    with pytest.raises(UserError, match="Did you mean 'dinov2'"):
        fill(torch.nn.Linear(1, 1), {}, layout="dinov22", where="here")
    assert len(LAYOUTS) == 12


def test_files_with_other_objects_are_refused(tmp_path):
    path = tmp_path / "dir.pt"
    torch.save({"state_dict": {"a": torch.zeros(1)}, "pca": PurePosixPath("x")}, path)
    with pytest.raises(DataError, match="saved again as a state dict"):
        load_backbone(torch.nn.Linear(1, 1), path, layout="dir")
    with pytest.raises(DataError, match="no such file"):
        load_backbone(torch.nn.Linear(1, 1), tmp_path / "absent.pth", layout="dir")


def test_the_same_count_in_another_shape_is_refused():
    model = network("resnet_soa", "gem_fc", options=RESNET, dim=128)  # its layer is (128, 256)
    state = renamed(model, [("head.fc.", "fc."), ("head.p", "adpool.p"), ("backbone.", "")])
    state["fc.weight"] = state["fc.weight"].reshape(64, 512)
    with pytest.raises(
        DataError, match=r"of another shape: head\.fc\.weight \(64, 512\) instead of \(128, 256\)"
    ):
        fill(model, state, layout="dir", where="file.pt")


def test_axes_of_one_do_not_count():
    model = network("resnet_soa", "gem_fc", options=RESNET, dim=128)
    state = renamed(model, [("head.fc.", "fc."), ("head.p", "adpool.p"), ("backbone.", "")])
    expected = model(IMAGES)
    state["fc.weight"], state["adpool.p"] = state["fc.weight"][:, :, None, None], state["adpool.p"][0]
    scrambled(model)
    fill(model, state, layout="dir", where="file.pt")
    assert torch.equal(model(IMAGES), expected)


@pytest.mark.parametrize(
    ("backbone", "options", "layout"),
    [
        ("lvvit", {"arch": "lvvit_s", "width": 16, "depth": 2, "heads": 2, "channels": 4}, "lvvit"),
        (
            "timm_model",
            {"arch": "vit_small_patch16_224", "pretrained": False, "arch_options": TIMM_VIT},
            "dino",
        ),
    ],
)
def test_positions_of_another_grid_are_resized(backbone, options, layout):
    # Section 2.2: bicubic in the grid, the class token's own position as it is. Ours does so at every call,
    # so that images on the file's own grid through a network made for it are the same as the stored table resized.
    theirs = network(backbone, "cls", options={**options, "img_size": 64})
    ours = network(backbone, "cls", options={**options, "img_size": 96})
    prefix = "backbone.model." if backbone == "timm_model" else "backbone."
    state = renamed(theirs, [(prefix, "")])
    report = fill(ours, state, layout=layout, where="file.pth")
    assert report.resized == (f"{prefix}pos_embed from 4 x 4 to 6 x 6",)
    there = torch.randn(2, 3, 96, 96, generator=torch.Generator().manual_seed(1))
    assert torch.allclose(ours(there), theirs(there), atol=1e-5)


def test_a_grid_that_is_no_square_is_refused():
    options = {"arch": "lvvit_s", "width": 16, "depth": 2, "heads": 2, "channels": 4, "img_size": 64}
    model = network("lvvit", "cls", options=options)
    state = renamed(model, [("backbone.", "")])
    state["pos_embed"] = torch.zeros(1, 1 + 15, 16)
    with pytest.raises(DataError, match=r"backbone.pos_embed \(1, 16, 16\) instead of \(1, 17, 16\)"):
        fill(model, state, layout="lvvit", where="file.pth")


def test_a_head_that_no_file_of_the_layout_has_stays_as_drawn():
    options = {"arch": "vit_small_patch16_224", "pretrained": False, "img_size": 64, "arch_options": TIMM_VIT}
    model = network("timm_model", "glam", options=options, dim=4)
    state = {
        n.removeprefix("backbone.model."): v
        for n, v in model.state_dict().items()
        if n.startswith("backbone.")
    }
    kept = {name: value.clone() for name, value in model.head.state_dict().items()}
    report = fill(model, state, layout="dino", where="here")
    assert set(report.drawn) <= {f"head.{name}" for name in kept}
    assert all(torch.equal(value, kept[name]) for name, value in model.head.state_dict().items())
    assert "not in the file: head." in str(report)


@pytest.mark.parametrize("module", [b"numpy.core.multiarray", b"numpy._core.multiarray"])
def test_the_arrays_that_cirtorch_keeps_beside_its_weights_are_read(tmp_path, module):
    arrays = {"m": np.zeros((3, 1)), "P": np.eye(3, dtype=np.float32)}
    meta = {
        "mean": [0.485, 0.456, 0.406],
        "std": [0.229, 0.224, 0.225],
        "Lw": {"retrieval-SfM-120k": {"ss": arrays}},
    }
    path = tmp_path / "net.pth"
    # The released files are of 2018: PyTorch's format before zip files, numpy's module before it moved.
    whole = {"meta": meta, "state_dict": {"pool.p": torch.ones(1)}}
    torch.save(whole, path, _use_new_zipfile_serialization=False)
    path.write_bytes(path.read_bytes().replace(b"numpy._core.multiarray", module))
    found = read_checkpoint(path)
    assert found.mean == (0.485, 0.456, 0.406)
    assert found.std == (0.229, 0.224, 0.225)
    assert list(found.state) == ["pool.p"]
