import math

import pytest
import torch

from vitret.core import plugins
from vitret.core.errors import UserError
from vitret.models.backbones import timm_model
from vitret.models.vision_transformer import (
    Blocks,
    DistanceAttention,
    DropPath,
    PatchStem,
    VisionTransformer,
    resized_positions,
    sincos_grid,
)


def small(**options):
    blocks = Blocks(width=24, depth=3, heads=2)
    return VisionTransformer(blocks, stem=PatchStem(24, patch=8), patch=8, grid=(4, 4), **options).eval()


@pytest.mark.parametrize("size", [(32, 32), (24, 56)])
@pytest.mark.parametrize("norm", ["shared_final", "none"])
def test_equals_timm_at_native_and_other_sizes(size, norm):
    torch.manual_seed(0)
    theirs = timm_model.build(
        arch="vit_tiny_patch16_224", pretrained=False, layers=2, norm=norm, img_size=32,
        arch_options={"patch_size": 8, "embed_dim": 24, "depth": 3, "num_heads": 2},
    ).eval()  # fmt: skip
    ours = small(layers=2, norm=norm)
    assert ours.load_state_dict(theirs.model.state_dict(), strict=False).missing_keys == []
    images = torch.randn(2, 3, *size)
    a, b = ours(images), theirs(images)
    for mine, other in zip((*a.prefix, *a.grids), (*b.prefix, *b.grids), strict=True):
        assert torch.allclose(mine, other, atol=1e-5)


def test_positions_stay_at_the_native_grid_and_the_class_token_everywhere():
    stored = torch.randn(1, 1 + 12, 8)
    assert resized_positions(stored, (3, 4), (3, 4)) is stored
    other = resized_positions(stored, (3, 4), (5, 2))
    assert other.shape == (1, 11, 8)
    assert torch.equal(other[:, 0], stored[:, 0])


def test_resizing_the_transposed_grid_is_the_transpose_of_the_resize():
    table = torch.randn(1, 12, 8)
    turned = table.view(1, 3, 4, 8).transpose(1, 2).reshape(1, 12, 8)
    straight = resized_positions(table, (3, 4), (5, 7)).view(1, 5, 7, 8)
    assert torch.allclose(
        resized_positions(turned, (4, 3), (7, 5)).view(1, 7, 5, 8).transpose(1, 2), straight, atol=1e-5
    )


def test_sine_cosine_positions_equal_timms_on_a_square_grid():
    # irt.md 5.4: timm's builder with interleaving equals MoCo v3's table to 0.0.
    from timm.layers import build_sincos2d_pos_embed

    theirs = build_sincos2d_pos_embed([7, 7], 32, interleave_sin_cos=True)
    assert torch.allclose(sincos_grid(7, 7, 32), theirs, atol=1e-6)


def test_distance_attention_is_softmax_of_minus_squared_distance():
    torch.manual_seed(0)
    layer = DistanceAttention(6, heads=2, qkv_bias=True)
    x = torch.randn(1, 5, 6)
    q, v = layer.qk(x)[0], layer.v(x)[0]
    mixed = torch.zeros(5, 6)
    for head in range(2):
        part = slice(3 * head, 3 * head + 3)
        for i in range(5):
            score = torch.stack([-((q[i, part] - q[j, part]) ** 2).sum() / math.sqrt(3) for j in range(5)])
            mixed[i, part] = score.softmax(0) @ v[:, part]
    assert torch.allclose(layer(x)[0], layer.proj(mixed), atol=1e-5)


def test_overlap_adds_a_rim_to_each_patch():
    images = torch.randn(1, 3, 32, 48)
    plain, wider = PatchStem(8, patch=8), PatchStem(8, patch=8, overlap=2)
    with torch.no_grad():
        wider.proj.weight.zero_()
        wider.proj.weight[:, :, 2:10, 2:10] = plain.proj.weight
        wider.proj.bias.copy_(plain.proj.bias)
    assert torch.allclose(wider(images), plain(images), atol=1e-5)
    with torch.no_grad():
        wider.proj.weight[:, :, :2].fill_(1.0)
    # Two rows above the second row of patches belong to its rim.
    assert torch.allclose(
        (wider(images) - plain(images))[0, 0, 1, 1], images[0, :, 6:8, 6:18].sum(), atol=1e-4
    )


def test_drop_path_keeps_the_mean_and_leaves_eval_alone():
    torch.manual_seed(0)
    x = torch.ones(4000, 1, 1)
    assert DropPath(0.25).train()(x).mean().item() == pytest.approx(1.0, abs=0.05)
    assert torch.equal(DropPath(0.25).eval()(x), x)


def test_a_side_that_is_no_multiple_is_refused():
    with pytest.raises(UserError, match="multiples of 8"):
        small()(torch.randn(1, 3, 32, 33))


def test_layers_out_of_range_are_refused():
    with pytest.raises(UserError, match="3 blocks"):
        small(layers=4)


def test_mocov3_freezes_its_patches_and_positions():
    model = plugins.build("backbones", "mocov3_vit", width=24, depth=2, heads=2, img_size=32)
    assert not model.patch_embed.proj.weight.requires_grad
    assert not model.pos_embed.requires_grad
    assert model.patch_embed.proj.weight.abs().max() <= math.sqrt(6 / (3 * 256 + 24))
    assert model.pos_embed[0, 0].abs().max() == 0
    free = plugins.build("backbones", "mocov3_vit", width=24, depth=2, heads=2, freeze_patches=False)
    assert free.patch_embed.proj.weight.requires_grad


def test_mocov3_draws_query_key_and_value_as_three_matrices():
    # Its code: uniform within sqrt(6 / (D + D)); as one matrix of 3 D outputs the bound would be sqrt(6 / (4 D)).
    torch.manual_seed(0)
    model = plugins.build("backbones", "mocov3_vit", arch="vit_small", depth=2)
    for block in model.blocks:
        assert math.sqrt(6 / (4 * 384)) < block.attn.qkv.weight.abs().max() <= math.sqrt(6 / (2 * 384))
        assert block.attn.proj.weight.abs().max() <= math.sqrt(6 / (2 * 384))


def test_mocov3_small_has_twelve_heads():
    with torch.device("meta"):
        model = plugins.build("backbones", "mocov3_vit", arch="vit_small")
    assert model.blocks[0].attn.heads == 12
