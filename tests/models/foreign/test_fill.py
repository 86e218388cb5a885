"""What a file must hold to fill a network, what may be missing, and what the error lists."""

from pathlib import PurePosixPath

import numpy as np
import pytest
import torch
from published_layouts import IMAGES, RESNET, TIMM_VIT, network, renamed, scrambled

from vitret.core.errors import DataError, UserError
from vitret.models.foreign.fill import fill, load_backbone
from vitret.models.foreign.layouts import LAYOUTS
from vitret.models.foreign.read import read_checkpoint


def test_what_does_not_fit_is_listed():
    model = network("mocov3_vit", "cls", options={"width": 16, "depth": 2, "heads": 2, "img_size": 64})
    state = {f"base_encoder.{n.removeprefix('backbone.')}": v for n, v in model.state_dict().items()}
    state["base_encoder.norm.weight"] = torch.zeros(17)
    state["something.else"] = state.pop("base_encoder.norm.bias")
    with pytest.raises(DataError) as caught:
        fill(model, state, layout="mocov3", where="file.pth")
    text = str(caught.value)
    assert "1 missing from the file: backbone.norm.bias" in text
    assert "1 unknown to the network: something.else" in text
    assert "backbone.norm.weight (17,) instead of (16,)" in text


def test_unknown_layouts_are_refused():
    with pytest.raises(UserError, match="Did you mean 'dinov2'"):
        fill(torch.nn.Linear(1, 1), {}, layout="dinov22", where="here")
    assert len(LAYOUTS) == 13


def test_files_with_other_objects_are_refused(tmp_path):
    path = tmp_path / "dir.pt"
    torch.save({"state_dict": {"a": torch.zeros(1)}, "pca": PurePosixPath("x")}, path)
    with pytest.raises(DataError, match="saved again as a state dict"):
        load_backbone(torch.nn.Linear(1, 1), path, layout="dir")
    with pytest.raises(DataError, match="no such file"):
        load_backbone(torch.nn.Linear(1, 1), tmp_path / "absent.pth", layout="dir")


def test_the_same_count_in_another_shape_is_refused():
    model = network("resnet_soa", "gem_fc", options=RESNET, dim=128)  # its layer is (128, 256)
    state = renamed(model, [("head.fc.", "fc."), ("head.p", "adpool.p"), ("backbone.", "")])
    state["fc.weight"] = state["fc.weight"].reshape(64, 512)
    with pytest.raises(
        DataError, match=r"of another shape: head\.fc\.weight \(64, 512\) instead of \(128, 256\)"
    ):
        fill(model, state, layout="dir", where="file.pt")


def test_axes_of_one_do_not_count():
    model = network("resnet_soa", "gem_fc", options=RESNET, dim=128)
    state = renamed(model, [("head.fc.", "fc."), ("head.p", "adpool.p"), ("backbone.", "")])
    expected = model(IMAGES)
    state["fc.weight"], state["adpool.p"] = state["fc.weight"][:, :, None, None], state["adpool.p"][0]
    scrambled(model)
    fill(model, state, layout="dir", where="file.pt")
    assert torch.equal(model(IMAGES), expected)


@pytest.mark.parametrize(
    ("backbone", "options", "layout"),
    [
        ("lvvit", {"arch": "lvvit_s", "width": 16, "depth": 2, "heads": 2, "channels": 4}, "lvvit"),
        (
            "timm_model",
            {"arch": "vit_small_patch16_224", "pretrained": False, "arch_options": TIMM_VIT},
            "dino",
        ),
    ],
)
def test_positions_of_another_grid_are_resized(backbone, options, layout):
    # Section 2.2: bicubic in the grid, the class token's own position as it is. Ours does so at every call,
    # so that images on the file's own grid through a network made for it are the same as the stored table resized.
    theirs = network(backbone, "cls", options={**options, "img_size": 64})
    ours = network(backbone, "cls", options={**options, "img_size": 96})
    prefix = "backbone.model." if backbone == "timm_model" else "backbone."
    state = renamed(theirs, [(prefix, "")])
    report = fill(ours, state, layout=layout, where="file.pth")
    assert report.resized == (f"{prefix}pos_embed from 4 x 4 to 6 x 6",)
    there = torch.randn(2, 3, 96, 96, generator=torch.Generator().manual_seed(1))
    assert torch.allclose(ours(there), theirs(there), atol=1e-5)


def test_a_grid_that_is_no_square_is_refused():
    options = {"arch": "lvvit_s", "width": 16, "depth": 2, "heads": 2, "channels": 4, "img_size": 64}
    model = network("lvvit", "cls", options=options)
    state = renamed(model, [("backbone.", "")])
    state["pos_embed"] = torch.zeros(1, 1 + 15, 16)
    with pytest.raises(DataError, match=r"backbone.pos_embed \(1, 16, 16\) instead of \(1, 17, 16\)"):
        fill(model, state, layout="lvvit", where="file.pth")


def test_a_head_that_no_file_of_the_layout_has_stays_as_drawn():
    options = {"arch": "vit_small_patch16_224", "pretrained": False, "img_size": 64, "arch_options": TIMM_VIT}
    model = network("timm_model", "glam", options=options, dim=4)
    state = {
        n.removeprefix("backbone.model."): v
        for n, v in model.state_dict().items()
        if n.startswith("backbone.")
    }
    kept = {name: value.clone() for name, value in model.head.state_dict().items()}
    report = fill(model, state, layout="dino", where="here")
    assert set(report.drawn) <= {f"head.{name}" for name in kept}
    assert all(torch.equal(value, kept[name]) for name, value in model.head.state_dict().items())
    assert "not in the file: head." in str(report)


@pytest.mark.parametrize("module", [b"numpy.core.multiarray", b"numpy._core.multiarray"])
def test_the_arrays_that_cirtorch_keeps_beside_its_weights_are_read(tmp_path, module):
    arrays = {"m": np.zeros((3, 1)), "P": np.eye(3, dtype=np.float32)}
    meta = {
        "mean": [0.485, 0.456, 0.406],
        "std": [0.229, 0.224, 0.225],
        "Lw": {"retrieval-SfM-120k": {"ss": arrays}},
    }
    path = tmp_path / "net.pth"
    # The released files are of 2018: PyTorch's format before zip files, numpy's module before it moved.
    whole = {"meta": meta, "state_dict": {"pool.p": torch.ones(1)}}
    torch.save(whole, path, _use_new_zipfile_serialization=False)
    path.write_bytes(path.read_bytes().replace(b"numpy._core.multiarray", module))
    found = read_checkpoint(path)
    assert found.mean == (0.485, 0.456, 0.406)
    assert found.std == (0.229, 0.224, 0.225)
    assert list(found.state) == ["pool.p"]
