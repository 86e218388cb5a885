"""The cost of an image: counted by hand where it can be, measured once, and read again."""

from pathlib import Path

import pytest
import torch
from torch import nn

from vitret.core.cost import NetworkCost
from vitret.core.networks import ModelSpec, Part
from vitret.core.protocol import Protocol
from vitret.describe import cost
from vitret.models.memory import AliveBytes
from vitret.models.model import Retriever, build_model

CPU = torch.device("cpu")
PROTOCOL = Protocol(size=32, size_rule="square")


class Patches(nn.Module):
    """Patches of 8 pixels to 4 channels: one convolution."""

    patch, mean, std, widths = 8, (0.5, 0.5, 0.5), (0.5, 0.5, 0.5), (4,)

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(3, 4, 8, stride=8, bias=False)

    def forward(self, images):
        return self.conv(images)


class Mean(nn.Module):
    dim = 4

    def forward(self, tokens):
        return tokens.mean(dim=(2, 3))


SPEC = ModelSpec(backbone=Part(name="conv_stem_vit"), head=Part(name="gem"))


@pytest.fixture
def network() -> Retriever:
    return Retriever(Patches(), Mean(), SPEC).eval()


def test_flops_are_those_of_every_scale(network: Retriever):
    one = cost.measure(network, PROTOCOL, device=CPU, precision="fp32")
    assert (one.height, one.width, one.scales) == (32, 32, (1.0,))
    each = 2 * (3 * 8 * 8) * 4  # a patch
    assert one.flops == one.flops_linear == 16 * each
    two = PROTOCOL.model_copy(update={"scales": (0.5, 1.0)})
    assert cost.measure(network, two, device=CPU, precision="fp32").flops == (4 + 16) * each


def test_times_and_memory_are_of_the_network(network: Retriever):
    found = cost.measure(network, PROTOCOL, device=CPU, precision="fp32")
    assert 0 < found.latency_p50 <= found.latency_p95
    assert cost.FEWEST <= found.passes <= cost.MOST
    assert found.images_per_second >= 0.99 / found.latency_p50
    assert found.batch in (1, 2, 4, 8, 16, 32, 64, 128, 256)
    weights, image = 4 * 3 * 8 * 8 * 4, 4 * 3 * 32 * 32
    assert found.peak_bytes is not None
    assert found.peak_bytes >= weights + image + 4 * 4 * 16
    assert found.threads == torch.get_num_threads()
    assert network.backbone.conv.weight.device.type == "cpu"


def test_memory_of_three_layers_by_hand():
    layers = nn.Sequential(*(nn.Linear(10, 10, bias=False) for _ in range(3)))
    rows = torch.zeros(100, 10)
    with torch.inference_mode(), AliveBytes([*layers.parameters(), rows]) as alive:
        kept = layers(rows)
    # The input stays with its caller; of the layers two outputs are there at once.
    assert alive.peak == 3 * 400 + 3 * 4000
    assert alive.now == 3 * 400 + 2 * 4000
    assert kept.shape == (100, 10)


def test_a_cost_is_measured_once(network: Retriever, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    first = cost.network_cost(network, PROTOCOL, device=CPU, precision="fp32", home=tmp_path)
    measured: list[Protocol] = []
    again = cost.measure

    def counted(model, protocol, **options):
        measured.append(protocol)
        return again(model, protocol, **options)

    monkeypatch.setattr(cost, "measure", counted)
    assert cost.network_cost(network, PROTOCOL, device=CPU, precision="fp32", home=tmp_path) == first
    assert measured == []
    larger = PROTOCOL.model_copy(update={"size": 64})
    assert cost.network_cost(network, larger, device=CPU, precision="fp32", home=tmp_path).width == 64
    (kept,) = [path for path in (tmp_path / "costs").iterdir() if '"width": 32' in path.read_text()]
    kept.write_text("{")
    cost.network_cost(network, PROTOCOL, device=CPU, precision="fp32", home=tmp_path)
    assert measured == [larger, PROTOCOL]


def test_a_layer_that_cannot_be_counted_leaves_the_rest(network: Retriever):
    class Deciding(Patches):
        def forward(self, images):
            return self.conv(images) * (2.0 if images.sum().item() > 0 else 1.0)

    found = cost.measure(Retriever(Deciding(), Mean(), SPEC).eval(), PROTOCOL, device=CPU, precision="fp32")
    assert found.flops is None
    assert found.latency_p50 > 0


@pytest.mark.parametrize(
    ("protocol", "size"),
    [
        (Protocol(size=1024), (768, 1024)),
        (Protocol(size=256, size_rule="shorter", centre_crop=224), (224, 224)),
        (Protocol(size_rule="none"), (768, 1024)),
        (Protocol(size=384, size_rule="square"), (384, 384)),
    ],
)
def test_the_image_is_a_photograph_as_the_protocol_makes_it(protocol: Protocol, size: tuple[int, int]):
    assert cost.photograph_size(protocol, patch=16) == size


def test_a_record_is_in_order():
    facts = {"height": 1, "width": 1, "scales": (1.0,), "latency_p50": 2.0, "latency_p95": 1.0, "passes": 3}
    facts |= {"images_per_second": 1.0, "batch": 1, "device": "cpu", "precision": "fp32", "threads": 1}
    with pytest.raises(ValueError, match="latency_p95 is below"):
        NetworkCost(**facts)
    with pytest.raises(ValueError, match="flops are below"):
        NetworkCost(**{**facts, "latency_p95": 3.0, "flops": 1, "flops_linear": 2})


def test_a_network_of_timm_has_attention_in_its_flops():
    backbone = Part(name="timm_model", options={"arch": "test_vit", "pretrained": False, "img_size": 32})
    model = build_model(ModelSpec(backbone=backbone, head=Part(name="gem"))).eval()
    found = cost.measure(model, PROTOCOL, device=CPU, precision="fp32")
    assert found.flops is not None
    assert found.flops_linear is not None
    assert found.flops > found.flops_linear > 0
