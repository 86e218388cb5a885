"""Networks of torch.hub from a folder: consent first, then their outputs as tokens or descriptors."""

import sys
from pathlib import Path

import pytest
import torch
import yaml
from torch.nn import functional

from vitret.core.errors import DataError, UserError
from vitret.models.flops import count_flops
from vitret.models.foreign.consent import VARIABLE, consenting
from vitret.models.model import load_model, model_digest, save_model
from vitret.models.named import named_network, published_network, published_system

HUBCONF = """
from pathlib import Path
import torch
from parts_of_this_test import Net
dependencies = ["torch"]
Path(__file__).with_name("ran").write_text("code of others ran")
print("a line that must not mix with results")

def net(gives="vector", dim=6, only=None):
    torch.manual_seed(1)
    return Net(gives, dim, only)

def number():
    return 3
"""
PARTS = """
import torch
from torch import nn

class Net(nn.Module):
    def __init__(self, gives, dim, only):
        super().__init__()
        self.gives, self.only, self.patch_size = gives, only, 8
        self.stem = nn.Conv2d(3, dim, 8, stride=8)
        self.cls = nn.Parameter(torch.randn(1, 2, dim))

    def forward(self, x):
        if self.only and tuple(x.shape[2:]) != (self.only, self.only):
            raise ValueError(f"images of {self.only} pixels alone")
        grid = self.stem(x)
        tokens = torch.cat([self.cls.expand(len(x), -1, -1), grid.flatten(2).transpose(1, 2)], dim=1)
        vector = grid.mean((2, 3))
        return {
            "vector": vector, "tokens": tokens, "map": grid, "pair": (vector, [grid]), "text": "no tensor",
            "named": {"x_cls": vector, "x_patches": tokens, "masks": None}, "flat": vector.sum(),
        }[self.gives]
"""


@pytest.fixture
def repository(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A repository of torch.hub whose code leaves a file when it runs."""
    monkeypatch.delenv(VARIABLE, raising=False)
    folder = tmp_path / "hub"
    folder.mkdir()
    (folder / "hubconf.py").write_text(HUBCONF)
    (folder / "parts_of_this_test.py").write_text(PARTS)
    return folder


def network(repository: Path, options: str = "", **given):
    with consenting():
        return named_network(f"torchhub:{repository}:net{options}", say=print, **given)


def images(height: int = 32, width: int = 40) -> torch.Tensor:
    return torch.randn(3, 3, height, width, generator=torch.Generator().manual_seed(0))


def test_without_consent_nothing_of_it_runs_and_the_message_says_what_would(repository: Path):
    with pytest.raises(UserError) as caught:
        named_network(f"torchhub:{repository}:net", say=print)
    said = str(caught.value)
    for words in (
        "with your rights",
        "Nothing of it was fetched or run",
        f"call net of {repository / 'hubconf.py'}",
        "add --trust",
    ):
        assert words in said
    assert not (repository / "ran").exists()
    assert "parts_of_this_test" not in sys.modules


def test_a_remote_repository_is_neither_asked_nor_fetched_without_consent():
    with pytest.raises(
        UserError, match=r"fetch the newest commit of its default branch of https://github.com/a/b"
    ):
        published_network("torchhub:a/b:net")
    with pytest.raises(UserError, match=r"fetch commit 0123abc of https://github.com/a/b and call net"):
        published_network("torchhub:a/b@0123abc:net")


def test_a_vector_is_the_descriptor_as_it_is(repository: Path, capsys):
    model = network(repository)
    expected = functional.normalize(model.backbone.model(images()), dim=-1)
    torch.testing.assert_close(model(images()), expected)
    assert (model.dim, model.patch, model.spec.head.name) == (6, 8, "native")
    assert (repository / "ran").exists()
    streams = capsys.readouterr()
    assert "must not mix" in streams.err
    assert streams.out == ""
    assert "parts_of_this_test" not in sys.modules  # another repository may call a module so


def test_what_is_recorded_names_source_entry_and_a_digest_of_the_code(repository: Path):
    model = network(repository)
    origin = model.backbone.origin
    assert {**origin, "commit": ""} == {
        "source": str(repository),
        "entry": "net",
        "commit": "",
        "trusted": True,
    }
    assert origin["commit"] == model.spec.backbone.options["commit"]
    (repository / "weights.pth").write_bytes(b"an entry may fetch its weights into its own folder")
    assert network(repository).backbone.origin == origin
    (repository / "hubconf.py").write_text(HUBCONF + "\n# changed\n")
    assert network(repository).backbone.origin["commit"] != origin["commit"]


@pytest.mark.parametrize(("head", "start"), [("cls", 0), ("mean", 2), ("gem", 2)])
def test_tokens_become_a_descriptor_by_the_head_that_is_asked_for(repository: Path, head: str, start: int):
    model = network(repository, ":arguments.gives=tokens", head=head)
    tokens = model.backbone.model(images())
    pooled = {
        "cls": tokens[:, 0],
        "mean": tokens[:, 2:].mean(1),
        "gem": tokens[:, 2:].clamp(min=1e-6).pow(3).mean(1).pow(1 / 3),
    }[head]
    torch.testing.assert_close(model(images()), functional.normalize(pooled, dim=-1))
    given = model.backbone(images())
    assert given.prefix[0].shape == (3, 2, 6)
    torch.testing.assert_close(given.grids[0], model.backbone.model.stem(images()))


def test_a_map_goes_to_a_pooling(repository: Path):
    model = network(repository, ":arguments.gives=map:head=mean")
    expected = functional.normalize(model.backbone.model.stem(images()).mean((2, 3)), dim=-1)
    torch.testing.assert_close(model(images()), expected)
    assert model.backbone(images(8, 8)).grids[0].shape == (3, 6, 1, 1)  # one place, and still a map


def test_a_network_that_does_not_run_on_shapes_alone_is_measured_without_flops(repository: Path):
    reads_numbers = "Net.forward = lambda self, x, given=Net.forward: (x.sum().item(), given(self, x))[1]"
    (repository / "parts_of_this_test.py").write_text(f"{PARTS}\n{reads_numbers}\n")
    model = network(repository)
    assert model(images()).shape == (3, 6)
    assert model.patch == 8
    with pytest.raises(RuntimeError, match="does not run on shapes alone"):
        count_flops(model, 32, 32)


@pytest.mark.parametrize(("gives", "output"), [("named", "x_cls"), ("pair", "0")])
def test_one_of_several_outputs_is_named(repository: Path, gives: str, output: str):
    model = network(repository, f":arguments.gives={gives}:output={output}")
    torch.testing.assert_close(model(images()), network(repository)(images()))


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (
            ":arguments.gives=named",
            r"3 outputs: x_cls \(1, 6\), x_patches \(1, 786, 6\), masks NoneType.*output=NAME",
        ),
        (":arguments.gives=named:output=x_clss", "no output 'x_clss'. Did you mean 'x_cls'"),
        (":arguments.gives=named:output=masks", "output=masks is NoneType, not a tensor"),
        (":output=x", "gives one tensor"),
        (":arguments.gives=text", "gives str, not one tensor"),
        (":arguments.gives=flat", r"gives \(\).*Expected \(images, channels\)"),
        (":arguments.gives=tokens", "tokens of 6 channels, not one vector an image.*--head cls, gem or mean"),
        (":arguments.gives=map", "a map of 6 channels.*--head gem or mean"),
        (":head=gem", "one vector an image, which is the descriptor as it is"),
        (":arguments.gives=tokens:head=cls:prefix_tokens=5", "Correct patch or prefix_tokens"),
        (":arguments.gives=tokens:head=cls:patch=16", "Correct patch|other tokens"),
        (
            ":arguments.only=30",
            r"fails on an image of 224×224 pixels \(images of 30 pixels alone\).*size=PIXELS",
        ),
        (":arguments.width=3", r"TypeError.*arguments.NAME=VALUE"),
        (":outptu=x", "'outptu=x' is no option of it.*Did you mean 'output'"),
        (":commit=x", "'commit=x' is no option of it"),
        (":gem", "'gem' is no option of it"),
    ],
)
def test_what_does_not_fit_is_refused_with_what_came(repository: Path, options: str, words: str):
    if "patch=16" in options:  # 784 patches of 8 pixels are 196 of 16 and 588 others, which is possible
        options += ":prefix_tokens=2"
    with pytest.raises(UserError, match=words):
        network(repository, options)


def test_a_name_without_an_entry_a_repository_or_a_folder_is_refused(repository: Path, tmp_path: Path):
    with consenting():
        for name, words in [
            (f"torchhub:{repository}", "expected torchhub:OWNER/REPO:ENTRY"),
            ("torchhub:megaloc:net", "expected OWNER/NAME, or the path of a folder"),
            (f"torchhub:{tmp_path / 'absent'}:net", "there is no such folder"),
            (f"torchhub:{tmp_path}:net", "has no hubconf.py"),
            (f"torchhub:{repository}:nett", "RuntimeError: Cannot find callable nett"),
            (f"torchhub:{repository}:number", "gives int, not a network"),
        ]:
            with pytest.raises(UserError, match=words):
                named_network(name, say=print)


def test_a_network_of_one_size_gets_every_image_at_that_size(repository: Path):
    model = network(repository, ":arguments.only=32:size=32")
    assert model.backbone.sizes.fixed == (32, 32)
    assert any("takes 32×32 pixels alone" in note for note in model.backbone.notes)
    assert model(images(48, 64)).shape == (3, 6)


def test_mean_and_deviation_are_those_given_or_imagenets_which_is_said(repository: Path):
    own = network(repository, ":mean=[0.5,0.4,0.3]:std=[1,1,1]")
    assert (own.mean, own.std, own.backbone.notes) == ((0.5, 0.4, 0.3), (1.0, 1.0, 1.0), [])
    other = network(repository)
    assert other.mean == (0.485, 0.456, 0.406)
    assert "ImageNet's" in other.backbone.notes[0]


def test_neither_a_checkpoint_nor_a_system_file_consents_for_its_reader(repository: Path, tmp_path: Path):
    model = network(repository)
    save_model(tmp_path / "theirs.safetensors", model)
    system = tmp_path / "theirs.yaml"
    spec = model.spec.model_dump(mode="json")
    system.write_text(yaml.safe_dump({"name": "theirs", "title": "Theirs", "model": spec}))
    (repository / "ran").unlink()
    for name in (tmp_path / "theirs.safetensors", system):
        with pytest.raises(UserError, match="add --trust"):
            named_network(str(name), say=print)
    assert not (repository / "ran").exists()
    with consenting():
        assert model_digest(load_model(tmp_path / "theirs.safetensors")[0]) == model_digest(model)
        assert model_digest(named_network(str(system), say=print)) == model_digest(model)
    (repository / "hubconf.py").write_text(HUBCONF + "\n# changed\n")
    with consenting(), pytest.raises(DataError, match="as recorded"):
        load_model(tmp_path / "theirs.safetensors")


def test_a_system_of_a_network_is_named_after_it_and_its_options(repository: Path):
    with consenting():
        plain = published_system(f"torchhub:{repository}:net")
        other = published_system(f"torchhub:{repository}:net:arguments.gives=tokens:head=mean")
    assert plain.frozen
    assert plain.name.startswith("torchhub-hub-net-files-")
    assert plain.name != other.name
    assert "/" not in plain.name
    assert other.title == "torchhub:hub:net mean, frozen"
    assert other.model.starts_from.startswith(f"{repository}@files-")


def test_timm_takes_options_behind_its_name_too():
    spec = published_network("timm:test_vit:head=mean:img_size=32")
    assert (spec.head.name, spec.backbone.options["img_size"]) == ("mean", 32)
    with pytest.raises(UserError, match="'heat=mean' is no option of it"):
        published_network("timm:test_vit:heat=mean")
