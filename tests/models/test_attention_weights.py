"""The attention that is read from a network is the one that it used."""

import pytest
import torch
from torch import Tensor

from vitret.core.networks import Part
from vitret.core.plugins import build
from vitret.models.attention_weights import AttentionReader, last_class_attention, rollout
from vitret.models.backbones.timm_model import timm


def blocks(arch: str, **options: object) -> tuple[torch.nn.Module, Tensor]:
    torch.manual_seed(0)
    return timm.create_model(arch, num_classes=0, **options).eval(), torch.randn(1, 3, 160, 160)


@pytest.mark.parametrize("fused", [True, False])
def test_rows_sum_to_one_and_give_with_v_what_the_block_gives(fused: bool):
    network, images = blocks("test_vit")
    attention = network.blocks[-1].attn
    attention.fused_attn = fused
    kept: dict[str, Tensor] = {}
    attention.qkv.register_forward_hook(lambda module, given, result: kept.update(qkv=result))
    attention.proj.register_forward_pre_hook(lambda module, given: kept.update(mixed=given[0]))
    with torch.inference_mode(), AttentionReader() as reader:
        network(images)
        weights = reader.found[-1].weights(slice(None))
        heads = attention.num_heads
        assert weights.shape == (heads, 101, 101)
        torch.testing.assert_close(weights.sum(dim=-1), torch.ones(heads, 101))
        values = kept["qkv"].view(101, 3, heads, -1)[:, 2].transpose(0, 1)
        mixed = (weights @ values).transpose(0, 1).flatten(1)
    torch.testing.assert_close(mixed, kept["mixed"][0], rtol=1e-4, atol=1e-5)


def test_reading_changes_no_number():
    network, images = blocks("test_vit")
    with torch.inference_mode():
        before = network(images)
        with AttentionReader():
            assert torch.equal(network(images), before)


def test_of_a_softmax_that_is_spelled_out_the_same_is_read():
    network, images = blocks("test_vit")
    rows = []
    for fused in (True, False):
        for block in network.blocks:
            block.attn.fused_attn = fused
        with torch.inference_mode(), AttentionReader() as reader:
            network(images)
        rows.append(last_class_attention(reader.found, 101))
    torch.testing.assert_close(*rows)


def test_a_mask_is_part_of_the_attention():
    part = Part(name="vitgan_vit", options={"width": 32, "depth": 1, "heads": 2, "img_size": 32})
    torch.manual_seed(0)
    network = build("backbones", part.name, **part.options).eval()
    attention = network.blocks[0].attn
    kept: list[Tensor] = []
    attention.register_forward_pre_hook(lambda module, given: kept.append(given[0]))
    with torch.inference_mode(), AttentionReader() as reader:
        network(torch.randn(1, 3, 32, 32))
        q = attention.qk(kept[0])[0].view(kept[0].shape[1], 2, -1).transpose(0, 1)
        distance = torch.cdist(q, q) ** 2 / q.shape[-1] ** 0.5
    torch.testing.assert_close(
        reader.found[-1].weights(slice(None)), (-distance).softmax(dim=-1), rtol=1e-3, atol=1e-5
    )


def test_a_class_token_that_enters_late_has_an_attention_and_no_rollout():
    network, _ = blocks("xcit_nano_12_p16_224")
    with torch.inference_mode(), AttentionReader() as reader:
        network(torch.randn(1, 3, 64, 64))
    row = last_class_attention(reader.found, 17)
    assert row is not None
    assert row.shape == (17,)
    assert float(row.sum()) == pytest.approx(1)
    assert rollout(reader.found, 17) is None


def test_a_network_of_convolutions_has_none():
    network, images = blocks("test_efficientnet")
    with torch.inference_mode(), AttentionReader() as reader:
        network(images)
    assert last_class_attention(reader.found, 26) is None
    assert rollout(reader.found, 26) is None


def test_rollout_is_the_product_of_all_blocks():
    network, images = blocks("test_vit")
    with torch.inference_mode(), AttentionReader() as reader:
        network(images)
    whole = torch.eye(101)
    for block in reader.found:
        whole = (block.weights(slice(None)).mean(dim=0) + torch.eye(101)) / 2 @ whole
    row = rollout(reader.found, 101)
    assert row is not None
    torch.testing.assert_close(row, whole[0])
    assert float(row.sum()) == pytest.approx(1)
