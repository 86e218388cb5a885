import numpy as np
import pytest
import torch
from PIL import Image

from vitret.core.networks import ModelSpec, Part
from vitret.core.protocol import Protocol
from vitret.core.records import Images
from vitret.describe.extract import extract
from vitret.describe.request import Request
from vitret.describe.reranking import LocalFeatures
from vitret.models.model import build_model
from vitret.models.reranking import Local

CPU = torch.device("cpu")
PROTOCOL = Protocol(size=48)
SIZES = [(48, 32), (32, 48), (48, 32), (40, 48)]


@pytest.fixture
def model():
    torch.manual_seed(0)
    backbone = {"arch": "test_vit", "pretrained": False, "img_size": 32}
    return build_model(
        ModelSpec(backbone=Part(name="timm_model", options=backbone), head=Part(name="gem"))
    ).eval()


@pytest.fixture
def images(tmp_path):
    rng = np.random.default_rng(0)
    for i, size in enumerate(SIZES):
        Image.fromarray(rng.integers(0, 255, (*size, 3), dtype=np.uint8)).save(tmp_path / f"{i}.png")
    (tmp_path / "broken.png").write_bytes(b"no image")
    return Images.of(tmp_path, [*(f"{i}.png" for i in range(len(SIZES))), "broken.png"])


def keep(whole, maps):
    return Local(whole=whole, many=maps[-1], rows=torch.zeros(0, dtype=torch.long))


def test_descriptors_and_maps_are_those_of_extraction(model, images):
    features = LocalFeatures(model, images, PROTOCOL, keep, device=CPU)
    found = features([3, 0, 1, 3])
    described = extract(
        Request(model=model, images=images, protocol=PROTOCOL, device=CPU, precision="fp32")
    ).rows
    for row, local in zip([3, 0, 1, 3], found, strict=True):
        assert np.allclose(local.whole, described[row], atol=1e-5)
        height, width = SIZES[row]
        assert local.many.shape[1:] == (round(height / model.patch), round(width / model.patch))


def test_a_row_does_not_depend_on_its_company(model, images):
    together = LocalFeatures(model, images, PROTOCOL, keep, device=CPU)([0, 1, 2, 3])
    for row in range(4):
        (alone,) = LocalFeatures(model, images, PROTOCOL, keep, device=CPU)([row])
        assert torch.allclose(alone.many, together[row].many, atol=1e-5)


def test_an_unreadable_image_is_zeros(model, images):
    good, broken = LocalFeatures(model, images, PROTOCOL, keep, device=CPU)([0, 4])
    assert broken.many.shape == (good.many.shape[0], 1, 1)
    assert not broken.many.any()
    assert not broken.whole.any()


def test_other_scales_have_maps_of_other_sizes(model, images):
    features = LocalFeatures(
        model, images, Protocol(size=64, upscale=True), keep, device=CPU, scales=(1.0, 0.5)
    )
    (large,) = LocalFeatures(model, images, Protocol(size=64, upscale=True), keep, device=CPU)([0])
    (half,) = features([0])
    assert half.many.shape[1] * 2 == large.many.shape[1]
    assert torch.equal(half.whole, large.whole)


def test_memory_is_bounded_and_changes_nothing(model, images):
    free = LocalFeatures(model, images, PROTOCOL, keep, device=CPU)
    wanted = free([0, 1, 2, 3])
    bound = LocalFeatures(model, images, PROTOCOL, keep, device=CPU, most=wanted[0].bytes * 2)
    for rows in ([0, 1, 2, 3], [3, 2], [0, 1, 2, 3]):
        for row, local in zip(rows, bound(rows), strict=True):
            assert torch.allclose(local.many, wanted[row].many, atol=1e-5)
        assert bound.bytes <= bound.most
        assert bound.bytes == sum(local.bytes for local in bound.kept.values())


def test_boxes_are_cut_as_extraction_cuts_them(model, images):
    boxes = np.array([[8.0, 8, 99, 32], [-9, -9, 16, 16], [np.nan] * 4, [0, 0, 40, 16], [np.nan] * 4])
    boxed = Images(root=images.root, paths=images.paths, boxes=boxes)
    protocol = Protocol(size=48, query_size="same_size")
    found = LocalFeatures(model, boxed, protocol, keep, device=CPU)(range(4))
    request = Request(model=model, images=boxed, protocol=protocol, device=CPU, precision="fp32")
    for local, row in zip(found, extract(request).rows, strict=False):
        assert np.allclose(local.whole, row, atol=1e-5)
    # SIZES are heights and widths: 24×24 pixels are left of the first box, 16×16 of the second.
    assert [local.many.shape[1] * model.patch for local in found[:2]] == [
        round(24 / model.patch) * model.patch,
        round(16 / model.patch) * model.patch,
    ]
