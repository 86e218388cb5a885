"""Size policies against the published table, and augmentation as a function of its generator."""

import colorsys
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from vitret.core.errors import UserError
from vitret.core.recipes import ImagePolicy
from vitret.core.records import Images
from vitret.learn.augment import augment, check_policy, load, plain, target_size, turned
from vitret.learn.loading import TrainImages, batches, collate, image_sizes, plan_places


@pytest.mark.parametrize(
    ("ratio", "expected"),
    [
        (0.5, (352, 512)),
        (0.67, (384, 512)),
        (0.76, (384, 512)),
        (0.77, (448, 448)),
        (1.32, (448, 448)),
        (1.33, (512, 384)),
        (1.5, (512, 352)),
        (3.0, (512, 352)),
    ],
)
def test_groups_are_those_of_the_published_table(ratio: float, expected: tuple[int, int]):
    """Set "S2" of the 2019 landmark recipe: height/width bounds 0.67, 0.77, 1.33, 1.5."""
    policy = ImagePolicy(policy="groups", size=448)
    assert target_size(policy, 1000, round(1000 * ratio), 16) == expected


def test_group_sizes_scale_and_stay_multiples_of_the_patch():
    policy = ImagePolicy(policy="groups", size=96)
    sizes = [target_size(policy, 100, h, 16) for h in (50, 70, 100, 140, 200)]
    assert sizes == [(80, 112), (80, 112), (96, 96), (112, 80), (112, 80)]


def test_longer_never_enlarges():
    policy = ImagePolicy(policy="longer", size=362)
    assert target_size(policy, 1024, 768, 1) == (272, 362)
    assert target_size(policy, 100, 50, 1) == (50, 100)
    assert target_size(policy, 100, 50, 16) == (48, 96)


def test_a_square_that_patches_do_not_fill_is_refused_with_the_next_one():
    with pytest.raises(UserError, match="size=96"):
        check_policy(ImagePolicy(size=100), 16)


@pytest.fixture
def images(tmp_path: Path) -> Images:
    generator = np.random.default_rng(0)
    for i, size in enumerate([(60, 40), (40, 60), (50, 50), (90, 30)]):
        noise = generator.integers(0, 255, (size[1], size[0], 3), dtype=np.uint8)
        Image.fromarray(noise).resize(size).save(tmp_path / f"{i}.jpg", quality=95)
    return Images.of(tmp_path, [f"{i}.jpg" for i in range(4)])


STRONG = ImagePolicy(size=32, crop_area=(0.3, 1.0), brightness=0.3, contrast=0.3, saturation=0.3, erase=0.5)


def test_augmentation_is_a_function_of_its_generator(images: Images):
    image = load(images.file(0), STRONG, box=None, patch=16)
    before = image.clone()
    one, again, other = (augment(image, STRONG, np.random.default_rng(seed), patch=16) for seed in (0, 0, 1))
    assert torch.equal(one, again)
    assert not torch.equal(one, other)
    assert one.shape == (3, 32, 32)
    assert one.dtype == torch.uint8
    assert torch.equal(image, before)


def test_without_chance_augmentation_is_the_plain_image(images: Images):
    policy = ImagePolicy(size=32, flip=False)
    image = load(images.file(0), policy, box=None, patch=16)
    augmented = augment(image, policy, np.random.default_rng(0), patch=16)
    assert torch.equal(augmented, plain(image, policy, patch=16))


def test_a_crop_of_fixed_size_is_cut_from_the_resized_square(images: Images):
    policy = ImagePolicy(size=32, resize=40, flip=False)
    image = load(images.file(0), policy, box=None, patch=16)
    assert image.shape == (3, 40, 40)
    crop = augment(image, policy, np.random.default_rng(0), patch=16)
    windows = image.unfold(1, 32, 1).unfold(2, 32, 1)
    assert (windows == crop[:, None, None]).flatten(3).all(-1).all(0).any()
    assert torch.equal(plain(image, policy, patch=16), image[:, 4:36, 4:36])


def test_recolouring_is_brightness_then_contrast_then_saturation():
    image = torch.from_numpy(np.random.default_rng(0).integers(60, 190, (3, 8, 8), dtype=np.uint8))
    policy = ImagePolicy(size=8, flip=False, brightness=0.2, contrast=0.3, saturation=0.4)
    generator = np.random.default_rng(5)
    brightness, contrast, saturation = (generator.uniform(1 - s, 1 + s) for s in (0.2, 0.3, 0.4))
    luma = torch.tensor([0.299, 0.587, 0.114], dtype=torch.float64).view(3, 1, 1)
    values = image.double() * brightness
    mean = (values * luma).sum(0).mean()
    values = mean + contrast * (values - mean)
    grey = (values * luma).sum(0)
    values = grey + saturation * (values - grey)
    expected = values.round().clamp(0, 255)
    found = augment(image, policy, np.random.default_rng(5), patch=1).double()
    assert (found - expected).abs().max() <= 1  # a half may round either way


def test_recolouring_keeps_grey_grey_and_moves_the_mean():
    grey = torch.full((3, 8, 8), 100, dtype=torch.uint8)
    policy = ImagePolicy(size=8, flip=False, brightness=0.5, saturation=0.5)
    bright = augment(grey, policy, np.random.default_rng(3), patch=1)
    assert bright.unique().numel() == 1
    assert bright.unique().item() != 100


def test_images_kept_in_memory_give_the_same_pixels(images: Images):
    reading, keeping = (TrainImages(images, STRONG, seed=5, patch=16) for _ in range(2))
    assert keeping.keep(2)
    for row in range(4):
        assert torch.equal(reading[(row, 1, 2, 3)], keeping[(row, 1, 2, 3)])
        assert torch.equal(reading[(row, -1, 0, 0)], keeping[(row, -1, 0, 0)])
    assert not TrainImages(images, STRONG, seed=5, patch=16).keep(1, most=10_000)


def test_pixels_do_not_depend_on_the_number_of_workers(images: Images):
    dataset = TrainImages(images, STRONG, seed=5, patch=16)
    plan = np.array([[0, 1], [2, 3], [3, 0]], np.int64)
    found = [
        list(batches(dataset, plan_places(plan, 0, 0, slice(0, 2)), workers=w, device=torch.device("cpu")))
        for w in (0, 1)
    ]
    assert len(found[0]) == 3
    for a, b in zip(*found, strict=True):
        assert torch.equal(a.parts[0][1], b.parts[0][1])


def test_a_plan_goes_on_in_its_middle():
    plan = np.arange(6, dtype=np.int64).reshape(3, 2)
    whole = list(plan_places(plan, 1, 0, slice(0, 2)))
    assert list(plan_places(plan, 1, 2, slice(0, 2))) == whole[2:]


def test_batches_part_by_size_and_split():
    small, large = torch.zeros(3, 2, 2), torch.ones(3, 4, 4)
    batch = collate([small, large, small])
    assert [places.tolist() for places, _ in batch.parts] == [[0, 2], [1]]
    assert [places.tolist() for places, _ in batch.split(3).parts] == [[0], [2], [1]]


def test_image_sizes_are_those_of_the_boxes_where_there_are_any(images: Images):
    assert image_sizes(images)[3].tolist() == [90, 30]
    boxes = np.full((4, 4), np.nan)
    boxes[3] = [10, 5, 30, 25]
    boxed = Images(root=images.root, paths=images.paths, boxes=boxes)
    assert image_sizes(boxed).tolist() == [[60, 40], [40, 60], [50, 50], [20, 20]]
    boxes[:] = [[50, 10, 90, 30], [-9, -9, 10, 99], [0, 0, 50, 50], [10, 5, 30, 25]]
    over = Images(root=images.root, paths=images.paths, boxes=boxes)
    # As the pixels that training sees: a box is cut to its image first.
    assert image_sizes(over).tolist() == [[10, 20], [10, 60], [50, 50], [20, 20]]
    policy = ImagePolicy(policy="longer", size=1000)
    seen = [load(over.file(i), policy, box=over.box(i), patch=1).shape[:0:-1] for i in range(4)]
    assert [list(size) for size in seen] == image_sizes(over).tolist()


def test_a_square_crop_is_as_large_as_the_shorter_side_and_lies_anywhere():
    # SOLAR ae0682a, traindataset.py: a random square of the shorter side, then resized.
    policy = ImagePolicy(policy="square", size=8, square_crop=True, flip=False, interpolation="bilinear")
    image = torch.arange(24, dtype=torch.uint8).repeat(3, 8, 1)  # each column has its number
    starts = set()
    for seed in range(60):
        seen = augment(image, policy, np.random.default_rng(seed), patch=1)
        assert seen.shape == (3, 8, 8)
        assert (seen[:, :, 1:].int() - seen[:, :, :-1].int() == 1).all()  # not squeezed
        starts.add(int(seen[0, 0, 0]))
    assert min(starts) == 0
    assert max(starts) == 16
    assert plain(image, policy, patch=1)[0, 0].tolist() == list(range(8, 16))


def test_mining_sees_smaller_squares():
    policy = ImagePolicy(policy="square", size=12, square_crop=True, mining_size=4, flip=False)
    image = torch.zeros(3, 12, 20, dtype=torch.uint8)
    assert plain(image, policy, patch=1).shape == (3, 4, 4)
    assert augment(image, policy, np.random.default_rng(0), patch=1).shape == (3, 12, 12)
    with pytest.raises(UserError, match=r"mining_size 4 is no multiple"):
        check_policy(policy, 3)


@pytest.mark.parametrize("changes", [{"policy": "longer"}, {"policy": "square", "crop_area": (0.5, 1.0)}])
def test_a_square_crop_goes_with_squares_and_with_no_other_crop(changes):
    with pytest.raises(ValueError, match="square_crop"):
        ImagePolicy(square_crop=True, **changes)


def test_hues_turn_as_in_hsv():
    pixels = torch.randint(0, 256, (3, 5, 7), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))
    seen = turned(pixels, 0.1)
    for y in range(5):
        for x in range(7):
            h, s, v = colorsys.rgb_to_hsv(*(pixels[:, y, x] / 255).tolist())
            wanted = [255 * c for c in colorsys.hsv_to_rgb((h + 0.1) % 1, s, v)]
            assert seen[:, y, x].tolist() == pytest.approx(wanted, abs=0.51)


def test_colours_change_as_often_as_the_policy_says():
    policy = ImagePolicy(size=2, flip=False, hue=0.5, brightness=0.4, recolour=0.8)
    image = torch.tensor([[[200, 10], [90, 60]]] * 2 + [[[5, 250], [0, 77]]], dtype=torch.uint8)
    kept = sum(
        torch.equal(augment(image, policy, np.random.default_rng(seed), patch=1), image)
        for seed in range(400)
    )
    assert 50 < kept < 110  # 80 expected


def test_what_came_later_leaves_older_policies_who_they_were():
    assert not {"hue", "recolour", "square_crop", "mining_size"} & ImagePolicy().model_dump().keys()
