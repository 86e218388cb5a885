import pytest
import torch

from vitret.models.locality import AtrousPyramid, EnhancedLocality, InvertedResidual, WaveBlock


@pytest.mark.parametrize("height", [1, 3, 10, 22])
def test_waveblock_scales_all_rows_but_one_stripe(height):
    rows = WaveBlock().train()(torch.ones(2, 3, height, 4))
    assert int((rows[0, 0, :, 0] == 1.5).sum()) == height - round(0.3 * height)
    assert torch.equal(rows[0], rows[1])  # the same stripe for the whole batch
    kept = (rows[0, 0, :, 0] == 1.0).nonzero().flatten()
    assert len(kept) == 0 or int(kept[-1] - kept[0]) == len(kept) - 1


def test_waveblock_does_nothing_in_eval():
    x = torch.randn(2, 3, 6, 4)
    assert torch.equal(WaveBlock().eval()(x), x)


def test_waveblock_draws_from_the_seeded_generator():
    x = torch.ones(1, 1, 20, 1)
    block = WaveBlock().train()
    torch.manual_seed(3)
    first = block(x)
    torch.manual_seed(3)
    assert torch.equal(first, block(x))


@pytest.mark.parametrize("place", ["off", "pre_irb", "pre_aspp", "post_aspp"])
def test_the_place_of_waveblock_is_where_the_map_is_scaled(place):
    module = EnhancedLocality(4, parts="", expansion=2, aspp_width=4, dilations=(1,), waveblock=place).train()
    y = module(torch.ones(1, 4, 10, 2))
    assert bool((y == 1.5).any()) == (place != "off")


def reached(module, at, size=(11, 11)):
    """Places (row, column) whose output changes with the one at `at`, all weights being positive."""
    with torch.no_grad():
        for parameter in module.parameters():
            parameter.fill_(0.3)
        module.eval()
        x = torch.zeros(1, 2, *size)
        before = module(x)
        x[0, :, *at] = 0.5
        return {tuple(place) for place in (module(x) != before)[0].any(dim=0).nonzero().tolist()}


def test_the_inverted_residual_sees_three_by_three_places():
    seen = reached(InvertedResidual(2, expansion=2), (5, 5))
    assert seen == {(5 + u, 5 + v) for u in (-1, 0, 1) for v in (-1, 0, 1)}


def test_the_pyramid_sees_at_its_dilations_and_through_its_pooling_everywhere():
    pyramid = AtrousPyramid(2, width=4, dilations=(2, 5))
    assert len(reached(pyramid, (5, 5))) == 11 * 11
    pyramid.pool.register_forward_hook(lambda _, __, y: torch.zeros_like(y))
    wanted = {(5 + d * u, 5 + d * v) for d in (2, 5) for u in (-1, 0, 1) for v in (-1, 0, 1)}
    assert reached(pyramid, (5, 5)) == wanted


def test_the_pyramid_has_no_bias_before_a_norm():
    biased = [
        n
        for n, _ in AtrousPyramid(6, width=4, dilations=(6, 12)).named_parameters()
        if n.endswith("conv.bias")
    ]
    assert biased == []
