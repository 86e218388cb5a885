import pytest
import torch
from safetensors.torch import save

from vitret.core.errors import DataError, UserError
from vitret.core.networks import ModelSpec, Part
from vitret.models.model import build_model, load_model, model_digest, parameters, save_model


def spec(**options: object) -> ModelSpec:
    backbone = Part(name="timm_model", options={"arch": "test_vit", "pretrained": False, **options})
    return ModelSpec(backbone=backbone, head=Part(name="gem"))


def test_descriptors_are_float32_of_unit_length_also_in_bf16():
    model = build_model(spec()).eval()
    with torch.autocast("cpu", torch.bfloat16):
        described = model(torch.randn(2, 3, 32, 48, generator=torch.Generator().manual_seed(0)))
    assert described.dtype == torch.float32
    assert described.norm(dim=1).detach().numpy() == pytest.approx([1, 1], abs=1e-6)


def test_normalised_is_pixels_over_255_less_mean_over_deviation():
    model = build_model(spec())
    pixels = torch.tensor([0, 128, 255], dtype=torch.uint8).view(1, 3, 1, 1)
    expected = (torch.tensor([0, 128 / 255, 1]) - torch.tensor(model.mean)) / torch.tensor(model.std)
    torch.testing.assert_close(model.normalised(pixels).flatten(), expected)
    given = pixels.float()
    torch.testing.assert_close(model.normalised(given).flatten(), expected)
    assert torch.equal(given, pixels.float())  # it is left as it was


def test_normalisation_is_not_in_the_state():
    assert not [name for name in build_model(spec()).state_dict() if "mean" in name or "std" in name]


def test_digest_follows_the_weights_and_not_the_file_they_came_from(tmp_path):
    model = build_model(spec())
    save_model(tmp_path / "a.safetensors", model, model.spec)
    again, found = load_model(tmp_path / "a.safetensors")
    assert found == model.spec
    assert model_digest(again) == model_digest(model)
    with torch.no_grad():
        next(again.parameters()).flatten()[0] += 1
    assert model_digest(again) != model_digest(model)


def test_digest_follows_the_options():
    model = build_model(spec())
    other = build_model(spec(norm="none"))
    other.load_state_dict(model.state_dict())
    assert model_digest(other) != model_digest(model)


def test_tokens_are_not_normalised_twice():
    """Layer norm of each layer in the head needs tokens without the backbone's: dtop.md 2.3 has one or the other."""
    head = Part(name="dtop", options={"norm_tokens": "per_layer", "aspp_width": 8})
    twice = spec().model_copy(update={"head": head})
    with pytest.raises(UserError, match=r"norm: shared_final.*model\.backbone\.norm=none"):
        build_model(twice)
    build_model(spec(norm="none").model_copy(update={"head": head}))


def test_parameters_count_shared_ones_once():
    layer = torch.nn.Linear(2, 2, bias=False)
    assert parameters(torch.nn.Sequential(layer, layer)) == 4


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"not a checkpoint at all",
        *(save({}, metadata={"vitret.model": text}) for text in ("{", "[" * 9_999)),
    ],
)
def test_a_file_that_is_no_model_is_named(tmp_path, content):
    path = tmp_path / "broken.safetensors"
    path.write_bytes(content)
    with pytest.raises(DataError, match=r"broken\.safetensors"):
        load_model(path)
