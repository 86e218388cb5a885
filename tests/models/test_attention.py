import pytest
import torch

from vitret.core.errors import UserError
from vitret.models.attention import (
    CrossAttention,
    SecondOrderAttention,
    SpatialAttention,
    WindowAttention,
    heads_for,
)


def test_cross_attention_equals_a_plain_loop():
    torch.manual_seed(0)
    layer = CrossAttention(6, heads=2)
    q_rows, others = torch.randn(1, 2, 6), torch.randn(1, 4, 6)
    q, k, v = layer.q(q_rows)[0], layer.k(others)[0], layer.v(others)[0]
    mixed = torch.zeros(2, 6)
    for head in range(2):
        part = slice(3 * head, 3 * head + 3)
        weights = (q[:, part] @ k[:, part].T / 3**0.5).softmax(dim=-1)
        mixed[:, part] = weights @ v[:, part]
    assert torch.allclose(layer(q_rows, others)[0], layer.proj(mixed), atol=1e-6)


def touched(layer, height, width, place):
    """Places whose output depends on the input at `place`."""
    x = torch.randn(1, height, width, 4, requires_grad=True)
    found = []
    for i in range(height):
        for j in range(width):
            (gradient,) = torch.autograd.grad(layer(x)[0, i, j].sum(), x)
            if gradient[0, place[0], place[1]].abs().sum() > 0:
                found.append((i, j))
    return found


def test_a_window_sees_itself_alone():
    layer = WindowAttention(4, heads=1, window=2)
    assert touched(layer, 4, 4, (0, 0)) == [(0, 0), (0, 1), (1, 0), (1, 1)]


def test_a_shifted_window_crosses_the_border_but_not_the_rim():
    layer = WindowAttention(4, heads=1, window=2, shift=1)
    assert touched(layer, 4, 4, (1, 1)) == [(1, 1), (1, 2), (2, 1), (2, 2)]
    assert touched(layer, 4, 4, (0, 0)) == [(0, 0)]  # the corner travels round and must not meet the others


@pytest.mark.parametrize(("h", "w"), [(3, 5), (7, 7), (8, 9), (1, 2)])
@pytest.mark.parametrize("shift", [0, 3])
def test_padding_is_never_seen(h, w, shift):
    torch.manual_seed(0)
    layer = WindowAttention(8, heads=2, window=7, shift=shift)
    x = torch.randn(2, h, w, 8)
    y = layer(x)
    assert y.shape == x.shape
    torch.nn.init.constant_(layer.qkv.bias, 5.0)  # padding is now far from zero after the projection
    alone = torch.stack([layer(row[None])[0] for row in x])
    assert torch.allclose(layer(x), alone, atol=1e-5)


def test_one_window_over_the_whole_map_ignores_the_shift():
    torch.manual_seed(0)
    plain, shifted = WindowAttention(4, heads=1, window=7), WindowAttention(4, heads=1, window=7, shift=3)
    shifted.load_state_dict(plain.state_dict())
    x = torch.randn(1, 5, 6, 4)
    assert torch.equal(plain(x), shifted(x))


def test_padded_window_equals_attention_over_the_real_places():
    torch.manual_seed(0)
    layer = WindowAttention(4, heads=1, window=4)
    with torch.no_grad():
        layer.position_bias.zero_()
    x = torch.randn(1, 2, 3, 4)
    q, k, v = layer.qkv(x.view(6, 4)).chunk(3, dim=-1)
    expected = layer.proj((q @ k.T / 2).softmax(dim=-1) @ v)
    assert torch.allclose(layer(x).reshape(6, 4), expected, atol=1e-6)


def test_second_order_attention_starts_as_the_identity():
    x = torch.randn(2, 8, 3, 4)
    assert torch.equal(SecondOrderAttention(8, reduction=2)(x), x)


def test_spatial_attention_is_a_positive_score_times_a_unit_vector():
    y = SpatialAttention(6, 5).eval()(torch.randn(2, 6, 3, 4))
    assert y.shape == (2, 5, 3, 4)
    assert (y.norm(dim=1) > 0).all()


def test_heads_that_do_not_divide_are_refused_with_the_possible_ones():
    with pytest.raises(UserError, match=r"Possible: \[1, 2, 5, 10\]"):
        heads_for(10, 3, "here")
