import io
import os
import signal
import subprocess
import sys
import time
from collections import Counter
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from vitret.core import plugins
from vitret.core.store import digest
from vitret.data.layout.read import load_eval, load_images, load_train
from vitret.data.layout.write import LayoutWriter
from vitret.minitown.architecture import landmark
from vitret.minitown.camera import Occluder, Shot, sight, view
from vitret.minitown.draw import draw
from vitret.minitown.photograph import photograph
from vitret.minitown.world import (
    NEIGHBOURS,
    PAIR_OVERLAP,
    judgement,
    overlap,
    plan_classes,
    plan_clusters,
    plan_distractors,
    plan_noisy,
    plan_revisited,
)

SETS = [
    "minitown-clean",
    "minitown-distractors",
    "minitown-noisy",
    "minitown-sfm",
    "rminitown-east",
    "rminitown-west",
]
PLAIN = Shot(
    azimuth=0.0, distance=3.0, eye=2.0, fill=0.8, shift=(0.0, 0.0), tilt=0.0, width=160, height=120, light="day",
    weather="clear", occluders=(), exposure=1.0, tint=(1.0, 1.0, 1.0), grey=False, blur=0.0, motion=0, noise=0.0,
    quality=90, seed=1,
)  # fmt: skip


def east(seed=0):
    return plan_revisited(seed, district="east", quarters=2, asked=2, photos=8, queries=2, others=3)


# ---- geometry ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("quarter", range(10))
def test_the_framing_is_what_the_shot_asks_for(quarter):
    building = landmark((0, 3, quarter, 0))
    shown = sight(building, PLAIN)
    x0, y0, x1, y1 = shown.box
    assert max((x1 - x0) / 160, (y1 - y0) / 120) == pytest.approx(0.8)
    assert (x0 + x1) / 2 == pytest.approx(80)
    assert (y0 + y1) / 2 == pytest.approx(60)
    assert shown.fraction == 1.0


def test_homography_and_projection_agree():
    building = landmark((0, 3, 1, 2))
    camera = view(building, replace(PLAIN, azimuth=25.0, tilt=3.0))
    panel = building.panels[0]
    foot, along, up = (np.array(v, dtype=np.float64) for v in (panel.foot, panel.along, panel.up))
    mapped = camera.homography(foot, along, up) @ np.array([0.3, 0.6, 1.0])
    pixels, _ = camera.project((foot + 0.3 * along + 0.6 * up)[None])
    np.testing.assert_allclose(mapped[:2] / mapped[2], pixels[0])


def test_front_and_back_share_no_surface():
    building = landmark((0, 3, 0, 0))
    front, back = sight(building, PLAIN), sight(building, replace(PLAIN, azimuth=180.0))
    assert overlap(front, front) == 1.0
    # Roofs and lids may be seen from both sides; walls cannot.
    assert overlap(front, back) < 0.2


def test_a_wall_before_the_lens_hides_what_is_behind_it():
    building = landmark((0, 3, 0, 0))
    whole = Occluder(kind="wall", box=(0.0, 0.0, 1.0, 1.0))
    half = Occluder(kind="wall", box=(0.0, 0.0, 0.5, 1.0))
    assert sight(building, replace(PLAIN, occluders=(whole,))).fraction == 0.0
    assert 0.2 < sight(building, replace(PLAIN, occluders=(half,))).fraction < 0.8


def test_judgements_follow_from_visible_part_angle_and_scale():
    building = landmark((0, 3, 0, 0))
    asked = sight(building, PLAIN)

    def verdict(**change):
        shot = replace(PLAIN, **change)
        return judgement(PLAIN, asked, shot, sight(building, shot))

    assert verdict() == "easy"
    assert verdict(azimuth=20.0) == "easy"
    assert verdict(azimuth=50.0) == "hard"
    assert verdict(azimuth=180.0) == "junk"
    assert verdict(fill=0.3) == "hard"
    assert verdict(fill=0.1) == "junk"
    assert verdict(light="night") == "hard"
    assert verdict(occluders=(Occluder(kind="wall", box=(0.0, 0.0, 0.48, 1.0)),)) == "hard"
    assert verdict(occluders=(Occluder(kind="wall", box=(0.0, 0.0, 0.9, 1.0)),)) == "junk"


# ---- plans ---------------------------------------------------------------------------------------------------------


def test_neighbours_share_a_style_and_differ():
    four = [landmark((0, 2, 5, member)) for member in range(NEIGHBOURS)]
    assert len({building.style.kind for building in four}) == 1
    walls = np.array([building.style.wall for building in four])
    assert np.ptp(walls, axis=0).max() <= 28
    assert len({repr(building.panels) for building in four}) == NEIGHBOURS


def test_a_plan_is_the_same_twice_and_another_with_another_seed():
    assert repr(east()) == repr(east())
    assert repr(plan_clusters(0, quarters=2, photos=5)) == repr(plan_clusters(0, quarters=2, photos=5))
    assert repr(east(seed=1)) != repr(east())


def test_labels_and_judgements_are_those_of_every_machine():
    """Recorded once; they change when the world changes, and then on purpose."""
    plan, noisy = east(), plan_noisy(0, quarters=2, photos=6, wrong=0.3, stray=0.15)
    assert digest([plan.easy, plan.hard, plan.junk])[:12] == "49f672663ecc"
    assert digest(noisy.labels.tolist())[:12] == "ea18d9004e0b"


def test_no_landmark_is_on_two_sides():
    sides = {
        "sfm": plan_clusters(0, quarters=2, photos=4).photos,
        "clean": plan_classes(0, quarters=2, photos=4).photos,
        "east": east().queries + east().database,
        "west": plan_revisited(
            0, district="west", quarters=2, asked=1, photos=4, queries=1, others=2
        ).database,
        "distractors": plan_distractors(0, images=60),
    }
    strays = plan_noisy(0, quarters=2, photos=20, wrong=0.3, stray=0.3).photos
    sides["strays"] = tuple(photo for photo in strays if "stray" in photo.path)
    keys = {side: {photo.key for photo in photos if photo.key} for side, photos in sides.items()}
    assert sum(len(own) for own in keys.values()) == len(set().union(*keys.values()))
    buildings = {repr(landmark(key).panels) for own in keys.values() for key in own}
    assert len(buildings) == sum(len(own) for own in keys.values())


def test_pairs_share_a_surface_and_a_cluster_and_a_side():
    plan = plan_clusters(0, quarters=3, photos=8)
    assert plan.pairs is not None
    assert len(plan.pairs) > 30
    for query, positive in plan.pairs.tolist():
        one, other = plan.photos[query], plan.photos[positive]
        building = landmark(one.key)
        assert query != positive
        assert one.key == other.key
        assert plan.validation[query] == plan.validation[positive]
        assert overlap(sight(building, one.shot), sight(building, other.shot)) >= PAIR_OVERLAP


def test_noise_is_as_much_as_asked_for_and_never_crosses_to_validation():
    clean = plan_classes(0, quarters=9, photos=12)
    noisy = plan_noisy(0, quarters=9, photos=12, wrong=0.3, stray=0.15)
    n = len(clean.photos)
    assert [p.shot for p in noisy.photos[:n]] == [p.shot for p in clean.photos]
    assert (noisy.labels[:n] != clean.labels).mean() == pytest.approx(0.3, abs=0.05)
    assert (len(noisy.photos) - n) / len(noisy.photos) == pytest.approx(0.15, abs=0.01)
    for plan in (clean, noisy):
        assert not set(plan.labels[plan.validation]) & set(plan.labels[~plan.validation])


def test_noisy_draws_the_photographs_of_clean_by_default():
    clean, noisy = (plugins.options("datasets", f"minitown-{word}") for word in ("clean", "noisy"))
    assert clean == {key: noisy[key] for key in clean}


def test_judged_rows_show_the_querys_landmark_and_no_query_is_in_the_database():
    plan = east()
    assert len(plan.queries) == 8
    assert len(plan.database) == 2 * (2 * 8 + 2 * 3)
    assert not {p.shot for p in plan.queries} & {p.shot for p in plan.database}
    assert len({p.path for p in plan.queries + plan.database}) == 8 + len(plan.database)
    for query, box, easy, hard, junk in zip(
        plan.queries, plan.boxes, plan.easy, plan.hard, plan.junk, strict=True
    ):
        building = landmark(query.key)
        asked = sight(building, query.shot)
        rows = {row: word for word, own in (("easy", easy), ("hard", hard), ("junk", junk)) for row in own}
        assert set(rows) == {i for i, photo in enumerate(plan.database) if photo.key == query.key}
        for row, word in rows.items():
            shot = plan.database[row].shot
            assert judgement(query.shot, asked, shot, sight(building, shot)) == word
        assert 0 <= box[0] < box[2] <= query.shot.width
        assert 0 <= box[1] < box[3] <= query.shot.height


def test_file_names_give_no_landmark_away():
    assert all("-" not in photo.path for photo in east().database)


# ---- pictures ------------------------------------------------------------------------------------------------------


def test_the_same_bytes_twice_and_with_any_number_of_workers():
    photos = east().database[:60] + plan_distractors(0, images=12)
    alone = dict(draw(photos, workers=1))
    assert len(alone) == len(photos)
    assert alone == dict(draw(photos, workers=1))
    assert alone == dict(draw(photos, workers=2))


def test_workers_end_when_their_parent_is_killed():
    code = (
        "import time\n"
        "from vitret.minitown.draw import draw\n"
        "from vitret.minitown.world import plan_distractors\n"
        "if __name__ == '__main__':\n"
        "    drawing = draw(plan_distractors(0, images=120), workers=2)\n"
        "    next(drawing)\n"
        "    print('ready', flush=True)\n"
        "    time.sleep(60)\n"
    )
    # A session of its own, so that the workers can be counted by it after their parent is gone.
    parent = subprocess.Popen(
        [sys.executable, "-c", code],
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )
    assert parent.stdout is not None
    assert parent.stdout.readline() == b"ready\n"
    parent.kill()
    parent.wait()
    parent.stdout.close()
    deadline = time.monotonic() + 30
    while time.monotonic() < deadline:
        try:
            os.killpg(parent.pid, 0)
        except ProcessLookupError:
            return
        time.sleep(0.1)
    os.killpg(parent.pid, signal.SIGKILL)
    pytest.fail("a worker outlived its parent by 30 s")


def test_pictures_have_the_shot_s_size_and_something_on_them():
    photos = plan_distractors(3, images=20)
    drawn = dict(draw(photos, workers=1))
    for photo in photos:
        picture = Image.open(io.BytesIO(drawn[photo.path]))
        assert picture.size == (photo.shot.width, photo.shot.height)
        assert picture.mode == "RGB"
        assert np.asarray(picture).std() > 4


def test_the_box_is_where_the_landmark_is_drawn():
    """With and without the building the same street differs inside the box and nowhere else."""
    building = landmark((0, 3, 2, 0))
    shot = replace(PLAIN, quality=95, fill=0.5)
    with_building = Image.open(io.BytesIO(photograph(building, shot, town=1)))
    bare = replace(building, panels=building.panels[:0])
    # The empty building keeps its corners, hence the same camera and the same street.
    bare.__dict__["corners"] = building.corners
    without = Image.open(io.BytesIO(photograph(bare, shot, town=1)))
    difference = (
        np.abs(np.asarray(with_building, dtype=int) - np.asarray(without, dtype=int)).max(axis=2) > 24
    )
    rows, columns = np.nonzero(difference)
    x0, y0, x1, y1 = sight(building, shot).box
    assert columns.min() >= x0 - 3
    assert columns.max() <= x1 + 3
    assert rows.min() >= y0 - 3
    assert rows.max() <= y1 + 3
    assert (columns.max() - columns.min()) > 0.8 * (x1 - x0)
    assert (rows.max() - rows.min()) > 0.8 * (y1 - y0)


# ---- parts ---------------------------------------------------------------------------------------------------------


def small(name):
    options = plugins.options("datasets", name)
    wanted = {"quarters": 2, "photos": 4, "others": 2, "queries": 1, "images": 10, "workers": 1}
    return {key: value for key, value in wanted.items() if key in options}


def prepared(root: Path, name: str) -> Path:
    with LayoutWriter(root, name) as writer:
        plugins.build("datasets", name, **small(name))(None, writer)
        writer.card(plugins.load("datasets", name).CARD.model_dump(mode="json"))
        return writer.finish()


@pytest.mark.parametrize("name", SETS)
def test_every_set_is_a_part_whose_card_says_what_its_numbers_are_worth(name):
    card = plugins.load("datasets", name).CARD
    assert card.name == name
    assert "rank code paths, not methods" in card.warning
    assert any("disjoint" in note for note in card.notes)


def test_training_sets_are_written_and_read_back(tmp_path):
    for name in ("minitown-sfm", "minitown-clean", "minitown-noisy"):
        prepared(tmp_path, name)
    sfm, clean, noisy = (load_train(tmp_path, f"minitown-{word}") for word in ("sfm", "clean", "noisy"))
    assert sfm.pairs is not None
    assert clean.pairs is None
    assert clean.classes == noisy.classes == 8
    assert sfm.validation is not None
    assert sfm.validation.any()
    assert len(noisy.images) > len(clean.images)
    files = [{t.images.file(i).read_bytes() for i in range(len(t.images))} for t in (clean, noisy)]
    assert files[0] < files[1]


def test_evaluation_and_distractor_sets_are_written_and_read_back(tmp_path):
    folder = prepared(tmp_path, "rminitown-east")
    prepared(tmp_path, "minitown-distractors")
    evalset = load_eval(tmp_path, "rminitown-east")
    assert evalset.truth.levels == ("easy", "medium", "hard")
    assert evalset.queries.boxes is not None
    assert len(evalset.queries) == 4
    assert len(load_images(tmp_path, "minitown-distractors").images) == 10
    again = prepared(tmp_path / "again", "rminitown-east")
    assert (folder / "manifest.json").read_bytes() == (again / "manifest.json").read_bytes()


@pytest.mark.slow
def test_default_sets_have_the_counts_of_their_cards():
    """Counts are decided by the plan alone, so nothing needs drawing."""
    defaults = {
        name: {k: v for k, v in plugins.options("datasets", name).items() if k != "workers"} for name in SETS
    }
    cards = {name: plugins.load("datasets", name).CARD.expected for name in SETS}

    def options(name):
        return {key: value for key, value in defaults[name].items() if key != "seed"}

    for name, plan in (
        ("minitown-sfm", plan_clusters(0, **options("minitown-sfm"))),
        ("minitown-clean", plan_classes(0, **options("minitown-clean"))),
        ("minitown-noisy", plan_noisy(0, **options("minitown-noisy"))),
    ):
        counts = {
            "train": len(plan.photos),
            "classes": len(plan.names),
            "validation": int(plan.validation.sum()),
        }
        if plan.pairs is not None:
            counts["pairs"] = len(plan.pairs)
        assert counts == {word: count.value for word, count in cards[name].items()}
    for side in ("east", "west"):
        plan = plan_revisited(0, district=side, **options(f"rminitown-{side}"))
        counts = Counter(queries=len(plan.queries), database=len(plan.database))
        for word in ("easy", "hard", "junk"):
            counts[word] = sum(len(rows) for rows in getattr(plan, word))
        assert counts == {word: count.value for word, count in cards[f"rminitown-{side}"].items()}
