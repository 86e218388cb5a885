from pathlib import Path

import pytest

from vitret.core import plugins
from vitret.core.ablations import make_variants, read_ablation
from vitret.core.config import file_names
from vitret.core.errors import UserError
from vitret.core.recipes import make_recipe

pytestmark = pytest.mark.slow

CONFIGS = Path(__file__).resolve().parents[2] / "configs"
NAMES = file_names(CONFIGS / "ablations")


def write(configs: Path, *changes: str) -> None:
    listed = "".join(f"  - {change}\n" for change in changes)
    (configs / "ablations" / "p.yaml").write_text(f"system: tiny\ntitle: P\nchanges:\n{listed}")


def test_the_system_comes_first_as_it_is_and_each_change_has_its_own_name(configs: Path):
    write(
        configs, "{title: Larger p, set: [model.head.p=4]}", "{title: mean, set: ['model.head={name: mean}']}"
    )
    base, larger, mean = make_variants(configs, "p", "toy")
    assert base == make_recipe(configs, "tiny", "toy")
    assert (larger.system.name, larger.system.title) == ("tiny+larger_p", "Tiny, Larger p")
    assert larger.system.model.head.options["p"] == 4
    assert (mean.system.name, mean.system.model.head.name) == ("tiny+mean", "mean")
    assert {r.budget for r in (base, larger, mean)} == {"track"}
    assert len({r.run_id for r in (base, larger, mean)}) == 3


def test_what_is_set_for_all_holds_for_all_and_a_change_has_the_last_word(configs: Path):
    write(configs, "{title: larger, set: [model.head.p=4]}")
    base, larger = make_variants(
        configs, "p", "toy", seed=2, assignments=["optimiser.lr=1e-3", "model.head.p=1"]
    )
    assert (base.system.model.head.options["p"], larger.system.model.head.options["p"]) == (1, 4)
    assert {(r.system.optimiser.lr, r.seed) for r in (base, larger)} == {(1e-3, 2)}


def test_a_change_that_changes_nothing_is_refused(configs: Path):
    write(configs, "{title: same, set: [model.head.p=2]}")
    with pytest.raises(UserError, match="'same' is the same system as 'tiny'"):
        make_variants(configs, "p", "toy")


def test_two_changes_of_one_name_are_refused(configs: Path):
    write(configs, "{title: more, set: [model.head.p=3]}", "{title: More, set: [model.head.p=4]}")
    with pytest.raises(UserError, match="called alike"):
        make_variants(configs, "p", "toy")


def test_a_change_leaves_the_track_alone(configs: Path):
    write(configs, "{title: longer, set: [track.images_seen=128]}")
    with pytest.raises(UserError, match="the track is the same"):
        make_variants(configs, "p", "toy")


def test_an_unknown_ablation_is_answered_with_the_nearest():
    with pytest.raises(UserError, match=r"no ablation called 'dtob'.*dtop"):
        read_ablation(CONFIGS, "dtob")


@pytest.mark.parametrize("name", NAMES)
def test_each_variant_is_another_system_that_can_be_built(name: str):
    """One differs from another in more than its name: `make_variants` refuses what does not."""
    recipes = make_variants(CONFIGS, name, "minitown-sfm")
    assert len({recipe.digest for recipe in recipes}) == len(read_ablation(CONFIGS, name).changes) + 1
    for recipe in recipes:
        spec = recipe.system.model
        options = {
            **spec.backbone.options,
            **({"pretrained": False} if "pretrained" in spec.backbone.options else {}),
        }
        backbone = plugins.build("backbones", spec.backbone.name, **options)
        head = plugins.build("heads", spec.head.name, backbone.widths, **spec.head.options)
        assert head.dim == (192 if name == "irt_r" else 128)


def test_the_switches_named_in_the_papers_are_there():
    dtop = {recipe.system.name for recipe in make_variants(CONFIGS, "dtop", "minitown-sfm")}
    assert {f"tiny_dtop+{k}" for k in ("plain_patches", "global_only", "local_only", "no_locality")} <= dtop
    layers = {
        recipe.system.model.backbone.options["layers"]
        for recipe in make_variants(CONFIGS, "dtop", "minitown-sfm")
    }
    assert layers == {1, 2, 3, 4}
    fusions = {
        recipe.system.model.head.options["fusion"]
        for recipe in make_variants(CONFIGS, "dalg_r", "minitown-sfm")
    }
    assert fusions == {"none", "concat", "hadamard", "orthogonal", "cross1", "cross2"}
