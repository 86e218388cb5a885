"""A tiny network and a folder of photographs of several sizes, small enough for any machine."""

from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from vitret.core.networks import ModelSpec, Part
from vitret.core.records import Images
from vitret.models.model import Retriever, build_model

SIZES = [(64, 48), (48, 64), (64, 64), (64, 48), (96, 32), (48, 64), (64, 48), (50, 70), (64, 48)]


@pytest.fixture(params=["test_vit", "test_efficientnet"])
def network(request: pytest.FixtureRequest) -> Retriever:
    return tiny(request.param)


def tiny(arch: str = "test_vit") -> Retriever:
    torch.manual_seed(0)
    backbone = Part(name="timm_model", options={"arch": arch, "pretrained": False})
    return build_model(ModelSpec(backbone=backbone, head=Part(name="gem"))).eval()


@pytest.fixture
def photographs(tmp_path: Path) -> Images:
    """Nine images of six sizes (width, height), smooth so that JPEG keeps them apart; the second has a box."""
    random = np.random.default_rng(0)
    folder = tmp_path / "photographs"
    folder.mkdir()
    for i, size in enumerate(SIZES):
        small = Image.fromarray(random.integers(0, 256, (6, 6, 3), dtype=np.uint8))
        small.resize(size, Image.Resampling.BICUBIC).save(folder / f"{i}.jpg", quality=95)
    boxes = np.full((len(SIZES), 4), np.nan)
    boxes[1] = [8, 8, 40, 40]
    return Images.of(folder, [f"{i}.jpg" for i in range(len(SIZES))], boxes)
