import huggingface_hub
import safetensors.torch
import torch

from vitret.core.networks import ModelSpec, Part
from vitret.models.backbones.timm_model import timm
from vitret.models.origin import digest_now

SPEC = ModelSpec(backbone=Part(name="timm_model", options={"arch": "test_vit"}), head=Part(name="cls"))


def weights(path, seed):
    torch.manual_seed(seed)
    safetensors.torch.save_file(timm.create_model("test_vit", num_classes=0).state_dict(), path)


def test_replaced_weights_are_other_weights(tmp_path, monkeypatch):
    monkeypatch.setenv("VITRET_WEIGHTS", str(tmp_path))
    weights(tmp_path / "test_vit.safetensors", 0)
    before = digest_now(SPEC)
    assert digest_now(SPEC) == before
    weights(tmp_path / "test_vit.safetensors", 1)
    assert digest_now(SPEC) != before
    weights(tmp_path / "test_vit.safetensors", 0)
    assert digest_now(SPEC) == before


def test_without_weights_nothing_is_said(tmp_path, monkeypatch):
    monkeypatch.setenv("VITRET_WEIGHTS", str(tmp_path))
    monkeypatch.setattr(huggingface_hub.constants, "ENDPOINT", "http://127.0.0.1:9")
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_CACHE", str(tmp_path))
    assert digest_now(SPEC) is None
