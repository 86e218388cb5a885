"""DToP's parameter counts were computed from the layer tables of the project's notes (dtop.md 2.4-2.7, timm 1.0.31)."""

import numpy as np
import pytest
import torch

from vitret.core.errors import UserError
from vitret.core.networks import ModelSpec
from vitret.models.heads import dtop
from vitret.models.model import build_model
from vitret.models.tokens import Tokens


def tokens_of(layers, width, h, w, prefix=1, batch=2, seed=0):
    generator = torch.Generator().manual_seed(seed)
    return Tokens(
        prefix=tuple(torch.randn(batch, prefix, width, generator=generator) for _ in range(layers)),
        grids=tuple(torch.randn(batch, width, h, w, generator=generator) for _ in range(layers)),
    )


def count(module):
    return sum(p.numel() for p in module.parameters())


def full_size(**options):
    with torch.device("meta"):
        return dtop.build((768,) * 6, **options)


def test_the_descriptor_is_as_wide_as_two_tokens():
    assert full_size().dim == 1536


def test_global_branch_counts():
    assert count(full_size().global_branch) == 7_079_424
    assert count(full_size(global_form="layer_mix").global_branch) == 1_181_191


def test_local_branch_counts():
    local = full_size().local_branch
    assert count(local.reduce) == 3_539_712
    assert count(local.fc) == 1_181_184


@pytest.mark.parametrize(("expansion", "parameters"), [(2, 2_380_800), (4, 4_760_064), (6, 7_139_328)])
def test_inverted_residual_counts(expansion, parameters):
    assert count(full_size(expansion=expansion).local_branch.elm.irb) == parameters


@pytest.mark.parametrize(
    ("width", "parameters"), [(256, 6_229_760), (384, 9_590_016), (768, 20_653_824), (1536, 47_205_120)]
)
def test_pyramid_counts(width, parameters):
    assert count(full_size(aspp_width=width).local_branch.elm.aspp) == parameters


def test_fusion_counts():
    head = full_size().head
    assert count(head.fc) == 4_720_128
    assert count(head.bn) == 2 * 1536


def test_parameter_names_are_those_a_later_official_release_could_be_mapped_to():
    names = set(dict(full_size().named_parameters()))
    assert {
        "global_branch.fc.weight",
        "local_branch.reduce.weight",
        "local_branch.elm.irb.expand.conv.weight",
        "local_branch.elm.irb.dw.bn.weight",
        "local_branch.elm.irb.project.conv.weight",
        "local_branch.elm.aspp.branch0.conv.weight",
        "local_branch.elm.aspp.branch3.bn.bias",
        "local_branch.elm.aspp.pool.conv.weight",
        "local_branch.elm.aspp.proj.conv.weight",
        "local_branch.elm.aspp.out.bias",
        "local_branch.fc.bias",
        "head.fc.weight",
        "head.bn.weight",
    } <= names


def test_a_map_of_one_colour_gives_the_same_at_every_size():
    """The five token grids of group-size sampling, dtop.md 2.9; the locality module sees the zeros at the rim."""
    head = dtop.build((24,) * 3, locality="off").eval()
    small = tokens_of(3, 24, 1, 1)
    wanted = head(small)
    for h, w in [(22, 32), (24, 32), (28, 28), (32, 24), (32, 22)]:
        grids = tuple(grid.expand(-1, -1, h, w) for grid in small.grids)
        assert torch.allclose(head(Tokens(prefix=small.prefix, grids=grids)), wanted, atol=1e-5)


@pytest.mark.parametrize("branches", ["both", "global", "local"])
@pytest.mark.parametrize("locality", ["irb+aspp", "irb", "aspp", "off"])
@pytest.mark.parametrize("fusion", ["fc", "concat"])
def test_switches(branches, locality, fusion):
    head = dtop.build((16,) * 2, branches=branches, locality=locality, fusion=fusion, aspp_width=8, dim=20)
    assert head.dim == (40 if (branches, fusion) == ("both", "concat") else 20)
    one, other = tokens_of(2, 16, 3, 5), tokens_of(2, 16, 3, 5, seed=1)
    rows = head.eval()(one)
    assert rows.shape == (2, head.dim)
    # Class tokens matter to the global branch alone, maps to the local one.
    same = torch.equal(rows, head(Tokens(prefix=other.prefix, grids=one.grids)))
    assert same == (branches == "local")
    same = torch.equal(rows, head(Tokens(prefix=one.prefix, grids=other.grids)))
    assert same == (branches == "global")


@pytest.mark.parametrize(
    "options",
    [
        {"global_form": "layer_mix"},
        {"reduce": "layer_mix"},
        {"norm_tokens": "per_layer"},
        {"pool": "gem"},
        {"residual": False},
        {"global_tokens": "mean"},
        {"dilations": (1, 2, 3)},
    ],
)
def test_with_open_choices_an_image_does_not_see_its_batch(options):
    head = dtop.build((16,) * 2, aspp_width=8, **options).eval()
    both = tokens_of(2, 16, 4, 3)
    rows = head(both)
    for i in range(2):
        alone = head(
            Tokens(
                prefix=tuple(x[i : i + 1] for x in both.prefix), grids=tuple(x[i : i + 1] for x in both.grids)
            )
        )
        assert torch.allclose(alone, rows[i : i + 1], atol=1e-5)
    assert not torch.allclose(rows[0], rows[1], atol=1e-3)


# ---- the whole head once more, in loops, from dtop.md 2.4 to 2.7 -----------------------------------------------------


def looped_conv(x, conv, *, dilation=1, depthwise=False):
    """x (B, C, h, w), zeros around it."""
    weight = conv.weight.detach().numpy()
    size, (batch, _, h, w) = weight.shape[-1], x.shape
    y = np.zeros((batch, len(weight), h, w))
    for b, o, i, j, u, v in np.ndindex(*y.shape, size, size):
        row, column = i + dilation * (u - size // 2), j + dilation * (v - size // 2)
        if 0 <= row < h and 0 <= column < w:
            inputs = [o] if depthwise else range(x.shape[1])
            y[b, o, i, j] += sum(weight[o, n, u, v] * x[b, c, row, column] for n, c in enumerate(inputs))
    return y if conv.bias is None else y + conv.bias.detach().numpy()[:, None, None]


def looped_norm(x, norm):
    """Each channel of x (B, C, …) minus its mean over the batch, over its deviation; scaled and shifted."""
    y = np.empty_like(x)
    for c in range(x.shape[1]):
        values = x[:, c]
        mean = sum(values.flat) / values.size
        variance = sum((v - mean) ** 2 for v in values.flat) / values.size
        y[:, c] = (values - mean) / np.sqrt(variance + 1e-5) * norm.weight[c].item() + norm.bias[c].item()
    return y


def looped_linear(x, layer):
    weight, bias = layer.weight.detach().numpy(), layer.bias.detach().numpy()
    y = np.zeros((len(x), len(weight)))
    for b, o in np.ndindex(*y.shape):
        y[b, o] = sum(weight[o, i] * x[b][i] for i in range(len(x[b]))) + bias[o]
    return y


def test_the_head_is_its_formula_in_training():
    torch.manual_seed(0)
    head = dtop.build((3, 3), dim=4, expansion=2, aspp_width=2, dilations=(1, 2)).double().train()
    for norm in (m for m in head.modules() if isinstance(m, torch.nn.BatchNorm1d | torch.nn.BatchNorm2d)):
        torch.nn.init.normal_(norm.weight)
        torch.nn.init.normal_(norm.bias)
    tokens = tokens_of(2, 3, 6, 5, batch=3)
    tokens = Tokens(
        prefix=tuple(x.double() for x in tokens.prefix), grids=tuple(x.double() for x in tokens.grids)
    )
    local, relu = head.local_branch, lambda x: np.maximum(x, 0)

    def layer(x, module, activation, **options):
        return activation(looped_norm(looped_conv(x, module.conv, **options), module.bn))

    # 2.4: W vec(F_c) + b, layer after layer
    first, second = (x[:, 0].tolist() for x in tokens.prefix)
    u_c = looped_linear([first[b] + second[b] for b in range(3)], head.global_branch.fc)
    # 2.5: the k maps on channels, 1x1 to D
    y = looped_conv(np.concatenate([x.numpy() for x in tokens.grids], axis=1), local.reduce)
    # 2.6: inverted residual without a skip of its own
    irb = local.elm.irb
    x = layer(y, irb.expand, lambda v: np.minimum(relu(v), 6))
    x = layer(x, irb.dw, lambda v: np.minimum(relu(v), 6), depthwise=True)
    x = layer(x, irb.project, lambda v: v)
    # WaveBlock: round(0.3 · 6) = 2 rows stay, the others times 1.5
    torch.manual_seed(1)
    start = int(torch.randint(0, 5, ()))
    for row in range(6):
        if row not in (start, start + 1):
            x[:, :, row] *= 1.5
    aspp = local.elm.aspp
    branches = [
        layer(x, aspp.branch0, relu),
        layer(x, aspp.branch1, relu, dilation=1),
        layer(x, aspp.branch2, relu, dilation=2),
    ]
    means = np.array([[[[sum(channel.flat) / 30]] for channel in one] for one in x])
    branches.append(np.broadcast_to(layer(means, aspp.pool, relu), (3, 2, 6, 5)))
    x = looped_conv(layer(np.concatenate(branches, axis=1), aspp.proj, relu), aspp.out)
    # 2.5 again: Y + ELM(Y), average over places, FC; 2.7: side by side, FC, batch norm
    u_p = looped_linear([[sum(channel.flat) / 30 for channel in one] for one in y + x], local.fc)
    both = [[*u_c[b], *u_p[b]] for b in range(3)]
    expected = looped_norm(looped_linear(both, head.head.fc), head.head.bn)
    torch.manual_seed(1)
    assert np.allclose(head(tokens).detach().numpy(), expected, atol=1e-10)


def test_without_dynamic_positions_a_network_takes_its_own_size_alone():
    fixed = {"name": "timm_model", "arch": "test_vit", "pretrained": False, "img_size": 32}
    fixed["arch_options"] = {"dynamic_img_size": False}
    model = build_model(
        ModelSpec.model_validate({"backbone": fixed, "head": {"name": "dtop", "aspp_width": 8}})
    )
    assert model.eval()(torch.zeros(1, 3, 32, 32)).shape == (1, 128)
    with pytest.raises(UserError, match="not 48×32"):
        model(torch.zeros(1, 3, 48, 32))


def test_layer_mix_adds_one_weight_per_layer_and_a_bias():
    local = dtop.build((16,) * 5, reduce="layer_mix", aspp_width=8).local_branch
    assert count(local.reduce) == 6


def test_a_painted_token_stays_at_its_place_in_the_local_branch():
    head = dtop.build((4,) * 2, branches="local", locality="off")
    grids = torch.zeros(1, 2, 4, 5, 7)
    grids[:, :, :, 3, 6] = 1.0
    reduced = head.local_branch.reduce(grids.flatten(1, 2))
    changed = (reduced - reduced[:, :, :1, :1]).abs().sum(dim=(0, 1)) > 0
    assert changed.nonzero().tolist() == [[3, 6]]


def test_without_a_class_token_the_error_names_the_option():
    with pytest.raises(UserError, match="global_tokens: mean"):
        dtop.build((16,) * 2, aspp_width=8)(tokens_of(2, 16, 3, 3, prefix=0))


def test_layers_of_different_widths_are_refused():
    with pytest.raises(UserError, match="layers: 1"):
        dtop.build((16, 32))


def test_an_unknown_choice_lists_the_known_ones():
    with pytest.raises(UserError, match=r"locality.*irb\+aspp, irb, aspp, off"):
        dtop.build((16,), locality="elm")
