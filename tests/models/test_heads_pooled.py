"""Heads without a network of their own, against sums written out by hand."""

import math

import pytest
import torch

from vitret.models.heads import crow, linear, mac, regional_gem, rmac, spoc, superglobal
from vitret.models.tokens import Tokens

# Two channels, 2 x 2; the second is the colder one.
GRID = torch.tensor([[[[4.0, 0.0], [0.0, 0.0]], [[1.0, 1.0], [-3.0, 1.0]]]])


def pooled(head, grid=GRID):
    return head(Tokens(prefix=(grid.new_zeros(len(grid), 0, grid.shape[1]),), grids=(grid,)))


def test_mac():
    assert pooled(mac.build((2,))).tolist() == [[4.0, 1.0]]
    assert pooled(mac.build((2,)), -GRID).tolist() == [[0.0, 3.0]]
    assert pooled(mac.build((2,), rectify=False), -GRID - 1).tolist() == [[-1.0, 2.0]]


def test_spoc():
    assert pooled(spoc.build((2,))).tolist() == [[1.0, 0.75]]
    assert pooled(spoc.build((2,), rectify=False)).tolist() == [[1.0, 0.0]]


def test_the_centring_prior_is_symmetric_and_greatest_in_the_middle():
    weights = spoc.centre_prior(5, 7)
    assert torch.allclose(weights, weights.flip(0, 1))
    assert weights.sum().item() == pytest.approx(1.0)
    assert weights.argmax().item() == 2 * 7 + 3


def test_crow_weighs_rare_channels_more_and_strong_places_more():
    spatial = crow.spatial_weights(torch.relu(GRID), a=2.0, b=2.0)[0]
    scale = math.sqrt(5**2 + 1 + 1)  # activations per place: 5, 1, 0, 1
    assert spatial[0, 0].item() == pytest.approx(math.sqrt(5 / scale))
    channel = crow.channel_weights(torch.relu(GRID))[0]
    assert channel[0].item() == pytest.approx(math.log((0.25 + 0.75) / 0.25), abs=1e-4)
    assert channel[1].item() == pytest.approx(math.log((0.25 + 0.75) / 0.75), abs=1e-4)
    assert pooled(crow.build((2,)))[0, 0].item() == pytest.approx(
        4 * spatial[0, 0].item() * channel[0].item(), abs=1e-3
    )


def test_crow_gives_a_dead_channel_no_weight():
    dead = torch.cat([GRID, -torch.ones(1, 1, 2, 2)], dim=1)
    assert pooled(crow.build((3,)), dead)[0, 2].item() == 0.0


def test_rmac_adds_unit_vectors_of_regions():
    # Levels 1 on a square map: the whole map twice (once as itself, once as the one region of side 2).
    one = pooled(rmac.build((2,), levels=1))
    whole = torch.tensor([[4.0, 1.0]]) / math.sqrt(17)
    assert torch.allclose(one, 2 * whole)


def test_regional_gem_without_whitening_at_a_large_power_is_near_rmac():
    grid = torch.rand(2, 6, 7, 9) + 0.5
    near = pooled(regional_gem.build((6,), p=200.0), grid)
    exact = pooled(rmac.build((6,)), grid)
    assert torch.allclose(near, exact, rtol=0.05)


@pytest.mark.parametrize(("h", "w"), [(1, 1), (2, 5), (9, 3)])
def test_regional_heads_take_any_map(h, w):
    grid = torch.rand(2, 6, h, w)
    assert pooled(rmac.build((6,)), grid).shape == (2, 6)
    assert pooled(regional_gem.build((6,), whiten=True), grid).shape == (2, 6)


def test_superglobal_is_its_formula():
    # Shao et al., ICCV 2023, equations of regional GeM (p = 2.5, 5 x 5, mirrored border) and GeM+ (p = 4.6).
    torch.manual_seed(0)
    head, grid = superglobal.build((3,), dim=4), torch.rand(1, 3, 5, 6)

    def mirrored(place, length):
        return abs(place) if place < length else 2 * (length - 1) - place

    mixed = torch.zeros(3, 5, 6)
    for y in range(5):
        for x in range(6):
            total = torch.zeros(3)
            for dy in range(-2, 3):
                for dx in range(-2, 3):
                    total += grid[0, :, mirrored(y + dy, 5), mirrored(x + dx, 6)].pow(2.5)
            mixed[:, y, x] = 0.5 * (total / 25).pow(1 / 2.5) + 0.5 * grid[0, :, y, x]
    whole = mixed.pow(4.6).mean(dim=(1, 2)).pow(1 / 4.6)
    assert torch.allclose(pooled(head, grid), head.fc(whole / whole.norm())[None], atol=1e-6)


def test_superglobal_without_its_regions_is_gem_of_a_large_power():
    grid = torch.rand(2, 3, 4, 4)
    whole = grid.pow(4.6).mean(dim=(2, 3)).pow(1 / 4.6)
    expected = whole / whole.norm(dim=1, keepdim=True)
    assert torch.allclose(pooled(superglobal.build((3,), share=0.0), grid), expected, atol=1e-5)


@pytest.mark.parametrize(("h", "w"), [(1, 1), (2, 7), (3, 3)])
def test_superglobal_takes_maps_that_cannot_be_mirrored(h, w):
    assert torch.isfinite(pooled(superglobal.build((6,)), torch.rand(2, 6, h, w))).all()


def test_regional_gem_of_gem_r_w_ends_in_a_layer_on_the_unit_sum():
    torch.manual_seed(0)
    head = regional_gem.build((6,), whiten=True, last=True)
    grid = torch.rand(2, 6, 7, 9)
    layer, head.fc = head.fc, None
    summed = pooled(head, grid)
    head.fc = layer
    assert torch.allclose(pooled(head, grid), layer(summed / summed.norm(dim=1, keepdim=True)), atol=1e-5)


def test_linear_starts_as_its_bases_descriptor_and_then_is_a_map_of_it():
    head = linear.build((2,), base="spoc")
    unit = torch.tensor([[1.0, 0.75]]) / 1.25
    assert torch.allclose(pooled(head), unit)
    with torch.no_grad():
        head.linear.weight.copy_(torch.tensor([[0.0, 2.0], [1.0, 0.0]]))
        head.linear.bias.fill_(1.0)
    assert torch.allclose(pooled(head), unit.flip(1) * torch.tensor([[2.0, 1.0]]) + 1)


def test_linear_to_fewer_dimensions_starts_as_an_orthogonal_projection():
    torch.manual_seed(0)
    head = linear.build((8,), base={"name": "spoc", "rectify": False}, dim=3, bias=False)
    assert head.dim == 3
    assert torch.allclose(head.linear.weight @ head.linear.weight.T, torch.eye(3), atol=1e-6)
