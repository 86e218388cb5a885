"""`vitret extract` with other projects' checkpoints: their file goes in, the descriptors of their network come out."""

import numpy as np
import pytest
import torch
import yaml

from vitret.cli import run
from vitret.core.config import location
from vitret.core.networks import ModelSpec
from vitret.data import layout
from vitret.models.model import build_model, load_model

RESNET = {
    "backbone": {"name": "resnet_soa", "arch": "resnet26", "width": 8, "depths": [1, 1, 1, 1], "attend": []},
    "head": {"name": "gem_fc", "dim": 12},
}  # `pretrained` stays on: a checkpoint must switch it off
CIRTORCH = {"conv1": "0", "bn1": "1", "layer1": "4", "layer2": "5", "layer3": "6", "layer4": "7"}
HYBRID = {
    "backbone": {
        "name": "timm_model",
        "arch": "vit_base_r50_s16_224",
        "img_size": 64,
        "arch_options": {"embed_dim": 16, "depth": 1, "num_heads": 2},
    },
    "head": "cls",
}


def network(model, **changed):
    """A network of random weights: what the other project would have released."""
    torch.manual_seed(3)
    found = build_model(
        ModelSpec.model_validate({**model, "backbone": {**model["backbone"], "pretrained": False, **changed}})
    )
    with torch.no_grad():
        for parameter in found.parameters():
            parameter.add_(0.05 * torch.randn_like(parameter))
    return found.eval()


def cirtorch_file(path, model, **meta):
    """The network as cirtorch saves it: children numbered, the layer after pooling called `whiten`."""
    state = {}
    for name, value in model.state_dict().items():
        place, _, rest = name.removeprefix("backbone.").partition(".")
        if name == "head.p":
            state["pool.p"] = value
        elif name.startswith("head.fc."):
            state["whiten." + name.removeprefix("head.fc.")] = value
        else:
            state[f"features.{CIRTORCH[place]}.{rest}"] = value
    said = {"architecture": "resnet26", "mean": [0.485, 0.456, 0.406], "std": [0.229, 0.224, 0.225], **meta}
    torch.save({"meta": said, "state_dict": state}, path)
    return path


def google_file(path, model):
    """The network as Google's .npz has it: kernels (H, W, in, out), units from 1, heads apart."""
    ours = {name.removeprefix("backbone.model."): value.numpy() for name, value in model.state_dict().items()}
    units = [(i, j) for i, count in ((1, 3), (2, 4), (3, 9)) for j in range(1, count + 1)]
    stem = "patch_embed.backbone"
    kernels = {"conv_root": f"{stem}.stem.conv", "embedding": "patch_embed.proj"}
    norms = {"gn_root": f"{stem}.stem.norm", "Transformer/encoder_norm": "norm"}
    for i, j in units:
        there, here = f"block{i}/unit{j}", f"{stem}.stages.{i - 1}.blocks.{j - 1}"
        kernels |= {f"{there}/conv{r}": f"{here}.conv{r}" for r in (1, 2, 3)}
        norms |= {f"{there}/gn{r}": f"{here}.norm{r}" for r in (1, 2, 3)}
        if j == 1:
            kernels[f"{there}/conv_proj"] = f"{here}.downsample.conv"
            norms[f"{there}/gn_proj"] = f"{here}.downsample.norm"
    block = "Transformer/encoderblock_0"
    norms |= {f"{block}/LayerNorm_0": "blocks.0.norm1", f"{block}/LayerNorm_2": "blocks.0.norm2"}
    arrays = {
        "cls": ours["cls_token"],
        "Transformer/posembed_input/pos_embedding": ours["pos_embed"],
        "embedding/bias": ours["patch_embed.proj.bias"],
        "head/kernel": np.zeros((16, 3), np.float32),
    }
    arrays |= {
        f"{there}/kernel": ours[f"{here}.weight"].transpose(2, 3, 1, 0) for there, here in kernels.items()
    }
    arrays |= {f"{there}/scale": ours[f"{here}.weight"] for there, here in norms.items()}
    arrays |= {f"{there}/bias": ours[f"{here}.bias"] for there, here in norms.items()}
    attention = f"{block}/MultiHeadDotProductAttention_1"
    for n, name in enumerate(("query", "key", "value")):
        rows = slice(16 * n, 16 * (n + 1))
        arrays[f"{attention}/{name}/kernel"] = ours["blocks.0.attn.qkv.weight"][rows].T.reshape(16, 2, 8)
        arrays[f"{attention}/{name}/bias"] = ours["blocks.0.attn.qkv.bias"][rows].reshape(2, 8)
    arrays[f"{attention}/out/kernel"] = ours["blocks.0.attn.proj.weight"].T.reshape(2, 8, 16)
    arrays[f"{attention}/out/bias"] = ours["blocks.0.attn.proj.bias"]
    for n in (1, 2):
        arrays[f"{block}/MlpBlock_3/Dense_{n - 1}/kernel"] = ours[f"blocks.0.mlp.fc{n}.weight"].T
        arrays[f"{block}/MlpBlock_3/Dense_{n - 1}/bias"] = ours[f"blocks.0.mlp.fc{n}.bias"]
    np.savez(path, **arrays)
    return path


@pytest.fixture
def photographs(tmp_path):
    """Three prepared images of 64 x 64 pixels; gives what a network is shown of them."""
    from PIL import Image

    rng = np.random.default_rng(0)
    pixels = rng.integers(0, 256, (3, 64, 64, 3), dtype=np.uint8)
    for n, image in enumerate(pixels):
        folder = tmp_path / "mine" / f"class{n}"
        folder.mkdir(parents=True)
        Image.fromarray(image).save(folder / "image.png")
    assert run(["prepare", "mine", "--from", str(tmp_path / "mine")]) == 0
    assert len(layout.load_images(location("data").path, "mine").images) == 3
    return torch.from_numpy(pixels).permute(0, 3, 1, 2)


def system_file(tmp_path, model, **more):
    path = tmp_path / "theirs.yaml"
    path.write_text(yaml.safe_dump({"name": "theirs", "title": "Theirs", "model": {**model, **more}}))
    return str(path)


def descriptors(out):
    return torch.from_numpy(np.load(out / "database.npy").astype(np.float32))


@pytest.mark.parametrize(
    ("model", "write", "name"), [(RESNET, cirtorch_file, "cirtorch"), (HYBRID, google_file, "google_npz")]
)
def test_a_published_checkpoint_gives_the_descriptors_of_its_network(
    tmp_path, photographs, capsys, model, write, name
):
    theirs = network(model)
    file = write(tmp_path / ("net.npz" if name == "google_npz" else "net.pth"), theirs)
    with torch.no_grad():
        expected = theirs(theirs.normalised(photographs))
    words = ["extract", system_file(tmp_path, model), "mine", "--size", "64", "--precision", "fp32"]
    assert run([*words, "--checkpoint", str(file), "--layout", name, "--out", str(tmp_path / "out")]) == 0
    rows = descriptors(tmp_path / "out")
    # The set's own order of images: by cosine each row is one of the expected, and all are there.
    assert torch.allclose((rows @ expected.T).amax(dim=1), torch.ones(3), atol=1e-4)
    assert sorted((rows @ expected.T).argmax(dim=1).tolist()) == [0, 1, 2]
    assert "tensors filled" in capsys.readouterr().err


def test_a_system_names_its_checkpoint_and_the_file_lies_in_the_folder_of_weights(tmp_path, monkeypatch):
    theirs = network(RESNET)
    monkeypatch.setenv("VITRET_WEIGHTS", str(tmp_path))
    cirtorch_file(tmp_path / "net.pth", theirs)
    spec = ModelSpec.model_validate({**RESNET, "checkpoint": {"file": "net.pth", "layout": "cirtorch"}})
    ours = build_model(spec).eval()
    seen = torch.randn(2, 3, 64, 96)
    assert torch.equal(ours(seen), theirs(seen))


def test_a_saved_network_no_longer_needs_the_file_and_its_digest_not_the_path(tmp_path):
    from vitret.models.model import model_digest, save_model

    theirs = network(RESNET)
    here = cirtorch_file(tmp_path / "net.pth", theirs)
    there = cirtorch_file(tmp_path / "elsewhere.pth", theirs)
    made = [
        build_model(
            ModelSpec.model_validate({**RESNET, "checkpoint": {"file": str(f), "layout": "cirtorch"}})
        ).eval()
        for f in (here, there)
    ]
    assert model_digest(made[0]) == model_digest(made[1]) == model_digest(theirs)
    save_model(tmp_path / "model.safetensors", made[0])
    here.unlink()
    again, spec = load_model(tmp_path / "model.safetensors")
    assert spec.checkpoint.layout == "cirtorch"
    assert model_digest(again) == model_digest(theirs)


def test_pixels_of_another_normalisation_are_refused(tmp_path, photographs, capsys):
    file = cirtorch_file(tmp_path / "net.pth", network(RESNET), mean=[0.5, 0.5, 0.5])
    words = [
        "extract",
        system_file(tmp_path, RESNET),
        "mine",
        "--checkpoint",
        str(file),
        "--layout",
        "cirtorch",
    ]
    assert run(words) == 3
    assert "pixels of mean 0.5 / 0.5 / 0.5" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("words", "code", "said"),
    [
        (["gem_r101", "mine", "--checkpoint", "x.pth"], 2, "belong together"),
        (["gem_r101", "mine", "--layout", "cirtorch"], 2, "belong together"),
        (["gem_r101", "mine", "--checkpoint", "x.pth", "--layout", "cirtroch"], 2, "Did you mean 'cirtorch'"),
        (["gem_r101", "mine", "--checkpoint", "x.pth", "--layout", "cirtorch"], 3, "x.pth: no such file"),
        (["gem_r101", "mine"], 2, "vitret train --system gem_r101"),
        (["moco_v3_s", "mine"], 3, "vit-s-300ep.pth.tar"),
        (
            ["timm:test_vit", "mine", "--weights", "a.pth", "--checkpoint", "x.pth", "--layout", "dino"],
            2,
            "not from both",
        ),
    ],
)
def test_what_cannot_be_extracted_says_the_way_out(photographs, capsys, words, code, said):
    assert run(["extract", *words]) == code
    assert said in " ".join(capsys.readouterr().err.split())


def test_a_head_of_random_weights_is_not_measured(tmp_path, photographs, capsys):
    theirs = network(HYBRID)
    file = google_file(tmp_path / "net.npz", theirs)
    system = system_file(tmp_path, {**HYBRID, "head": {"name": "gem_fc", "dim": 4}})
    assert run(["extract", system, "mine", "--checkpoint", str(file), "--layout", "google_npz"]) == 2
    assert "would be random" in " ".join(capsys.readouterr().err.split())


def test_layouts_are_listed(capsys):
    assert run(["list", "layouts"]) == 0
    assert "cirtorch" in capsys.readouterr().out


def test_a_suite_or_a_preset_says_how_images_are_described(tmp_path, photographs, monkeypatch, capsys):
    from vitret.core.store import read_json

    (tmp_path / "suites").mkdir()
    (tmp_path / "suites" / "theirs.yaml").write_text(
        "name: theirs\npresets: [tool]\nsets: []\nprotocol: {size: 32, interpolation: bilinear, "
        "whitening: {kind: lw, data: town}}\n"
    )
    monkeypatch.setenv("VITRET_SUITES", str(tmp_path / "suites"))
    model = {
        "backbone": {"name": "timm_model", "arch": "test_vit", "pretrained": False, "img_size": 32},
        "head": "gem",
    }
    words = [
        "extract",
        system_file(tmp_path, model),
        "mine",
        "--suite",
        "tool",
        "--out",
        str(tmp_path / "out"),
    ]
    assert run(words) == 0
    written = read_json(tmp_path / "out" / "card.json")["protocol"]
    assert (written["size"], written["interpolation"], written["whitening"]["kind"]) == (
        32,
        "bilinear",
        "none",
    )
    assert "before any of whitening" in capsys.readouterr().err
