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
    """R-MAC's regions in the order of the published description, one number at a time."""
    w = min(height, width)
    candidates = []
    for steps in (2, 3, 4, 5, 6, 7):
        b = (max(height, width) - w) / (steps - 1)
        candidates.append(abs((w * w - w * b) / (w * w) - overlap))
    index = candidates.index(min(candidates))
    down = index + 1 if height > width else 0
    across = index + 1 if width > height else 0
    found = []
    for level in range(1, levels + 1):
        side = int(2 * w / (level + 1))
        half = int(side / 2 - 1)
        count_y, count_x = level + down, level + across
        gap_y = 0 if count_y == 1 else (height - side) / (count_y - 1)
        gap_x = 0 if count_x == 1 else (width - side) / (count_x - 1)
        for i in range(count_y):
            for j in range(count_x):
                found.append((int(half + i * gap_y) - half, int(half + j * gap_x) - half, side))
    return found


@pytest.mark.parametrize(("h", "w"), [(7, 7), (24, 32), (32, 24), (16, 40), (5, 6)])
def test_regions_follow_the_description(h, w):
    assert regions(h, w, levels=3, overlap=0.4) == naive_regions(h, w, 3, 0.4)


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
