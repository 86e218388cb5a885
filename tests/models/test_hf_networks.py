"""Networks of transformers from a folder: tiny ones of random numbers, written as the hub has them."""

import json
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file
from torch.nn import functional

from vitret.core.errors import DataError, UserError
from vitret.models.foreign.consent import VARIABLE, consenting
from vitret.models.model import load_model, model_digest, save_model
from vitret.models.named import named_network
from vitret.models.torchvision_import import import_torchvision

# Importing transformers and the parts of it that these networks need takes seconds.
pytestmark = pytest.mark.slow
import_torchvision()
transformers = pytest.importorskip("transformers")

SMALL = {"hidden_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2, "intermediate_size": 16}


@pytest.fixture(autouse=True)
def no_consent(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(VARIABLE, raising=False)


@pytest.fixture
def dino(tmp_path: Path) -> Path:
    """A DINOv2 of patches of 8 pixels and images of 32, with pixel statistics of its own."""
    torch.manual_seed(0)
    config = transformers.Dinov2Config(**SMALL, patch_size=8, image_size=32)
    transformers.Dinov2Model(config).save_pretrained(tmp_path / "dino")
    said = {"image_mean": [0.1, 0.2, 0.3], "image_std": [1.0, 1.0, 1.0]}
    (tmp_path / "dino" / "preprocessor_config.json").write_text(json.dumps(said))
    return tmp_path / "dino"


def images(height: int = 32, width: int = 48) -> torch.Tensor:
    return torch.randn(2, 3, height, width, generator=torch.Generator().manual_seed(0))


def test_tokens_of_a_known_architecture_need_no_consent(dino: Path):
    model = named_network(f"hf:{dino}", head="cls", say=print)
    theirs = transformers.AutoModel.from_pretrained(dino).eval()
    with torch.no_grad():
        given = theirs(pixel_values=images())
        torch.testing.assert_close(
            model(images()), functional.normalize(given.last_hidden_state[:, 0], dim=-1), atol=1e-6, rtol=1e-5
        )
        pooled = named_network(f"hf:{dino}:output=pooler_output", say=print)
        torch.testing.assert_close(pooled(images()), functional.normalize(given.pooler_output, dim=-1))
    assert (model.mean, model.std, model.patch) == ((0.1, 0.2, 0.3), (1.0, 1.0, 1.0), 8)
    assert model.backbone(images()).grids[0].shape == (2, 16, 4, 6)
    assert model.backbone.origin["trusted"] is False
    assert model.backbone.origin["commit"].startswith("files-")


def test_a_head_is_asked_for_where_there_are_tokens(dino: Path):
    with pytest.raises(UserError, match="tokens of 16 channels, not one vector an image"):
        named_network(f"hf:{dino}", say=print)
    with pytest.raises(UserError, match="no tower trained against texts"):
        named_network(f"hf:{dino}:output=image_features", say=print)


def test_a_checkpoint_of_one_is_read_without_the_weights_of_the_repository(dino: Path, tmp_path: Path):
    model = named_network(f"hf:{dino}", head="gem", say=print)
    save_model(tmp_path / "kept.safetensors", model)
    (dino / "model.safetensors").unlink()
    assert model_digest(load_model(tmp_path / "kept.safetensors")[0]) == model_digest(model)


def test_an_image_tower_gives_its_projection(tmp_path: Path):
    torch.manual_seed(0)
    text = {**SMALL, "vocab_size": 20, "max_position_embeddings": 8}
    config = transformers.CLIPConfig(
        text_config=text, vision_config={**SMALL, "patch_size": 8, "image_size": 32}, projection_dim=12
    )
    transformers.CLIPModel(config).save_pretrained(tmp_path / "clip")
    model = named_network(f"hf:{tmp_path / 'clip'}", say=print)
    theirs = transformers.AutoModel.from_pretrained(tmp_path / "clip").eval()
    with torch.no_grad():
        given = theirs.get_image_features(pixel_values=images(32, 32))
        expected = functional.normalize(
            given if isinstance(given, torch.Tensor) else given.pooler_output, dim=-1
        )
        torch.testing.assert_close(model(images(32, 32)), expected)
    assert model.dim == 12
    tokens = named_network(f"hf:{tmp_path / 'clip'}:output=last_hidden_state:head=mean", say=print)
    assert tokens.dim == 16


def test_what_no_file_holds_is_refused_and_not_random(dino: Path):
    state = load_file(dino / "model.safetensors")
    del state["embeddings.cls_token"]
    save_file(state, dino / "model.safetensors", metadata={"format": "pt"})
    with pytest.raises(
        DataError, match=r"1 tensors are in no file and would be random: embeddings.cls_token"
    ):
        named_network(f"hf:{dino}:head=cls", say=print)


def test_a_learned_pooler_that_the_file_lacks_is_refused_only_where_it_is_used(tmp_path: Path):
    torch.manual_seed(0)
    config = transformers.ViTConfig(**SMALL, patch_size=8, image_size=32)
    transformers.ViTModel(config, add_pooling_layer=False).save_pretrained(tmp_path / "vit")
    assert named_network(f"hf:{tmp_path / 'vit'}:head=cls", say=print).dim == 16
    with pytest.raises(DataError, match="pooler is in no file"):
        named_network(f"hf:{tmp_path / 'vit'}:output=pooler_output", say=print)


CODE = """
from pathlib import Path
Path(__file__).with_name("ran").write_text("x")
Path({marker!r}).write_text("code of others ran")
import torch
from transformers import PretrainedConfig, PreTrainedModel

class MineConfig(PretrainedConfig):
    model_type = "mine_of_this_test"

class MineModel(PreTrainedModel):
    config_class = MineConfig
    def __init__(self, config):
        super().__init__(config)
        self.stem = torch.nn.Conv2d(3, 6, 8, stride=8)
        self.post_init()
    def forward(self, pixel_values):
        return self.stem(pixel_values).mean((2, 3))
"""


def test_python_files_of_a_repository_need_consent(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("HF_MODULES_CACHE", str(tmp_path / "modules"))
    folder, marker = tmp_path / "own", tmp_path / "ran"
    folder.mkdir()
    (folder / "mine.py").write_text(CODE.format(marker=str(marker)))
    auto = {"AutoConfig": "mine.MineConfig", "AutoModel": "mine.MineModel"}
    (folder / "config.json").write_text(json.dumps({"model_type": "mine_of_this_test", "auto_map": auto}))
    with pytest.raises(UserError, match=r"import its Python files.*add --trust"):
        named_network(f"hf:{folder}", say=print)
    assert not marker.exists()
    state = {"stem.weight": torch.randn(6, 3, 8, 8), "stem.bias": torch.zeros(6)}
    save_file(state, folder / "model.safetensors", metadata={"format": "pt"})
    with consenting():
        model = named_network(f"hf:{folder}", say=print)
    assert marker.exists()
    assert (model.dim, model.backbone.origin["trusted"]) == (6, True)
    (folder / "config.json").write_text(json.dumps({"model_type": "mine_of_this_test"}))
    with pytest.raises(UserError, match="no architecture 'mine_of_this_test'"):
        named_network(f"hf:{folder}", say=print)


def test_pickled_weights_need_consent(dino: Path):
    torch.save(load_file(dino / "model.safetensors"), dino / "pytorch_model.bin")
    (dino / "model.safetensors").unlink()
    with pytest.raises(DataError, match="not safetensors are read with --trust"):
        named_network(f"hf:{dino}:head=cls", say=print)
    with consenting():
        model = named_network(f"hf:{dino}:head=cls", say=print)
    assert model.backbone.origin["trusted"] is False  # read as plain tensors; no code ran


def test_a_folder_that_is_no_network_of_transformers_is_refused(tmp_path: Path):
    with pytest.raises(UserError, match=r"has no config.json"):
        named_network(f"hf:{tmp_path}", say=print)
    with pytest.raises(UserError, match="no such folder"):
        named_network(f"hf:{tmp_path / 'absent'}", say=print)
