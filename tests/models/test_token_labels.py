import pytest
import torch

from vitret.core.errors import DataError
from vitret.models.backbones import lvvit
from vitret.models.token_labels import (
    LabelLogits,
    class_targets,
    classifier_in,
    label_maps,
    mix_box,
    patch_targets,
    token_label_loss,
)


def test_maps_hold_the_best_classes_of_every_place():
    torch.manual_seed(0)
    grid, weight, bias = torch.randn(2, 4, 3, 5), torch.randn(7, 4), torch.randn(7)
    maps = label_maps(grid, weight, bias, k=3)
    assert maps.shape == (2, 2, 3, 3, 5)
    scores = weight @ grid[1, :, 2, 4] + bias
    assert maps[1, 1, 0, 2, 4].item() == scores.argmax().item()
    assert torch.allclose(maps[1, 0, :, 2, 4], scores.sort(descending=True).values[:3])  # before the softmax


def painted():
    """A map of 2 x 2 places of the classes 0 1 / 2 3, all certain."""
    maps = torch.zeros(1, 2, 1, 2, 2)
    maps[0, 0], maps[0, 1] = 1.0, torch.tensor([[0.0, 1.0], [2.0, 3.0]])
    return maps


def test_targets_at_the_maps_own_size():
    assert patch_targets(painted(), classes=4, size=(2, 2)).argmax(-1)[0].tolist() == [[0, 1], [2, 3]]


def test_targets_of_a_crop_and_of_its_mirror():
    right = torch.tensor([[0.5, 0.0, 1.0, 1.0]])
    assert patch_targets(painted(), classes=4, size=(2, 1), boxes=right).argmax(-1)[0].tolist() == [[1], [3]]
    mirrored = patch_targets(painted(), classes=4, size=(2, 2), flipped=torch.tensor([True]))
    assert mirrored.argmax(-1)[0].tolist() == [[1, 0], [3, 2]]


def test_the_softmax_comes_after_alignment_and_unlisted_classes_score_zero():
    maps = 2.0 * painted()
    maps[:, 1] = painted()[:, 1]
    targets = patch_targets(maps, classes=4, size=(2, 2))
    assert targets[0, 0, 0].tolist() == pytest.approx((torch.tensor([2.0, 0, 0, 0])).softmax(0).tolist())
    # In the middle of all four places each class scores a quarter of 2: scores are mixed, not probabilities.
    middle = patch_targets(maps, classes=5, size=(1, 1))
    assert middle[0, 0, 0].tolist() == pytest.approx(
        torch.tensor([0.5, 0.5, 0.5, 0.5, 0]).softmax(0).tolist()
    )


def test_the_class_tokens_target_is_the_machines_label_of_the_crop():
    maps = 2.0 * painted()
    maps[:, 1] = painted()[:, 1]
    whole = class_targets(maps, classes=4)
    assert whole[0].tolist() == pytest.approx([0.25] * 4)
    lower_right = class_targets(maps, classes=4, boxes=torch.tensor([[0.75, 0.75, 1.0, 1.0]]))
    assert lower_right[0].tolist() == pytest.approx(torch.tensor([0.0, 0, 0, 2]).softmax(0).tolist())


def test_the_loss_takes_soft_labels_of_images_and_mixes_them():
    torch.manual_seed(0)
    logits = LabelLogits(image=torch.randn(2, 3), patches=torch.randn(2, 4, 4, 3), box=(0, 0, 2, 2))
    labels, patches = torch.tensor([0, 2]), torch.rand(2, 4, 4, 3).softmax(-1)
    soft = torch.nn.functional.one_hot(labels, 3).float()
    given = token_label_loss(logits, soft, patches, smoothing=0.0)
    assert given.item() == pytest.approx(
        token_label_loss(logits, labels, patches, smoothing=0.0).item(), abs=1e-6
    )


def test_the_loss_by_hand():
    torch.manual_seed(0)
    logits = LabelLogits(image=torch.randn(2, 3), patches=torch.randn(2, 4, 4, 3), box=(0, 0, 2, 2))
    labels = torch.tensor([0, 2])
    patches = torch.rand(2, 4, 4, 3).softmax(-1)
    log = logits.image.log_softmax(-1)
    image = sum(-(0.75 * log[i, labels[i]] + 0.25 * log[i, labels[1 - i]]) for i in range(2)) / 2
    dense = 0.0
    for i in range(2):
        for y in range(4):
            for x in range(4):
                dense -= (patches[i, y, x] * logits.patches[i, y, x].log_softmax(0)).sum() / 32
    found = token_label_loss(logits, labels, patches, patch_weight=0.5, smoothing=0.0)
    assert found.item() == pytest.approx((image + 0.5 * dense).item(), abs=1e-5)


def test_lvvit_learns_labels_of_tokens_with_mixing():
    torch.manual_seed(0)
    model = lvvit.build(
        arch="lvvit_t", width=24, depth=2, heads=2, channels=8, img_size=64, classes=4
    ).train()
    images, labels = torch.randn(4, 3, 64, 64), torch.tensor([0, 1, 2, 3])
    maps = torch.zeros(4, 2, 1, 2, 2)
    maps[:, 0], maps[:, 1] = 1.0, labels.view(4, 1, 1, 1).float()
    targets = patch_targets(maps, classes=4, size=(4, 4))
    generator = torch.Generator().manual_seed(0)
    optimiser = torch.optim.AdamW(model.parameters(), lr=3e-3)
    losses = []
    for _ in range(20):
        box = mix_box(4, 4, generator=generator)
        loss = token_label_loss(model.label_logits(images, box=box), labels, targets)
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        losses.append(loss.item())
    assert sum(losses[-5:]) < 0.8 * sum(losses[:5])


def test_the_classifier_is_found_in_a_checkpoint():
    weight, bias = classifier_in({"fc.weight": torch.zeros(5, 8), "fc.bias": torch.ones(5)}, width=8)
    assert (weight.shape, bias.tolist()) == ((5, 8), [1.0] * 5)
    with pytest.raises(DataError, match="8 channels"):
        classifier_in({"fc.weight": torch.zeros(5, 6)}, width=8)


def test_maps_from_the_real_classifiers_of_the_shared_weights(shared):
    """Any classifier of timm's serves; here those whose weights lie beside the checkout."""
    from vitret.models.backbones import timm_model

    files = sorted((shared / "weights").glob("*vit_tiny*"))
    if not files:
        pytest.skip("no ViT-Ti weights in ../shared/data/weights")
    state = timm_model.read_state(files[0])
    backbone = timm_model.build(arch="vit_tiny_patch16_224", weights=str(files[0])).eval()
    weight, bias = classifier_in(state, width=backbone.widths[-1])
    with torch.no_grad():
        maps = label_maps(backbone(torch.randn(1, 3, 64, 96)).grids[0], weight, bias)
    assert maps.shape == (1, 2, 5, 4, 6)
    assert (maps[:, 1] < len(bias)).all()
