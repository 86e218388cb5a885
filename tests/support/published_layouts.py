"""Networks for published layouts, and the projects' building blocks as plain functions of a state dict."""

import math

import torch
from torch.nn import functional as fn

from vitret.core.networks import ModelSpec, Part
from vitret.models.foreign.fill import fill
from vitret.models.model import build_model

IMAGES = torch.randn(2, 3, 64, 96, generator=torch.Generator().manual_seed(0))
DEPTHS = (1, 2, 1, 1)
RESNET = {"arch": "resnet26", "pretrained": False, "width": 8, "depths": DEPTHS, "attend": []}


TIMM_VIT = {"embed_dim": 16, "depth": 2, "num_heads": 2}
SQUARE = IMAGES[:, :, :, :64]


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
