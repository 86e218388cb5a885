"""A bench measures what is prepared, and its plan works before anything is."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from small_bench import draw, finish, linked, make_places, write_categories

from vitret.compare.asked import Places, Problems, Request, ask
from vitret.compare.plan import plan
from vitret.compare.work import resolve
from vitret.core.errors import DataError, UserError
from vitret.core.networks import ModelSpec, Part
from vitret.core.recipes import Recipe, System, Track
from vitret.data.layout.write import LayoutWriter

PROTOCOL = "protocol: {size: 32, size_rule: square, query_size: same_size, crop: none}\n"


@pytest.fixture
def places(tmp_path: Path) -> Places:
    """A frozen system under two suites: `own` of the prepared set `test`, `far` of sets that are not there."""
    found = make_places(tmp_path / "places", track="none", suite="own")
    measures = "levels: [all]\nmetrics: [mAP]\nprimary: mAP\n"
    (found.suites / "own.yaml").write_text(
        f"name: own\nsets: [test]\ndistractors: revisitop1m\n{measures}{PROTOCOL}"
    )
    (found.suites / "far.yaml").write_text(
        "name: far\nsets: [roxford5k, rparis6k]\ndistractors: revisitop1m\nlevels: [hard]\nmetrics: [mAP]\n"
        f"primary: mAP (hard)\n{PROTOCOL}"
    )
    with LayoutWriter(found.data, "test", workers=1) as writer:
        write_categories(writer, draw(tmp_path / "drawn", patterns=3, views=2), views=2)
    return found


def test_one_command_prepares_everything_that_is_missing(places: Places):
    with pytest.raises(DataError) as told:
        resolve(places, Request(train_set="none", suite="far"))
    (line, other) = str(told.value).split("\n")
    assert line.startswith(f"Not prepared in {places.data}: ")
    command = line.partition("Prepare them: ")[2]
    assert command.startswith("vitret prepare ")
    assert sorted(command.split()[2:]) == ["revisitop1m", "roxford5k", "rparis6k"]
    assert "--without-distractors" in other
    assert sorted(other.partition("Prepare the others: vitret prepare ")[2].split()) == [
        "roxford5k",
        "rparis6k",
    ]


def test_without_distractors_what_is_prepared_is_measured(places: Places):
    with pytest.raises(DataError, match=r"Not prepared in .*: revisitop1m.*vitret prepare revisitop1m\n"):
        resolve(places, Request(train_set="none"))
    work = resolve(places, Request(train_set="none", seeds=1, without_distractors=True))
    assert work.distractors is None
    assert list(work.tasks[0].rows) == ["test"]


def test_the_plan_counts_runs_images_and_disk_before_anything_is_prepared(places: Places):
    lines = plan(places, Request(train_set="none", suite="far", seeds=1))
    assert "frozen, then measure roxford5k, rparis6k, roxford5k+revisitop1m" in lines[0]
    assert lines[1] == "Runs under suite far: 1; none trains."
    images = 70 + 4_993 + 70 + 6_322 + 1_001_001
    assert lines[2].startswith(f"Images to describe: at most {images:,};")
    assert lines[3].startswith("Descriptors: at most ")
    assert "Not prepared: revisitop1m, 420 GB and 1 file of unknown size to fetch, 430 GB of disk" in lines
    assert "vitret prepare " in lines[-2]
    assert not places.home.exists()
    without = plan(places, Request(train_set="none", suite="far", seeds=1, without_distractors=True))
    assert not any("revisitop1m" in line for line in without)
    assert f"at most {images - 1_001_001:,};" in without[2]


def test_the_plan_of_a_set_of_unknown_size_does_not_say_that_it_has_none(places: Places):
    request = Request(train_set="none", eval_sets=["rminitown-east", "sfm120k"], without_distractors=True)
    assert [line for line in plan(places, request) if line.startswith("Not prepared: ")] == [
        "Not prepared: rminitown-east, nothing to fetch",
        "Not prepared: sfm120k, 2 files of unknown size to fetch, 70 GB of disk",
    ]


def test_the_plan_of_prepared_sets_counts_what_is_there(places: Places):
    lines = plan(places, Request(train_set="none", seeds=1, without_distractors=True))
    assert "Images to describe: at most 12;" in lines[2]
    assert not any(line.startswith("Not prepared") for line in lines)
    with pytest.raises(UserError, match="Did you mean 'frozen'"):
        plan(places, Request(train_set="none", systems=["frozn"]))


def test_a_system_that_cannot_fill_a_batch_is_named_before_anything_runs(places: Places, tmp_path: Path):
    with LayoutWriter(places.data, "small", workers=1) as writer:
        writer.train(linked(writer, draw(tmp_path / "small", patterns=3, views=2)), [0, 0, 1, 1, 2, 2])
        finish(writer)
    (places.configs / "systems" / "paired.yaml").write_text(
        "name: paired\ntitle: Paired\nlosses: [{name: contrastive}]\nsampler: {name: pxk, k: 2}\n"
        "model: {backbone: {name: timm_model, arch: test_vit, pretrained: false, img_size: 32}, head: gem}\n"
    )
    track = "name: small\ntrain_set: small\nimages_seen: 16\nvalidation: 0\nsuite: own\nsystems: [frozen, paired]\n"
    (places.configs / "tracks" / "small.yaml").write_text(f"{track}batch: 8\n")
    request = Request(train_set="small", seeds=2, without_distractors=True)
    with pytest.raises(UserError) as told:
        plan(places, request)
    assert str(told.value).startswith(
        "paired cannot learn from small: sampler pxk: a batch of 8 holds 4 classes"
    )
    assert str(told.value).count("cannot learn") == 1
    (places.configs / "tracks" / "small.yaml").write_text(f"{track}batch: 6\n")
    assert len(resolve(places, request).tasks) == 4


def test_a_set_of_ones_own_is_named_where_it_is_missing(places: Places):
    with pytest.raises(DataError, match=r"There is no set 'xyzzy'.*vitret prepare xyzzy --from DIR"):
        resolve(places, Request(train_set="none", eval_sets=["xyzzy"], without_distractors=True))


@pytest.fixture
def learner(places: Places) -> str:
    """A system that trains."""
    (places.configs / "systems" / "moved.yaml").write_text(
        "name: moved\ntitle: Moved\nlosses: [{name: arcface}]\n"
        "model: {backbone: {name: timm_model, arch: test_vit, pretrained: false, img_size: 32}, head: gem}\n"
    )
    return "moved"


def test_under_none_nothing_is_trained(places: Places, learner: str):
    (places.configs / "ablations").mkdir()
    (places.configs / "ablations" / "rates.yaml").write_text(
        f"system: {learner}\ntitle: Rates\nchanges: [{{title: slow, set: [optimiser.lr=1e-9]}}]\n"
    )
    for request, command in (
        (Request(train_set="none", systems=["frozen", learner]), "vitret bench --systems moved"),
        (Request(train_set="none", ablation="rates"), "vitret bench --ablate rates"),
    ):
        with pytest.raises(UserError) as told:
            plan(places, request)
        assert str(told.value) == (
            "Under --train-set none nothing is trained, so only frozen systems can be measured. "
            f"moved is trained: {command} --train-set SET. `vitret list tracks` shows the sets."
        )


def trained_beside(places: Places, learner: str) -> Request:
    """A request for a frozen system and one that trains."""
    (places.configs / "tracks" / "town.yaml").write_text(
        "name: town\ntrain_set: town\nimages_seen: 8\nbatch: 4\nseeds: [0]\nvalidation: 0\nsuite: own\n"
    )
    return Request(train_set="town", systems=["frozen", learner])


@pytest.mark.parametrize(
    "given",
    [
        {"assignments": ["optimiser.lr=5"]},
        {"assignments": ["track.batch=2", "model.head.p=2"]},
        {"exclude": Path("run.sh")},
    ],
)
def test_what_says_how_to_train_is_refused_where_nothing_trains(
    places: Places, learner: str, given: dict[str, Any]
):
    request = replace(trained_beside(places, learner), systems=["frozen"], **given)
    with pytest.raises(UserError, match=r"no system here trains: frozen\. Leave it out") as told:
        ask(places, request, Problems())
    assert "model.head" not in str(told.value)


def test_beside_a_system_that_trains_a_frozen_one_stays_the_same(
    places: Places, learner: str, tmp_path: Path
):
    request = trained_beside(places, learner)
    (tmp_path / "list.txt").write_text("0-0.png\n")
    plain = ask(places, request, Problems()).recipes
    given = replace(request, assignments=["optimiser.lr=5"], exclude=tmp_path / "list.txt")
    changed = ask(places, given, Problems()).recipes
    assert changed[0] == plain[0]
    assert changed[1].digest != plain[1].digest
    # A job is the same bench with the run's name: also that of the frozen system.
    alone = ask(places, replace(given, runs=[plain[0].run_id]), Problems())
    assert alone.recipes == (plain[0],)


def test_a_matcher_learns_from_a_set_without_some_images_beside_a_frozen_network(
    places: Places, learner: str, tmp_path: Path
):
    (places.suites / "matched.yaml").write_text(
        "name: matched\nsets: [test]\nlevels: [all]\nmetrics: [mAP]\nprimary: mAP\n"
        "protocol: {size: 32, rerank: {kind: rrt, depth: 4}}\n"
    )
    (tmp_path / "list.txt").write_text("0-0.png\n")
    frozen = replace(trained_beside(places, learner), systems=["frozen"], suite="matched")
    given = replace(frozen, exclude=tmp_path / "list.txt", assignments=["track.validation=0.2"])
    (recipe,) = ask(places, given, Problems()).recipes
    assert recipe.exclude is not None
    with pytest.raises(UserError, match=r"^--set optimiser\.lr=5: this is about training"):
        ask(places, replace(given, assignments=["optimiser.lr=5"]), Problems())


def test_recipes_of_papers_run_alone_and_at_as_many_seeds_as_are_asked_for(places: Places):
    (places.configs / "published").mkdir()
    (places.configs / "published" / "paper.yaml").write_text(
        "system:\n  name: paper\n  title: Paper\n  losses: [{name: arcface}]\n"
        "  model: {backbone: {name: timm_model, arch: test_vit, pretrained: false, img_size: 32}, head: gem}\n"
        "track: {name: paper, train_set: town, images_seen: 8, suite: own}\nseed: 4\n"
    )

    def asked(**more: Any) -> list[tuple[str, int]]:
        problems = Problems()
        found = ask(places, Request(train_set="none", published=["paper"], **more), problems)
        problems.raise_all()
        return [(recipe.system.name, recipe.seed) for recipe in found.recipes]

    assert asked() == [("paper", 4)]
    assert asked(seeds=3) == [("paper", 4), ("paper", 5), ("paper", 6)]
    assert asked(systems=["frozen"], seeds=1) == [("frozen", 0), ("paper", 4)]


@pytest.mark.parametrize(
    ("backbone", "varies"),
    [
        (Part(name="conv_stem_vit"), True),  # has no option `pretrained`
        (Part(name="timm_model", options={"arch": "test_vit", "pretrained": False}), True),
        (Part(name="timm_model", options={"arch": "test_vit", "pretrained": True}), False),
        (
            Part(name="timm_model", options={"arch": "test_vit", "pretrained": False, "weights": "w.pth"}),
            False,
        ),
    ],
)
def test_a_frozen_network_varies_with_its_seed_where_its_weights_are_random(backbone: Part, varies: bool):
    model = ModelSpec(backbone=backbone, head=Part(name="gem"))
    track = Track(name="none", train_set="none", images_seen=0)
    assert Recipe(system=System(name="s", title="S", model=model), track=track).varies is varies
