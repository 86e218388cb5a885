"""From an image file to the uint8 tensor a training step sees: size policies and augmentation.

Three policies. `square` squeezes the whole image, or a crop of it, into one square; with `square_crop` the crop is a
square as large as the image's shorter side, as SOLAR's code cuts it. `groups` keeps the shape in
five aspect-ratio groups (Yokoo et al., "Two-stage Discriminative Re-ranking", 2020, set "S2"; used by GLAM).
`longer` keeps the aspect and bounds the longer side, as cnnimageretrieval-pytorch does.

Everything random comes from a generator the caller makes for one place of the plan.
"""

import math
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from vitret.core.errors import UserError
from vitret.core.recipes import ImagePolicy
from vitret.core.records import Int64
from vitret.data.boxes import Box
from vitret.data.images import decode

# Set "S2": heights over widths that part the groups, and the (width, height) each is resized to.
GROUP_BOUNDS = (0.67, 0.77, 1.33, 1.5)
GROUP_SIZES = ((512, 352), (512, 384), (448, 448), (384, 512), (352, 512))
_GROUP_MIDDLE = 448

# Share of the area and aspect of an erased rectangle: Zhong et al., "Random Erasing", AAAI 2020.
_ERASE_AREA, _ERASE_ASPECT = (0.02, 0.33), (0.3, 3.3)


# Luma of ITU-R BT.601, which "grey" means in every image library.
_LUMA = torch.tensor([0.299, 0.587, 0.114])


def aspect_groups(sizes: Int64) -> Int64:
    """Group 0…4 of each image from its (width, height) in the first two columns of (n, ≥2).

    >>> aspect_groups(np.array([[300, 200], [400, 300], [300, 400], [200, 300]])).tolist()
    [0, 1, 3, 4]
    """
    return np.searchsorted(np.array(GROUP_BOUNDS), sizes[:, 1] / sizes[:, 0], side="right").astype(np.int64)


def check_policy(policy: ImagePolicy, patch: int) -> None:
    """Refuse a square that does not divide into patches; the other policies round their sides."""
    for name in ("size", "mining_size"):
        side = getattr(policy, name)
        if policy.policy == "square" and side is not None and side % patch:
            near = max(patch, round(side / patch) * patch)
            raise UserError(
                f"image {name} {side} is no multiple of the backbone's patch of {patch} pixels. "
                f"Take `--set track.image.{name}={near}`."
            )


def target_size(policy: ImagePolicy, width: int, height: int, patch: int) -> tuple[int, int]:
    """(height, width) that an image of this size is resized to; groups other than 448 scale the table.

    >>> target_size(ImagePolicy(policy="groups", size=448), 300, 200, 16)
    (352, 512)
    >>> target_size(ImagePolicy(policy="longer", size=224), 640, 480, 16)
    (176, 224)
    """
    if policy.policy == "square":
        return policy.size, policy.size
    if policy.policy == "groups":
        group = int(aspect_groups(np.array([[width, height]]))[0])
        scale = policy.size / _GROUP_MIDDLE
        w, h = (side * scale for side in GROUP_SIZES[group])
    else:
        scale = min(1.0, policy.size / max(width, height))  # never enlarged, as in the public code
        w, h = width * scale, height * scale
    return _multiple(h, patch), _multiple(w, patch)


def _multiple(side: float, patch: int) -> int:
    """The nearest multiple, halves up, at least one."""
    return max(patch, math.floor(side / patch + 0.5) * patch)


def load(path: Path, policy: ImagePolicy, *, box: Box | None, patch: int) -> Tensor:
    """Everything before chance: decode, and resize where the policy's crop is of fixed scale; (3, H, W) uint8.

    What this returns may be kept in memory, for `augment` starts from it. JPEGs much larger than needed are decoded
    at 1/2, 1/4 or 1/8.
    """
    # The smallest random crop must still have the pixels of the target.
    wanted = math.ceil((policy.resize or _longest(policy)) / math.sqrt(min(policy.crop_area)))
    pixels = decode(path, box=box, draft=(wanted, wanted))
    # Some decoders give read-only memory, which torch will not wrap.
    image = torch.from_numpy(np.require(pixels, requirements="W")).permute(2, 0, 1)
    if random_crop(policy):
        return image
    height, width = image.shape[1:]
    size = target_size(policy, width, height, patch)
    if policy.policy == "square" and policy.resize is not None:
        size = policy.resize, policy.resize
    return _resize(image, size, policy)


def random_crop(policy: ImagePolicy) -> bool:
    """Whether the crop is cut before resizing: its scale is random, or it depends on the image's shape."""
    return policy.crop_area != (1.0, 1.0) or bool(policy.square_crop)


def _longest(policy: ImagePolicy) -> int:
    return math.ceil(policy.size * 512 / _GROUP_MIDDLE) if policy.policy == "groups" else policy.size


def plain(image: Tensor, policy: ImagePolicy, *, patch: int) -> Tensor:
    """What `load` gave, as validation and mining see it, without chance.

    A centre crop where training crops a fixed size or a square of the shorter side; at `mining_size` if there is one.
    """
    if policy.mining_size is not None:
        seen = plain(image, policy.model_copy(update={"mining_size": None}), patch=patch)
        return _resize(seen, (policy.mining_size, policy.mining_size), policy)
    height, width = image.shape[1:]
    if policy.square_crop:
        side = min(height, width)
        top, left = (height - side) // 2, (width - side) // 2
        image = image[:, top : top + side, left : left + side]
        return _resize(image, target_size(policy, side, side, patch), policy)
    if random_crop(policy):
        return _resize(image, target_size(policy, width, height, patch), policy)
    if policy.policy == "square" and policy.resize is not None:
        top = left = (policy.resize - policy.size) // 2
        return image[:, top : top + policy.size, left : left + policy.size].contiguous()
    return image


def augment(image: Tensor, policy: ImagePolicy, generator: np.random.Generator, *, patch: int) -> Tensor:
    """What `load` gave, cropped, flipped, recoloured and erased by chance; (3, H, W) uint8."""
    if random_crop(policy):
        height, width = image.shape[1:]
        size = target_size(policy, width, height, patch)
        crop = _crop_of_side if policy.square_crop else _crop_of_area
        image = _resize(crop(image, policy, generator), size, policy)
    elif policy.policy == "square" and policy.resize is not None:
        top, left = generator.integers(0, policy.resize - policy.size + 1, size=2)
        image = image[:, top : top + policy.size, left : left + policy.size]
    if policy.flip and generator.random() < 0.5:
        image = image.flip(2)
    image = _recolour(image, policy, generator)
    if policy.erase and generator.random() < policy.erase:
        image = _erased(image, generator)
    return image.contiguous()


def _crop_of_side(image: Tensor, policy: ImagePolicy, generator: np.random.Generator) -> Tensor:
    """A random square whose side is the image's shorter one."""
    height, width = image.shape[1:]
    side = min(height, width)
    top = int(generator.integers(0, height - side + 1))
    left = int(generator.integers(0, width - side + 1))
    return image[:, top : top + side, left : left + side]


def _crop_of_area(image: Tensor, policy: ImagePolicy, generator: np.random.Generator) -> Tensor:
    """A random part of the image: its area and its aspect are drawn, sides that would hang over are cut.

    The aspect is that of the crop for squares, and relative to the image's own where the shape is kept.
    """
    height, width = image.shape[1:]
    area = generator.uniform(*policy.crop_area) * height * width
    aspect = math.exp(generator.uniform(math.log(policy.crop_aspect[0]), math.log(policy.crop_aspect[1])))
    if policy.policy != "square":
        aspect *= width / height
    w = min(width, max(1, round(math.sqrt(area * aspect))))
    h = min(height, max(1, round(math.sqrt(area / aspect))))
    top = int(generator.integers(0, height - h + 1))
    left = int(generator.integers(0, width - w + 1))
    return image[:, top : top + h, left : left + w]


def _resize(image: Tensor, size: tuple[int, int], policy: ImagePolicy) -> Tensor:
    if image.shape[1:] == size:
        return image.contiguous()
    resized = F.interpolate(image[None], size, mode=policy.interpolation, antialias=True, align_corners=False)
    return resized[0].contiguous()


def _recolour(image: Tensor, policy: ImagePolicy, generator: np.random.Generator) -> Tensor:
    """Brightness, contrast (about the image's mean grey), saturation and hue, by amounts drawn from their strengths.

    Always in this order; torchvision's ColorJitter, which Token's code uses, draws the order too.
    """
    strengths = (policy.brightness, policy.contrast, policy.saturation)
    if not any(strengths) and not policy.hue:
        return image
    if policy.recolour < 1 and generator.random() >= policy.recolour:
        return image
    if any(strengths):
        brightness, contrast, saturation = (generator.uniform(1 - s, 1 + s) for s in strengths)
        pixels = image.reshape(3, -1).float()
        # All three are linear in the colour, so one product does them: x ↦ M·x + t.
        mean = float(_LUMA @ pixels.mean(dim=1)) * brightness
        matrix = brightness * contrast * (saturation * torch.eye(3) + (1 - saturation) * _LUMA.expand(3, 3))
        values = torch.addmm(torch.tensor((1 - contrast) * mean), matrix, pixels)
        image = values.round_().clamp_(0, 255).to(torch.uint8).view_as(image)
    return turned(image, generator.uniform(-policy.hue, policy.hue)) if policy.hue else image


def turned(image: Tensor, turn: float) -> Tensor:
    """Hues of a uint8 image (3, H, W) moved by `turn` of the colour circle; value and saturation of HSV stay.

    >>> turned(torch.tensor([[[200]], [[50]], [[50]]], dtype=torch.uint8), 1 / 3).flatten().tolist()
    [50, 200, 50]
    """
    red, green, blue = pixels = image.float().unbind(0)
    top, bottom = torch.stack(pixels).amax(dim=0), torch.stack(pixels).amin(dim=0)
    span = (top - bottom).clamp(min=1e-6)
    sector = torch.where(
        top == red,
        (green - blue) / span,
        torch.where(top == green, 2 + (blue - red) / span, 4 + (red - green) / span),
    )
    sector = sector + 6 * turn
    # A channel falls from the maximum to the minimum as the hue leaves it: by 1 between 1 and 2 sectors away.
    away = torch.stack([((sector - centre + 3) % 6 - 3).abs() for centre in (0, 2, 4)])
    moved = top - (top - bottom) * (away - 1).clamp(0, 1)
    return moved.round().clamp(0, 255).to(torch.uint8)


def _erased(image: Tensor, generator: np.random.Generator) -> Tensor:
    """A random rectangle filled with the image's mean colour."""
    height, width = image.shape[1:]
    area = generator.uniform(*_ERASE_AREA) * height * width
    aspect = math.exp(generator.uniform(math.log(_ERASE_ASPECT[0]), math.log(_ERASE_ASPECT[1])))
    h, w = min(height, round(math.sqrt(area * aspect))), min(width, round(math.sqrt(area / aspect)))
    top = int(generator.integers(0, height - h + 1))
    left = int(generator.integers(0, width - w + 1))
    image = image.clone()
    mean = image.float().mean(dim=(1, 2)).round().to(torch.uint8)
    image[:, top : top + h, left : left + w] = mean.view(3, 1, 1)
    return image
