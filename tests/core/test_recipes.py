from pathlib import Path

import pytest
import yaml

from vitret.core import plugins
from vitret.core.config import file_names, yaml_files
from vitret.core.errors import UserError
from vitret.core.recipes import Recipe, System, make_recipe, read_system, read_track, require_trainable

CONFIGS = Path(__file__).resolve().parents[2] / "configs"


def test_a_recipe_names_every_default(configs: Path):
    recipe = make_recipe(configs, "tiny", "toy")
    dumped = recipe.model_dump(mode="json")
    assert dumped["system"]["model"]["head"]["p"] == 2
    assert "layers" in dumped["system"]["model"]["backbone"]
    assert dumped["system"]["losses"][0]["weight"] == 0.5
    assert "margin" in dumped["system"]["losses"][0]


def test_a_recipe_survives_yaml(configs: Path):
    recipe = make_recipe(configs, "tiny", "toy", seed=3)
    again = Recipe.model_validate(yaml.safe_load(yaml.safe_dump(recipe.model_dump(mode="json"))))
    assert again == recipe
    assert again.run_id == recipe.run_id


def test_the_digest_follows_what_changes_weights_and_nothing_else(configs: Path):
    recipe = make_recipe(configs, "tiny", "toy")
    titled = recipe.model_copy(update={"system": recipe.system.model_copy(update={"title": "Other"})})
    assert titled.digest == recipe.digest
    assert make_recipe(configs, "tiny", "toy", seed=1).digest != recipe.digest
    assert make_recipe(configs, "tiny", "toy", assignments=["optimiser.lr=1e-3"]).digest != recipe.digest


def test_settings_of_training_do_not_change_what_is_never_trained(configs: Path):
    text = (configs / "systems" / "tiny.yaml").read_text()
    (configs / "systems" / "still.yaml").write_text(text.partition("losses")[0])
    plain = make_recipe(configs, "still", "toy")
    given = ["optimiser.lr=5", "sampler={name: pxk, k: 2}", "memory={size: 0.5}", "train_on=descriptors"]
    assert make_recipe(configs, "still", "toy", assignments=given).digest == plain.digest
    assert make_recipe(configs, "still", "toy", assignments=["model.head.p=4"]).digest != plain.digest
    budgets = (["track.images_seen=128"], ["track.images_seen=64", "track.batch=2"], ["track.title=Other"])
    own = {make_recipe(configs, "still", "toy", assignments=budget).digest for budget in budgets}
    assert len(own) == 1  # one row beside those of every budget of one's own
    assert plain.digest not in own
    trained = make_recipe(configs, "still", "toy", assignments=["losses=[arcface]", *given]).system
    assert (trained.optimiser.lr, trained.sampler.name, trained.frozen) == (5, "pxk", False)


def test_changing_the_track_makes_it_an_own_budget(configs: Path):
    assert make_recipe(configs, "tiny", "toy").budget == "track"
    changed = make_recipe(configs, "tiny", "toy", assignments=["track.images_seen=128"])
    assert (changed.track.images_seen, changed.budget) == (128, "own")


@pytest.mark.parametrize("name", file_names(CONFIGS / "tracks"))
def test_every_track_has_seeds_enough_to_speak_of_methods(name: str):
    small = name in ("minitown-clean", "minitown-noisy", "minitown-sfm")
    assert read_track(CONFIGS, name).seeds == tuple(range(5 if small else 3))


@pytest.mark.parametrize("name", file_names(CONFIGS / "tracks"))
def test_the_classes_of_every_track_fill_a_batch_of_every_system(name: str):
    """By the counts of the cards; a bench looks again at what is prepared."""
    track = read_track(CONFIGS, name)
    expected = {}
    if track.train_set in plugins.names("datasets"):
        expected = plugins.load("datasets", track.train_set).CARD.expected
    if "classes" not in expected:
        pytest.skip("no card counts its classes")
    classes = expected["classes"].value
    learned = classes - (max(2, round(track.validation * classes)) if track.validation else 0)
    for system in track.systems:
        sampler = read_system(CONFIGS, system).sampler
        if sampler.name == "pxk":
            options = sampler.resolved("samplers").options
            assert track.batch // options["k"] <= learned, system


def test_unknown_options_of_a_part_are_refused(configs: Path):
    with pytest.raises(UserError, match="no option 'q'"):
        make_recipe(configs, "tiny", "toy", assignments=["model.head.q=3"])


@pytest.mark.parametrize(
    ("system", "start"),
    [
        ("gem_r101", "timm: tv_in1k"),
        ("frozen_vit_tiny", "timm: default tag"),
        ("solar", "cirtorch: gl18-tl-resnet101-gem-w-a4d43db.pth"),
        ("tiny_gem_cnn", "random weights"),
        ("tiny_dtop", "random weights"),
    ],
)
def test_a_model_says_what_it_starts_from(system: str, start: str):
    assert read_system(CONFIGS, system).model.starts_from == start


def test_a_model_that_starts_from_a_file_says_its_name():
    system = read_system(CONFIGS, "gem_r101", ["model.backbone.weights=/home/u/mine.pth"])
    assert system.model.starts_from == "file: mine.pth"


def test_what_has_no_loss_is_not_trained(configs: Path):
    recipe = make_recipe(configs, "tiny", "toy", assignments=["losses=[]"])
    assert recipe.system.frozen
    with pytest.raises(UserError, match="has no loss"):
        require_trainable(recipe)


@pytest.mark.parametrize("path", yaml_files(CONFIGS / "systems").values(), ids=lambda p: p.stem)
def test_every_committed_system_resolves_under_its_own_name(path: Path):
    recipe = make_recipe(CONFIGS, path.stem, "coil20")
    assert recipe.system.name == path.stem
    assert isinstance(recipe.system, System)


def test_controls_are_the_systems_that_nothing_trains():
    for name, path in yaml_files(CONFIGS / "systems").items():
        assert read_system(CONFIGS, name).frozen == (path.parent.name == "controls"), path
        assert path.parent.name in ("paper", "tiny", "controls")
