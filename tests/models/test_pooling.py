import math

import pytest
import torch

from vitret.models.pooling import generalised_mean, orthogonal_part, regions


def test_gem_is_the_mean_at_one_and_near_the_maximum_at_a_large_power():
    grid = torch.rand(2, 3, 4, 5) + 0.1
    assert torch.allclose(generalised_mean(grid, 1.0), grid.mean(dim=(2, 3)))
    assert torch.allclose(generalised_mean(grid, torch.tensor([100.0])), grid.amax(dim=(2, 3)), rtol=0.05)


def test_gem_with_one_power_per_channel():
    grid = torch.rand(1, 2, 3, 3) + 0.1
    both = generalised_mean(grid, torch.tensor([1.0, 3.0]))
    assert torch.allclose(both[0, 0], grid[0, 0].mean())
    assert torch.allclose(both[0, 1], grid[0, 1].pow(3).mean().pow(1 / 3))


def naive_regions(height, width, levels, overlap):
    """R-MAC's regions in the order of the published description, in torch's float32 as cirtorch computes them."""
    w = min(height, width)
    steps = torch.tensor([2.0, 3, 4, 5, 6, 7])
    b = (max(height, width) - w) / (steps - 1)
    index = int(torch.min(((w * w - w * b) / w**2 - overlap).abs(), 0).indices)
    down = index + 1 if height > width else 0
    across = index + 1 if width > height else 0
    found = []
    for level in range(1, levels + 1):
        side = math.floor(2 * w / (level + 1))
        half = math.floor(side / 2 - 1)
        places = []
        for length, count in ((height, level + down), (width, level + across)):
            gap = 0 if count == 1 else (length - side) / (count - 1)
            places.append((torch.floor(half + torch.arange(float(count)) * gap) - half).int().tolist())
        if side:
            found += [(top, left, side) for top in places[0] for left in places[1]]
    return found


@pytest.mark.parametrize("h", [1, 2, 3, 5, 7, 11, 24, 32, 33])
@pytest.mark.parametrize("w", [1, 2, 3, 6, 7, 9, 23, 32, 40, 47])
def test_regions_are_cirtorchs(h, w):
    assert regions(h, w, levels=3, overlap=0.4) == naive_regions(h, w, 3, 0.4)
    assert regions(w, h, levels=3, overlap=0.4) == naive_regions(w, h, 3, 0.4)


def test_centres_are_rounded_down_and_not_towards_zero():
    # Side 1 of a 1 x 2 map: half is -1, the centres lie at -1, -0.5 and 0; cirtorch floors, so -0.5 becomes -1.
    assert [left for _, left, _ in regions(1, 2, levels=1, overlap=0.4)] == [0, 0, 1]


def test_a_grid_of_five_by_nine_ties_as_in_cirtorch():
    # With one extra region neighbours overlap by 0.2, with two by 0.6: both miss 0.4 by 0.2, and float32 decides.
    assert regions(5, 9, levels=1, overlap=0.4) == [(0, 0, 5), (0, 4, 5)]


@pytest.mark.parametrize(("h", "w"), [(1, 1), (1, 5), (2, 3), (3, 1)])
def test_regions_of_tiny_maps_lie_inside(h, w):
    for top, left, side in regions(h, w, levels=3, overlap=0.4):
        assert side >= 1
        assert 0 <= top <= h - side
        assert 0 <= left <= w - side


def test_the_orthogonal_part_has_no_share_along_the_direction():
    local, direction = torch.randn(2, 5, 3, 4), torch.randn(2, 5)
    rest = orthogonal_part(local, direction)
    assert (rest * direction[:, :, None, None]).sum(dim=1).abs().max() < 1e-5
    assert torch.allclose(orthogonal_part(local, 7 * direction), rest, atol=1e-5)
