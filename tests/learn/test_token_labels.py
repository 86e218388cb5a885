import json
from pathlib import Path

import numpy as np
import pytest
import safetensors.torch
import torch
from typer.testing import CliRunner

from vitret.cli.labels import app
from vitret.core.errors import DataError, UserError
from vitret.core.networks import ModelSpec, Part
from vitret.learn import label_maps, loop
from vitret.learn.label_maps import Classifier, read_maps, write_label_maps
from vitret.learn.token_labels import TokenLabelSpec, cropped, train_token_labels
from vitret.models.backbones.timm_model import timm
from vitret.models.model import build_model, load_model

pytestmark = pytest.mark.slow

CPU = torch.device("cpu")
SPEC = TokenLabelSpec(size=32, images_seen=48 * 20, batch=24, lr=3e-3)


def lvvit(**options):
    torch.manual_seed(0)
    tiny = {"arch": "lvvit_t", "width": 24, "depth": 2, "heads": 2, "channels": 8, "img_size": 32}
    return build_model(ModelSpec(backbone=Part(name="lvvit", options=tiny | options), head=Part(name="cls")))


@pytest.fixture
def classifier(tiny):
    """An untrained network and a random classifier of seven classes of its own."""
    torch.manual_seed(1)
    model = build_model(tiny.recipe().system.model)
    width = model.backbone.widths[-1]
    return Classifier(model=model, weight=torch.randn(7, width), bias=torch.zeros(7))


@pytest.fixture
def maps(tiny, patterns, classifier, tmp_path):
    images = tiny.trainset(patterns).images
    return write_label_maps(tmp_path / "maps.npy", images, classifier, size=64, device=CPU, batch=10)


def test_maps_are_written_once_and_hold_what_the_classifier_says(tiny, patterns, classifier, maps, tmp_path):
    images = tiny.trainset(patterns).images
    assert maps.shape == (48, 2, 5, 4, 4)
    before = (tmp_path / "maps.npy").stat().st_mtime_ns
    again = write_label_maps(tmp_path / "maps.npy", images, classifier, size=64, device=CPU, batch=3)
    assert (tmp_path / "maps.npy").stat().st_mtime_ns == before
    assert np.array_equal(again, maps)
    assert (maps[:, 1] < 7).all()
    assert np.allclose(np.sort(maps[:, 0], axis=1)[:, ::-1], maps[:, 0])


def test_an_interrupted_writing_continues_with_the_same_maps(
    tiny, patterns, classifier, maps, tmp_path, monkeypatch
):
    monkeypatch.setattr(label_maps, "_BLOCK", 20)
    images, path, seen = tiny.trainset(patterns).images, tmp_path / "killed.npy", []

    def killed(done, total, words):
        seen.append(done)
        if len(seen) == 4:  # 10, 20 | 30, 40: twenty are on disk
            raise KeyboardInterrupt

    given = {"size": 64, "device": CPU, "batch": 10, "progress": killed}
    with pytest.raises(KeyboardInterrupt):
        write_label_maps(path, images, classifier, **given)
    assert not path.exists()
    again = write_label_maps(path, images, classifier, **given)
    assert seen[4:] == [30, 40, 48]
    assert np.array_equal(again, maps)


def test_a_crop_is_cut_where_its_box_says():
    image = torch.arange(16.0).view(1, 1, 4, 4)
    whole = torch.tensor([[0.0, 0.0, 1.0, 1.0]])
    still, mirrored = torch.tensor([False]), torch.tensor([True])
    assert torch.allclose(cropped(image, whole, still), image, atol=1e-5)
    assert torch.allclose(cropped(image, whole, mirrored), image.flip(3), atol=1e-5)
    right = cropped(image, torch.tensor([[0.5, 0.0, 1.0, 1.0]]), still)
    assert right[0, 0, 0].tolist() == pytest.approx([1.75, 2.25, 2.75, 3.0], abs=1e-5)


def test_it_learns_and_its_network_can_be_used(tiny, patterns, maps, tmp_path, monkeypatch):
    monkeypatch.setattr(loop, "LOG_EVERY", 5)
    told = []
    path = train_token_labels(
        lvvit(classes=7, patch_classes=7),
        tiny.trainset(patterns),
        maps,
        tmp_path / "lvvit.safetensors",
        spec=SPEC,
        device=CPU,
        progress=lambda done, total, words: told.append(words),
    )
    assert len(told) == 40
    first, last = (float(told[step - 1].split()[2]) for step in (5, 40))  # means of five losses
    assert last < 0.93 * first
    model, _ = load_model(path)
    with torch.no_grad():
        assert model(torch.randn(2, 3, 32, 48)).norm(dim=1).tolist() == pytest.approx([1, 1], abs=1e-5)


def test_an_interrupted_labelling_gives_the_same_bytes(tiny, patterns, maps, tmp_path, monkeypatch):
    monkeypatch.setattr(loop, "LOG_EVERY", 2)
    monkeypatch.setattr(loop, "_SAVING", np.inf)
    given = {"spec": SPEC.model_copy(update={"images_seen": 240}), "device": CPU}
    trainset = tiny.trainset(patterns)
    networks = [lvvit(classes=7, patch_classes=7, drop_path=0.1) for _ in range(3)]
    straight = train_token_labels(networks[0], trainset, maps, tmp_path / "straight.safetensors", **given)

    def killed(done, total, words):
        if done == 6:
            raise KeyboardInterrupt

    path = tmp_path / "killed.safetensors"
    with pytest.raises(KeyboardInterrupt):
        train_token_labels(networks[1], trainset, maps, path, progress=killed, save_seconds=0.0, **given)
    assert not path.exists()
    seen = []
    train_token_labels(
        networks[2], trainset, maps, path, progress=lambda done, *_: seen.append(done), **given
    )
    assert seen[0] == 5  # saved after step 4
    assert path.read_bytes() == straight.read_bytes()


def test_the_average_is_kept_when_asked_for(tiny, patterns, maps, tmp_path):
    trainset, spec = tiny.trainset(patterns), SPEC.model_copy(update={"images_seen": 48, "ema": 0.5})
    states = []
    for ema in (None, 0.5):
        given = {"spec": spec.model_copy(update={"ema": ema}), "device": CPU}
        path = tmp_path / f"{ema}.safetensors"
        train_token_labels(lvvit(classes=7, patch_classes=7), trainset, maps, path, **given)
        states.append(safetensors.torch.load_file(path)["backbone.head.bias"])
    last, average = states
    assert 0 < average.norm() < last.norm()  # it starts at zero and lags behind


def run(*words):
    result = CliRunner().invoke(app, [*map(str, words)], catch_exceptions=False)
    assert result.exit_code == 0, result.output
    return result.stdout.strip().splitlines()[-1]


def test_from_the_command_line_to_a_retrieval_backbone(town, tmp_path, monkeypatch):
    monkeypatch.setenv("VITRET_DATA", str(town))
    torch.manual_seed(0)
    weights = timm.create_model("test_vit", num_classes=7).state_dict()
    safetensors.torch.save_file(weights, tmp_path / "classifier.safetensors")
    told = ["--classifier", "timm:test_vit", "--weights", tmp_path / "classifier.safetensors", "--size", 64]
    maps = run("write", "minitown-sfm", *told, "--device", "cpu")
    assert run("write", "minitown-sfm", *told, "--device", "cpu") == maps
    changes = {"size": 32, "images_seen": 48, "batch": 12, "backbone.arch": "lvvit_t", "backbone.width": 24}
    changes |= {"backbone.depth": 2, "backbone.heads": 2, "backbone.channels": 8}
    words = [word for key, value in changes.items() for word in ("--set", f"{key}={value}")]
    file = run("train", "minitown-sfm", "--maps", maps, *words, "--device", "cpu")
    trained = load_model(Path(file))[0]
    assert trained.backbone.aux_head.out_features == 7
    assert trained.backbone.head.out_features == 7  # the class token learns the classifier's label too
    shape = {key.removeprefix("backbone."): value for key, value in changes.items() if "backbone" in key}
    backbone = Part(name="lvvit", options={**shape, "img_size": 32, "weights": file})
    model = build_model(ModelSpec(backbone=backbone, head=Part(name="gem")))
    state = model.backbone.state_dict()
    assert "head.weight" not in state
    assert all(torch.equal(value, trained.backbone.state_dict()[name]) for name, value in state.items())
    with pytest.raises(DataError, match="vitret labels write"):
        run("train", "minitown-sfm", "--maps", tmp_path / "absent.npy")
    with pytest.raises(DataError, match="does not fit"):
        build_model(
            ModelSpec(
                backbone=backbone.model_copy(update={"options": {**backbone.options, "depth": 3}}),
                head=Part(name="gem"),
            )
        )


def test_other_backbones_are_refused(tiny, patterns, maps, classifier, tmp_path):
    with pytest.raises(UserError, match="an LV-ViT with classifiers"):
        train_token_labels(
            classifier.model, tiny.trainset(patterns), maps, tmp_path / "x", spec=SPEC, device=CPU
        )


def test_the_true_label_is_learned_on_demand(tiny, patterns, maps, tmp_path):
    trainset = tiny.trainset(patterns)
    spec = SPEC.model_copy(update={"images_seen": 48, "class_target": "true"})
    network = lvvit(classes=trainset.classes, patch_classes=7)
    assert train_token_labels(network, trainset, maps, tmp_path / "true", spec=spec, device=CPU).is_file()
    with pytest.raises(UserError, match=f"needs a class token of {trainset.classes} classes"):
        train_token_labels(
            lvvit(classes=7, patch_classes=7), trainset, maps, tmp_path / "x", spec=spec, device=CPU
        )


def test_both_labels_are_mixed_only_where_they_are_of_the_same_classes(tiny, patterns, maps, tmp_path):
    trainset = tiny.trainset(patterns)
    spec = SPEC.model_copy(update={"images_seen": 48, "class_target": "mixed"})
    with pytest.raises(UserError, match="a classifier of the set's own classes"):
        train_token_labels(
            lvvit(classes=7, patch_classes=7), trainset, maps, tmp_path / "x", spec=spec, device=CPU
        )


def test_maps_of_probabilities_are_refused(tiny, patterns, maps, tmp_path):
    trainset = tiny.trainset(patterns)
    card = {"set": "x", "digest": trainset.digest, "classifier": "c", "classes": 7, "size": 64}
    (tmp_path / "maps.json").write_text(json.dumps({**card, "shape": [2, 5, 4, 4]}))
    with pytest.raises(DataError, match="holds probabilities"):
        read_maps(tmp_path / "maps.npy", trainset)
