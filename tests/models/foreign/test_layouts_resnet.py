"""Published layouts of ResNets, written down again as plain functions of a state dict, against ours filled from it.

Each `*_forward` follows the project's own code with its own names; random weights, so that only structure decides.
"""

import pytest
import torch
from published_layouts import (
    DEPTHS,
    IMAGES,
    PYCLS,
    RESNET,
    attention,
    check,
    conv,
    gem,
    layer_norm,
    linear,
    mlp,
    network,
    norm,
    renamed,
    resnet_maps,
    scrambled,
    soa_forward,
)
from torch.nn import functional as fn

from vitret.core.errors import DataError
from vitret.core.networks import ModelSpec, Part
from vitret.models.foreign.fill import fill
from vitret.models.model import build_model
from vitret.models.pooling import regions


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
    bare = {name: value for name, value in as_solar(solar).items() if ".soa" not in name}
    with pytest.raises(
        DataError, match=r"as 'solar' it does not fit the network: \d+ missing .* backbone\.soa3\."
    ):
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
