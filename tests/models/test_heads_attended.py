"""DOLG, DALG-R, SOLAR, GLAM and Token: shapes, switches, and formulas written out once more."""

import pytest
import torch

from vitret.core.errors import UserError
from vitret.models.heads import dalg, dolg, glam, glam_gated, solar, token
from vitret.models.tokens import Tokens


def tokens_of(*shapes, batch=2):
    torch.manual_seed(0)
    grids = tuple(torch.rand(batch, *shape) for shape in shapes)
    return Tokens(prefix=tuple(g.new_zeros(batch, 0, g.shape[1]) for g in grids), grids=grids)


def count(module):
    return sum(p.numel() for p in module.parameters())


def test_dolg_is_the_formula_of_its_code():
    torch.manual_seed(1)
    head = dolg.build((6, 8), dim=5).eval()
    seen = tokens_of((6, 4, 6), (8, 2, 3))
    fine, coarse = seen.grids
    attention = head.localmodel
    u = attention.bn(attention.conv1(fine))
    local = torch.nn.functional.softplus(attention.conv2(u.relu())) * u / u.norm(dim=1, keepdim=True)
    whole = head.fc_t(coarse.clamp(min=1e-6).pow(3).mean(dim=(2, 3)).pow(1 / 3))
    rows = []
    for i in range(2):
        rest = torch.zeros(6)
        for y in range(4):
            for x in range(6):
                f = local[i, :, y, x]
                rest += f - (f @ whole[i]) / (whole[i] @ whole[i]) * whole[i]
        rows.append(head.fc(torch.cat([whole[i], rest / 24])))
    assert torch.allclose(head(seen), torch.stack(rows), atol=1e-5)


def test_dolg_at_full_size_has_the_published_layers():
    with torch.device("meta"):
        head = dolg.build((1024, 2048))
    assert head.fc_t.weight.shape == (1024, 2048)
    assert head.fc.weight.shape == (512, 2048)
    assert head.localmodel.conv1.weight.shape == (1024, 1024, 1, 1)
    assert head.p.requires_grad  # a parameter in the code, and optimised with the rest


def test_dolg_with_its_front_end():
    head = dolg.build((8, 16), dim=5, multi_atrous=True)
    assert [tuple(layer.dilation) for layer in head.atrous.aspp] == [(1, 1), (6, 6), (12, 12), (18, 18)]
    assert head(tokens_of((8, 4, 6), (16, 2, 3))).shape == (2, 5)


@pytest.mark.parametrize("part", [dolg, dalg])
def test_two_maps_are_needed(part):
    with pytest.raises(UserError, match="layers: 2"):
        part.build((64,))


@pytest.mark.parametrize("fusion", dalg.CHOICES["fusion"])
@pytest.mark.parametrize("output", ["concat", "query"])
@pytest.mark.parametrize(("blocks", "attend"), [(2, True), (0, True), (1, False)])
def test_dalg_switches(fusion, output, blocks, attend):
    head = dalg.build(
        (32, 64), dim=10, fusion=fusion, output=output, local_blocks=blocks, spatial_attention=attend, window=3,
        fusion_width=16, fusion_heads=2,
    )  # fmt: skip
    tokens = tokens_of((32, 5, 7), (64, 3, 4))
    rows = head.eval()(tokens)
    assert rows.shape == (2, 10)
    assert len(head.levels) == {"cross1": 1, "cross2": 2}.get(fusion, 0)
    fine, deep = tokens.grids
    assert torch.equal(rows, head(Tokens(prefix=tokens.prefix, grids=(fine + 1, deep)))) == (fusion == "none")
    assert not torch.equal(rows, head(Tokens(prefix=tokens.prefix, grids=(fine, deep + 1))))


@pytest.mark.parametrize("pool", dalg.CHOICES["global_pool"])
def test_dalg_global_poolings(pool):
    head = dalg.build((32, 64), dim=10, global_pool=pool, fusion="none", fusion_width=16).eval()
    tokens = tokens_of((32, 5, 7), (64, 3, 4))
    rows = head(tokens)
    fine, deep = tokens.grids
    moved = head(Tokens(prefix=tokens.prefix, grids=(fine, deep.flip(2))))
    assert torch.allclose(moved, rows, atol=1e-5)  # no pooling knows where a place is
    assert not torch.allclose(head(Tokens(prefix=tokens.prefix, grids=(fine, deep**2))), rows, atol=1e-3)


def test_dalg_shifts_every_second_block():
    head = dalg.build((32, 64), local_blocks=4, fusion_width=16, fusion_heads=2)
    assert [block.attn.shift for block in head.local_branch.blocks] == [0, 3, 0, 3]


def test_dalg_at_full_size_uses_swin_s_heads():
    with torch.device("meta"):
        head = dalg.build((384, 768))
    assert head.local_branch.blocks[0].attn.heads == 12
    assert head.dim == 512


def test_dalg_query_that_sees_no_local_branch_is_the_global_vector():
    torch.manual_seed(0)
    head = dalg.build(
        (32, 64), dim=10, fusion="cross1", output="query", fusion_width=16, fusion_heads=2
    ).eval()
    for level in head.levels:
        torch.nn.init.zeros_(level.attn.proj.weight)
        torch.nn.init.zeros_(level.attn.proj.bias)
        torch.nn.init.zeros_(level.mlp.fc2.weight)
        torch.nn.init.zeros_(level.mlp.fc2.bias)
    seen = tokens_of((32, 5, 7), (64, 3, 4))
    pooled = seen.grids[1].pow(3).mean(dim=(2, 3)).pow(1 / 3)
    assert torch.allclose(head(seen), head.fc(head.global_fc(pooled)), atol=1e-5)


def test_solar_starts_as_whitened_gem():
    head = solar.build((8,)).eval()
    seen = tokens_of((8, 3, 4))
    pooled = seen.grids[0].pow(3).mean(dim=(2, 3)).pow(1 / 3)
    expected = head.fc(torch.nn.functional.normalize(pooled, dim=1))
    assert torch.allclose(head(seen), expected, atol=1e-5)


@pytest.mark.parametrize("part", [glam, glam_gated])
@pytest.mark.parametrize("local", ["off", "channel", "spatial", "both"])
@pytest.mark.parametrize("whole", ["off", "channel", "spatial", "both"])
def test_glam_switches(part, local, whole):
    head = part.build((16,), dim=6, local=local, whole=whole)
    assert head(tokens_of((16, 3, 4))).shape == (2, 6)
    assert (head.mix is None) == (local == whole == "off")


def test_glam_fusion_weights_start_equal():
    head = glam.build((16,))
    assert torch.softmax(head.mix, 0).tolist() == pytest.approx([1 / 3] * 3)


def glam_by_its_text(head, F):
    """Song, Han and Avrithis, WACV 2022, section 3, one image and one number at a time; before the linear layer."""
    c, h, w = F.shape
    places = [(y, x) for y in range(h) for x in range(w)]

    def conv1d(layer, means):
        weight, reach = layer.weight[0, 0], layer.weight.shape[2] // 2
        row = []
        for i in range(c):
            total = layer.bias[0]
            for j in range(-reach, reach + 1):
                if 0 <= i + j < c:
                    total = total + weight[reach + j] * means[i + j]
            row.append(total)
        return torch.stack(row)

    def conv1x1(layer, at):
        return layer.weight[:, :, 0, 0] @ at + layer.bias

    def dilated(layer, seen, y, x, d):
        total = layer.bias.clone()
        for dy in (-1, 0, 1):
            for dx in (-1, 0, 1):
                if 0 <= y + d * dy < h and 0 <= x + d * dx < w:
                    total = total + layer.weight[:, :, dy + 1, dx + 1] @ seen[:, y + d * dy, x + d * dx]
        return total

    means = F.sum(dim=(1, 2)) / (h * w)
    # Equations 1 and 2: local channel and local spatial attention, both from F.
    A = conv1d(head.local_channel.conv, means).sigmoid()
    spatial = head.local_spatial
    reduced = torch.stack([conv1x1(spatial.reduce, F[:, y, x]) for y, x in places], dim=1).view(-1, h, w)
    As = torch.zeros(h, w, dtype=F.dtype)
    for y, x in places:
        seen = [dilated(layer, reduced, y, x, d) for layer, d in zip(spatial.dilated, (1, 2, 3), strict=True)]
        joined = torch.cat([*seen, conv1x1(spatial.point, reduced[:, y, x])])
        assert len(joined) == 4 * len(reduced)
        As[y, x] = conv1x1(spatial.out, joined)
    Flc = F * A[:, None, None] + F
    Fl = Flc * As + Flc
    # Equations 3 and 4: global channel attention, a softmax over channels.
    q = conv1d(head.global_channel.q, means).sigmoid()
    k = conv1d(head.global_channel.k, means).sigmoid()
    Gc = torch.zeros_like(F)
    for j in range(c):
        share = torch.exp(k * q[j]) / torch.exp(k * q[j]).sum()
        Gc[j] = sum(share[i] * F[i] for i in range(c))
    # Equation 5: global spatial attention, a softmax over places, without a scale.
    block = head.global_spatial
    Q, K, V = ([conv1x1(layer, F[:, y, x]) for y, x in places] for layer in (block.q, block.k, block.v))
    Gs = torch.zeros_like(F)
    for j, (y, x) in enumerate(places):
        scores = torch.stack([torch.exp(K[i] @ Q[j]) for i in range(h * w)])
        Gs[:, y, x] = conv1x1(block.out, sum(s / scores.sum() * v for s, v in zip(scores, V, strict=True)))
    # Equation 6, and 7: fusion by a softmax of three scalars.
    Fgc = F * Gc
    Fg = Fgc * Gs + Fgc
    a, b, g = torch.exp(head.mix) / torch.exp(head.mix).sum()
    fused = a * F + b * Fl + g * Fg
    return fused.clamp(min=1e-6).pow(head.p).mean(dim=(1, 2)).pow(1 / head.p)


def random_glam(part, **options):
    torch.manual_seed(0)
    head = part.build((6,), dim=5, inner=2, **options).eval()
    with torch.no_grad():
        for parameter in head.parameters():
            parameter.uniform_(-1, 1)
        head.p.fill_(3.0)
    return head


def test_glam_is_its_text_to_the_last_digits():
    head = random_glam(glam).double()
    seen = tokens_of((6, 4, 5))
    seen = Tokens(prefix=seen.prefix, grids=tuple(g.double() for g in seen.grids))
    pooled = torch.stack([glam_by_its_text(head, grid) for grid in seen.grids[0]])
    assert torch.allclose(head(seen), head.bn(head.fc(pooled)), rtol=1e-10, atol=1e-10)


def test_glam_computes_every_attention_from_the_map_itself():
    head, grid = random_glam(glam), tokens_of((6, 4, 5)).grids[0]
    channel = grid * head.local_channel(grid) + grid
    assert torch.allclose(head.local_stream(grid), channel * head.local_spatial(grid) + channel)
    bare = grid * head.global_channel(grid)
    assert torch.allclose(head.global_stream(grid), bare * head.global_spatial(grid) + bare)


def test_glams_global_channel_stream_squares_the_map():
    # Without residual and sigmoid, as the text says: twice the map with the same weights of channels is four times it.
    head = random_glam(glam, local="off", whole="channel")
    for layer in (head.global_channel.q, head.global_channel.k):
        torch.nn.init.zeros_(layer.weight)
    grid = tokens_of((6, 4, 5)).grids[0]
    assert torch.allclose(head.global_stream(2 * grid), 4 * head.global_stream(grid))


def test_glams_dilations_are_the_texts_and_the_captions_on_demand():
    assert [m.dilation[0] for m in glam.build((16,)).local_spatial.dilated] == [1, 2, 3]
    head = glam.build((16,), dilations=(1, 3, 5))
    assert [m.dilation[0] for m in head.local_spatial.dilated] == [1, 3, 5]
    assert head(tokens_of((16, 3, 4))).shape == (2, 512)


def test_the_gated_form_is_four_gates_written_out():
    head = random_glam(glam_gated)  # the last convolution of the global spatial gate would start at zero
    seen = tokens_of((6, 2, 3))
    grid = seen.grids[0]
    local = grid * head.local_channel(grid) + grid
    local = local * head.local_spatial(local) + local
    means, mixed = grid.mean(dim=(2, 3)), torch.zeros_like(grid)
    for i in range(2):
        q = head.global_channel.q(means[i][None, None]).sigmoid()[0, 0]
        k = head.global_channel.k(means[i][None, None]).sigmoid()[0, 0]
        for c in range(6):
            share = (k * q[c]).softmax(dim=0)
            mixed[i, c] = sum(share[other] * grid[i, other] for other in range(6))
    whole = grid * mixed.sigmoid() + grid
    soa = head.global_spatial.soa
    y = torch.zeros_like(whole)
    q, k, v = soa.f(whole), soa.g(whole), soa.h(whole)
    for i in range(2):
        for place in range(6):
            at = (i, slice(None), place // 3, place % 3)
            scores = torch.stack([q[at] @ k[i, :, p // 3, p % 3] for p in range(6)]) / q.shape[1] ** 0.5
            held = sum(w * v[i, :, p // 3, p % 3] for p, w in enumerate(scores.softmax(dim=0)))
            y[at] = soa.v.weight[:, :, 0, 0] @ held + soa.v.bias
    whole = whole * y.sigmoid() + whole
    share = head.mix.softmax(dim=0)
    mixture = share[0] * grid + share[1] * local + share[2] * whole
    pooled = mixture.clamp(min=1e-6).pow(3).mean(dim=(2, 3)).pow(1 / 3)
    assert torch.allclose(head(seen), head.bn(head.fc(pooled)), atol=1e-4)


@pytest.mark.parametrize("whole", ["channel", "spatial", "both"])
def test_no_stream_of_the_gated_form_outgrows_its_map(whole):
    # One gate at most doubles a value, two at most quadruple it, whatever the size of the map: nothing is squared.
    head = glam_gated.build((8,), dim=4, local="off", whole=whole).eval()
    gates = [gate for gate in (head.global_channel, head.global_spatial) if gate is not None]
    grid = 1000 * tokens_of((8, 3, 4)).grids[0]
    assert (glam_gated.gated(grid, *gates) <= 2 ** len(gates) * grid).all()


def test_glam_drops_between_the_linear_layer_and_batch_normalisation():
    head = glam.build((8,), dim=4, dropout=1.0, batch_norm=False)
    assert head.train()(tokens_of((8, 3, 4))).eq(0).all()  # before the layer, its bias would be left


def test_token_shares_every_place_among_the_words():
    torch.manual_seed(0)
    head = token.build((8,), dim=5, inner=6, words=3, heads=2, enhance=0, refine=0).eval()
    seen = tokens_of((8, 2, 3))
    places = head.conv(seen.grids[0]).flatten(2).transpose(1, 2)
    words = torch.zeros(2, 3, 6)
    for i in range(2):
        for place in places[i]:
            share = (head.query[0] @ place).softmax(dim=0)
            words[i] += share[:, None] * place
    assert torch.allclose(head(seen), head.proj(head.token_norm(words).flatten(1)), atol=1e-5)


def test_token_at_full_size_has_the_published_layers():
    with torch.device("meta"):
        head = token.build((2048,))
    assert head.query.shape == (1, 4, 1024)
    assert head.proj[0].weight.shape == (1024, 4096)
    assert len(head.encoder) == 1
    assert len(head.decoder) == 2
