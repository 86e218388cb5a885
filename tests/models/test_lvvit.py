"""Parameter counts of the LV-ViT paper (arXiv 2104.10858), which the authors' code reproduces: irt.md 5.2."""

import pytest
import torch

from vitret.models.backbones import conv_stem_vit, lvvit
from vitret.models.token_labels import mix_box


# The paper's smallest L works at 448; its stored positions make the difference to 150.02 at 224.
@pytest.mark.parametrize(
    ("arch", "side", "millions"), [("t", 224, 8.53), ("s", 224, 26.15), ("m", 224, 55.83), ("l", 448, 150.47)]
)
def test_parameters_with_both_classifiers(arch, side, millions):
    with torch.device("meta"):
        model = lvvit.build(arch=f"lvvit_{arch}", classes=1000, img_size=side)
    assert round(sum(p.numel() for p in model.parameters()) / 1e6, 2) == millions


def small(**options):
    torch.manual_seed(0)
    given = {
        "arch": "lvvit_t",
        "width": 24,
        "depth": 2,
        "heads": 2,
        "channels": 4,
        "img_size": 64,
        "classes": 5,
    }
    return lvvit.build(**{**given, **options})


def test_mix_token_puts_the_dense_answers_back():
    model = small(depth=1)
    images = torch.randn(2, 3, 64, 96)
    with torch.no_grad():  # without attention every token answers for itself
        model.blocks[0].attn.proj.weight.zero_()
        model.pos_embed.zero_()
    model.eval()
    plain = model.label_logits(images)
    mixed = model.label_logits(images, box=(1, 2, 3, 5))
    assert plain.patches.shape == (2, 4, 6, 5)
    assert torch.allclose(plain.patches, mixed.patches, atol=1e-5)
    assert plain.partner_share == 0.0
    assert mixed.partner_share == pytest.approx(6 / 24)


def test_the_mixed_image_is_made_of_tokens_after_the_stem():
    model = small().eval()
    images = torch.randn(2, 3, 64, 64)
    grid = model.embed(images)
    grid[:, :, 0:2, 1:4] = grid.flip(0)[:, :, 0:2, 1:4].clone()
    expected = model.head(model.encode(grid).prefix[-1][:, 0])
    assert torch.allclose(model.label_logits(images, box=(0, 1, 2, 4)).image, expected, atol=1e-5)


def test_boxes_lie_on_the_grid_and_depend_on_the_generator_alone():
    generator = torch.Generator().manual_seed(1)
    boxes = [mix_box(6, 9, generator=generator) for _ in range(200)]
    assert all(0 <= t <= b <= 6 and 0 <= x0 <= x1 <= 9 for t, x0, b, x1 in boxes)
    again = torch.Generator().manual_seed(1)
    assert boxes == [mix_box(6, 9, generator=again) for _ in range(200)]


def test_the_residual_constant_divides_the_branches():
    one, three = small(arch="lvvit_t"), small(arch="lvvit_l", channels=4)
    three.load_state_dict(one.state_dict())
    x = torch.randn(1, 7, 24)
    block, scaled = one.blocks[0].eval(), three.blocks[0].eval()
    branch = block.attn(block.norm1(x))
    after = x + branch / 3
    assert torch.allclose(scaled(x), after + block.mlp(block.norm2(after)) / 3, atol=1e-6)


def test_the_conv_stem_alone_has_neither_norm_nor_relu():
    stem = conv_stem_vit.build(
        width=24, depth=1, heads=2, channels=4, batch_norm=False, relu=False
    ).patch_embed
    images = torch.randn(1, 3, 32, 32)
    assert torch.allclose(
        stem(-images) + stem(images), 2 * stem(0 * images), atol=1e-4
    )  # affine in its input
