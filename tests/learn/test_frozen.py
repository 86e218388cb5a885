"""A linear head on a frozen network's descriptors learns what it would learn behind the frozen network itself."""

from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest
import torch

from vitret.core.config import location
from vitret.core.errors import UserError
from vitret.core.networks import ModelSpec
from vitret.core.recipes import ImagePolicy, Recipe
from vitret.core.records import Images, TrainSet
from vitret.core.store import file_sha256
from vitret.describe import cache
from vitret.learn.frozen import joined, protocol_of, rows_of, split_at_head
from vitret.learn.train import train
from vitret.models.model import build_model, load_model

CPU = torch.device("cpu")
AS_IS = {"size": 32, "flip": False}
LOSSES = ["proxy_anchor", {"name": "koleo", "weight": 0.1}]


def head_recipe(tiny: ModuleType, images_seen: int = 120, **changes: Any) -> Recipe:
    system = {
        "model": {"backbone": tiny.TINY_VIT, "head": {"name": "linear", "base": "cls", "dim": 24}},
        "losses": LOSSES,
        "optimiser": {"lr": 3e-3},
        "train_on": "descriptors",
        "track_image": AS_IS,
    }
    recipe: Recipe = tiny.recipe(images_seen=images_seen, **{**system, **changes})
    return recipe


def through(recipe: Recipe) -> Recipe:
    """The same training with the frozen network run at every step."""
    system = recipe.system.model_dump(mode="json") | {"train_on": "images"}
    system["optimiser"] |= {"learns": ["head.linear.*", "losses.*"]}
    return Recipe.model_validate({**recipe.model_dump(mode="json"), "system": system}).resolved()


def assert_same_head(one: Path, other: Path, atol: float) -> None:
    ours, theirs = (load_model(path)[0].state_dict() for path in (one, other))
    assert ours.keys() == theirs.keys()
    for name, value in ours.items():
        assert torch.allclose(value, theirs[name], atol=atol if ".linear." in name else 0), name


def trained(tiny: ModuleType, folder: Path, home: Path, recipe: Recipe, **options: Any) -> Path:
    return train(recipe, tiny.trainset(folder), tiny.run_of(home, recipe), device=CPU, **options)


@pytest.mark.slow
def test_it_learns_what_it_would_learn_behind_the_network(tiny: ModuleType, patterns: Path, tmp_path: Path):
    backbone = {
        **tiny.TINY_VIT,
        "drop_path": 0.0,
    }  # a network that trains drops paths, one that describes does not
    recipe = head_recipe(
        tiny, model={"backbone": backbone, "head": {"name": "linear", "base": "cls", "dim": 24}}
    )
    ours = trained(tiny, patterns, tmp_path / "ours", recipe)
    theirs = trained(tiny, patterns, tmp_path / "theirs", through(recipe))
    assert_same_head(ours, theirs, atol=2e-5)
    start = build_model(recipe.system.model).head.linear.weight
    assert not torch.allclose(load_model(ours)[0].head.linear.weight, start, atol=1e-2)


@pytest.mark.slow
def test_it_does_so_on_real_photographs_of_a_real_network(tiny: ModuleType, tmp_path: Path):
    folder = Path(__file__).parents[3] / "shared" / "data" / "coil20" / "images"
    weights = location("weights").path / "vit_tiny_patch16_224.safetensors"
    weights = weights if weights.is_file() else folder.parents[1] / "weights" / weights.name
    if not folder.is_dir() or not weights.is_file():
        pytest.skip("needs the photographs and weights of ../shared/data")
    names = [str(path.relative_to(folder)) for path in sorted(folder.rglob("*.png"))][::18][:24]
    labels = np.arange(24, dtype=np.int64) // 4
    trainset = TrainSet(name="coil", images=Images.of(folder, names), labels=labels)
    backbone = {"name": "timm_model", "arch": "vit_tiny_patch16_224", "weights": str(weights)}
    recipe = head_recipe(
        tiny,
        images_seen=32,
        model={"backbone": backbone, "head": {"name": "linear", "base": {"name": "gem", "p": 2.0}}},
        losses=["arcface"],
        sampler="random",
        track_image={"size": 64, "flip": False},
        track_batch=8,
        track_validation=0.0,
    )
    ours, theirs = (
        train(r, trainset, tiny.run_of(tmp_path / home, r), device=CPU)
        for r, home in ((recipe, "ours"), (through(recipe), "theirs"))
    )
    assert_same_head(ours, theirs, atol=2e-4)


def test_descriptors_are_made_once_for_all_losses(
    tiny: ModuleType, patterns: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    made = []
    extract = cache.extract
    monkeypatch.setattr(cache, "extract", lambda *args, **more: made.append(1) or extract(*args, **more))
    for losses in (["arcface"], ["madacos"], ["hyperbolic"]):
        trained(tiny, patterns, tmp_path, head_recipe(tiny, images_seen=24, losses=losses))
    assert made == [1]


def test_interrupted_it_ends_in_the_same_bytes(tiny: ModuleType, patterns: Path, tmp_path: Path):
    recipe = head_recipe(tiny)
    straight = trained(tiny, patterns, tmp_path / "straight", recipe)

    def interrupt(done: int, total: int, words: str) -> None:
        if total == 10 and done == 4:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        trained(tiny, patterns, tmp_path / "stopped", recipe, progress=interrupt, save_seconds=0.0)
    again = trained(tiny, patterns, tmp_path / "stopped", recipe)
    assert file_sha256(again) == file_sha256(straight)


def test_a_memory_and_an_average_work_on_descriptors(tiny: ModuleType, patterns: Path, tmp_path: Path):
    recipe = head_recipe(
        tiny,
        losses=["contrastive"],
        memory={"size": 1.0, "momentum": 0.9},
        optimiser={"lr": 3e-3, "ema": 0.5, "accumulate": 2},
    )
    model, spec = load_model(trained(tiny, patterns, tmp_path, recipe))
    assert spec.head.name == "linear"
    assert model(torch.zeros(1, 3, 32, 32)).shape == (1, 24)


def test_tuples_are_mined_by_the_head_that_learns(tiny: ModuleType, patterns: Path, tmp_path: Path):
    recipe = head_recipe(
        tiny,
        images_seen=36,
        losses=[{"name": "triplet_sos", "negatives": 2}],
        sampler={"name": "tuples", "negatives": 2},
    )
    assert trained(tiny, patterns, tmp_path, recipe).is_file()


def test_a_trained_run_is_adapted_by_a_head_on_its_own(tiny: ModuleType, patterns: Path, tmp_path: Path):
    backbone = {**tiny.TINY_VIT, "drop_path": 0.0}
    run = trained(
        tiny,
        patterns,
        tmp_path,
        tiny.recipe(images_seen=24, model={"backbone": backbone, "head": {"name": "gem", "p": 2.0}}),
    )
    model = {
        "backbone": backbone,
        "head": {"name": "linear", "base": {"name": "gem", "p": 2.0}},
        "checkpoint": {"file": str(run), "layout": "vitret"},
    }
    recipe = head_recipe(tiny, images_seen=24, model=model)
    assert recipe.system.model.starts_from == f"vitret: {run.parent.name}"
    before, after = load_model(run)[0].state_dict(), load_model(trained(tiny, patterns, tmp_path, recipe))[0]
    assert torch.equal(after.head.base.p, before["head.p"])
    for name, value in after.backbone.state_dict(prefix="backbone.").items():
        assert torch.equal(value, before[name]), name


def test_a_head_without_a_frozen_part_is_refused(tiny: ModuleType, patterns: Path, tmp_path: Path):
    with pytest.raises(UserError, match="base: cls"):
        trained(tiny, patterns, tmp_path, head_recipe(tiny, model={"backbone": tiny.TINY_VIT, "head": "cls"}))


def test_an_image_that_cannot_be_read_is_named(tiny: ModuleType, tmp_path: Path):
    tiny.draw(tmp_path / "images")
    (tmp_path / "images" / "2-3.png").write_bytes(b"\x89PNG broken")
    with pytest.raises(UserError, match=r"2-3\.png"):
        trained(tiny, tmp_path / "images", tmp_path / "home", head_recipe(tiny))


def test_splitting_and_joining_gives_the_same_network(tiny: ModuleType):
    spec = ModelSpec.model_validate(
        {"backbone": {**tiny.TINY_VIT, "drop_path": 0.0}, "head": {"name": "linear", "dim": 5}}
    )
    torch.manual_seed(0)
    model = build_model(spec).eval()
    frozen, learned = split_at_head(model)
    images = torch.randn(2, 3, 32, 32)
    with torch.no_grad():
        whole = model(images)
        assert torch.allclose(learned.eval()(frozen(images)), whole, atol=1e-6)
        assert torch.equal(joined(frozen, learned).eval()(images), whole)
    assert [name for name, _ in learned.named_parameters()] == ["head.linear.weight", "head.linear.bias"]


@pytest.mark.parametrize(
    ("policy", "line"),
    [
        (ImagePolicy(size=224), (224, "square", None)),
        (ImagePolicy(size=224, resize=256), (256, "square", 224)),
        (ImagePolicy(policy="longer", size=1024), (1024, "longer", None)),
        (ImagePolicy(policy="groups", size=448), (512, "longer", None)),
    ],
)
def test_images_are_described_at_the_size_of_the_track(
    policy: ImagePolicy, line: tuple[int, str, int | None]
):
    protocol = protocol_of(policy)
    assert (protocol.size, protocol.size_rule, protocol.centre_crop) == line


def test_boxes_of_one_file_are_images_of_their_own():
    boxes = np.array([[0, 0, 1, 1], [1, 1, 2, 2], [np.nan] * 4], np.float64)
    whole = Images.of(Path("x"), ["a", "a", "b"], boxes)
    assert rows_of(whole, whole.take(np.array([2, 1]))) == [2, 1]
