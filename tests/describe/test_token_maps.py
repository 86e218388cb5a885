"""Maps on tokens, of tiny networks and drawn photographs; and of one real photograph where there is one."""

import numpy as np
import pytest
import torch

from tests.describe.conftest import tiny
from vitret.core.errors import DataError, UserError
from vitret.core.networks import ModelSpec, Part
from vitret.core.protocol import Protocol
from vitret.core.records import Images
from vitret.describe.extract import extract
from vitret.describe.request import Request
from vitret.describe.token_maps import Reading, Seen, best_match, look, to_descriptor
from vitret.models.foreign import outputs
from vitret.models.foreign.network import ForeignNetwork, Input
from vitret.models.model import Retriever, build_model

CPU = torch.device("cpu")
PROTOCOL = Protocol(size=96, upscale=True)


def with_head(head: str, arch: str = "test_vit", **options: object) -> Retriever:
    torch.manual_seed(0)
    backbone = Part(name="timm_model", options={"arch": arch, "pretrained": False, **options})
    return build_model(ModelSpec(backbone=backbone, head=Part(name=head))).eval()


@pytest.mark.parametrize(
    ("head", "options", "reading"),
    [
        ("cls", {}, (True, False, True)),
        ("gem", {}, (False, True, True)),
        ("rmac", {}, (False, True, True)),
        ("gem_fc", {}, (False, True, False)),
        ("dtop", {"layers": 2}, (True, True, False)),
    ],
)
def test_what_a_head_reads_is_found(head: str, options: dict, reading: tuple, photographs: Images):
    seen = look(with_head(head, **options), photographs, 0, PROTOCOL, device=CPU)
    class_token, patches, same_space = reading
    assert seen.reading == Reading(class_token=class_token, patches=patches, same_space=same_space)
    assert (seen.attention is not None) == class_token


def test_the_descriptor_is_that_of_an_extraction_and_the_attention_has_mean_one(photographs: Images):
    network = with_head("cls")
    request = Request(model=network, images=photographs, protocol=PROTOCOL, device=CPU, precision="fp32")
    described = np.asarray(extract(request).rows)
    for row in range(3):
        seen = look(network, photographs, row, PROTOCOL, device=CPU)
        np.testing.assert_allclose(seen.descriptor, described[row], atol=1e-5)
        assert seen.attention is not None
        assert seen.attention.shape == seen.tokens.shape[:2]
        assert float(seen.attention.mean()) == pytest.approx(1, abs=1e-5)
        assert 0 < seen.on_patches < 1


@pytest.mark.parametrize("arch", ["test_vit", "test_efficientnet"])
def test_similarities_are_those_of_a_plain_loop(arch: str, photographs: Images):
    network = tiny(arch)
    one, other = (look(network, photographs, row, PROTOCOL, device=CPU) for row in (0, 4))
    cosines, best = to_descriptor(one, other), best_match(one, other)
    height, width, _ = one.tokens.shape
    assert cosines.shape == best.shape == (height, width)

    def cosine(a, b) -> float:
        return float(np.dot(a, b) / np.linalg.norm(a) / np.linalg.norm(b))

    with torch.inference_mode():
        shown = torch.from_numpy(one.pixels.copy()).permute(2, 0, 1)[None]
        grid = network.backbone(network.normalised(shown)).grids[-1][0].numpy()
    for y in range(height):
        for x in range(width):
            token = grid[:, y, x]
            assert cosines[y, x] == pytest.approx(cosine(token, other.descriptor), abs=1e-4)
            every = [cosine(token, t) for t in other.tokens.reshape(-1, other.tokens.shape[2])]
            assert best[y, x] == pytest.approx(max(every), abs=1e-4)


def test_pixels_are_those_that_the_network_is_shown(photographs: Images):
    network = with_head("cls")
    padded = look(network, photographs, 7, Protocol(size=70, fit="pad"), device=CPU)
    assert padded.pixels.shape == (80, 64, 3)
    grey = [round(255 * mean) for mean in network.mean]
    assert (padded.pixels[70:] == grey).all()
    assert not (padded.pixels[:70] == grey).all()
    assert padded.tokens.shape[:2] == (5, 4)
    cut = look(network, photographs, 1, Protocol(size=64, query_size="same_size"), device=CPU)
    assert cut.pixels.shape == (32, 32, 3)


def test_rollout_is_drawn_where_it_is_defined(photographs: Images):
    seen = look(with_head("cls"), photographs, 0, PROTOCOL, device=CPU, attention="rollout")
    assert seen.attention is not None
    assert float(seen.attention.mean()) == pytest.approx(1, abs=1e-5)
    with pytest.raises(UserError, match="has no class token that its descriptor is made of"):
        look(with_head("gem"), photographs, 0, PROTOCOL, device=CPU, attention="rollout")


def test_a_broken_photograph_is_named(photographs: Images):
    photographs.file(0).write_bytes(b"no image")
    with pytest.raises(DataError, match=r"0\.jpg"):
        look(with_head("cls"), photographs, 0, PROTOCOL, device=CPU)


def test_a_real_photograph_looks_like_itself_and_its_attention_is_not_even(shared, monkeypatch):
    monkeypatch.setenv("VITRET_WEIGHTS", str(shared / "weights"))
    backbone = Part(name="timm_model", options={"arch": "vit_tiny_patch16_224"})
    network = build_model(ModelSpec(backbone=backbone, head=Part(name="cls"))).eval()
    folder = shared / "minilandmarks" / "jpg"
    first = sorted(path.name for path in folder.iterdir())[0]
    seen: Seen = look(network, Images.of(folder, [first]), 0, Protocol(size=224), device=CPU)
    np.testing.assert_allclose(best_match(seen, seen), 1, atol=1e-5)
    assert seen.attention is not None
    assert seen.attention.max() > 2


def test_a_network_that_gives_one_vector_is_refused(photographs: Images):
    layers = torch.nn.Sequential(torch.nn.AdaptiveAvgPool2d(1), torch.nn.Flatten(), torch.nn.Linear(3, 8))
    backbone = ForeignNetwork(
        layers, name="torchhub:o/r:net", origin={}, reading=outputs.Reading(), expects=Input(size=32)
    )
    spec = ModelSpec(
        backbone=Part(name="torchhub_model", options={"source": "o/r", "entry": "net"}),
        head=Part(name="native"),
    )
    network = Retriever(backbone, backbone.own_head(), spec)
    with pytest.raises(UserError, match=r"^o/r:net: gives one vector an image and no tokens"):
        look(network, photographs, 0, PROTOCOL, device=CPU)
