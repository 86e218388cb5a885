"""A bench that leaves images out trains another run; a bench with a baseline ends in a verdict."""

import json
import shlex
from pathlib import Path

import pytest
from small_bench import draw, make_places, write_categories, write_town

from vitret.cli import run
from vitret.compare.asked import Places
from vitret.compare.tables import read_all, tables
from vitret.core.runs import find_run, run_names
from vitret.data.layout.write import LayoutWriter

pytestmark = pytest.mark.slow


@pytest.fixture
def places(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Places:
    """Sets `town` (train) and `test`; the systems `frozen` and `moved`, which learns a little."""
    found = make_places(tmp_path / "places", track="town", suite="plain")
    for name in ("home", "data", "results", "configs", "suites"):
        monkeypatch.setenv(f"VITRET_{name.upper()}", str(getattr(found, name)))
    write_town(found, tmp_path / "drawn")
    model = "{backbone: {name: timm_model, arch: test_vit, pretrained: false, img_size: 32}, head: gem}"
    (found.configs / "systems" / "moved.yaml").write_text(
        f"name: moved\ntitle: Moved\nmodel: {model}\nlosses: [{{name: arcface}}]\noptimiser: {{lr: 1.0e-3}}\n"
    )
    (found.configs / "tracks" / "town.yaml").write_text(
        "name: town\ntrain_set: town\nimages_seen: 16\nseeds: [0]\nbatch: 8\nvalidation: 0\nsuite: plain\n"
        "image: {policy: square, size: 32}\nsystems: [frozen, moved]\n"
    )
    (found.suites / "plain.yaml").write_text(
        "name: plain\nsets: [test]\nmetrics: [R@1, mAP]\nlevels: [all]\nprimary: mAP\n"
        "protocol: {size: 32, size_rule: square, query_size: same_size, crop: none}\n"
    )
    return found


BENCH = ["bench", "--train-set", "town", "--seeds", "1", "--device", "cpu", "--workers", "0"]


def test_images_are_left_out_and_rows_stand_apart(places: Places, tmp_path: Path, capsys):
    left_out = tmp_path / "list.txt"
    left_out.write_text("6-0.png\n7-1.png\n")
    assert run([*BENCH, "--exclude", str(left_out), "--plan"]) == 0
    assert "without 2 images" in capsys.readouterr().out
    assert run(BENCH) == 0
    assert run([*BENCH, "--exclude", str(left_out)]) == 0
    names = [name for name in run_names(places.home) if "moved" in name]
    kept = {name: find_run(places.home, name).path / "excluded.txt" for name in names}
    (written,) = [path for path in kept.values() if path.is_file()]
    assert written.read_text() == left_out.read_text()
    found = tables(read_all(places.results))
    assert [[row.system for row in table.rows] for table in found].count(["frozen", "moved"]) + [
        [row.system for row in table.rows] for table in found
    ].count(["moved", "frozen"]) == 2
    assert sorted(bool(table.left_out) for table in found) == [False, True]
    left_out.write_text("of-another-set.png\n")
    assert run([*BENCH, "--exclude", str(left_out)]) == 2
    assert "are not in town" in capsys.readouterr().err


def test_a_baseline_ends_in_a_verdict_and_its_exit_code(places: Places, capsys):
    assert run([*BENCH, "--systems", "frozen"]) == 0
    (row,) = places.results.glob("town/frozen/test/*.json")
    moved = [*BENCH, "--systems", "moved", "--baseline", str(row)]
    capsys.readouterr()
    passes = run([*moved, "--require", "not-worse"])
    said = capsys.readouterr().out
    assert "mAP on test: " in said
    assert passes == (1 if ": worse" in said else 0)
    assert run(moved) == (0 if ": better" in said else 1)
    assert run([*BENCH, "--baseline", str(row)]) == 2
    assert "Name one: --systems NAME" in capsys.readouterr().err


def test_a_baseline_on_other_bytes_is_refused_before_anything_is_trained(
    places: Places, tmp_path: Path, capsys
):
    assert run([*BENCH, "--systems", "frozen"]) == 0
    (row,) = places.results.glob("town/frozen/test/*.json")
    with LayoutWriter(places.data, "test", workers=1, replace=True) as writer:
        write_categories(writer, draw(tmp_path / "others", patterns=2, views=3), views=3)
    moved = [*BENCH, "--systems", "moved", "--baseline", str(row)]
    for words in (moved, [*moved, "--plan"]):
        capsys.readouterr()
        assert run(words) == 2
        out, err = capsys.readouterr()
        assert "data.manifest: " in err
        assert out == ""
    assert not any("moved" in name for name in run_names(places.home))


def test_a_file_of_overlap_is_looked_at_before_anything_is_trained(places: Places, tmp_path: Path, capsys):
    other = tmp_path / "other.json"
    about = {
        "train": {"name": "town", "digest": "", "images": 18},
        "evaluation": {"name": "east", "digest": "", "queries": 4, "positives": 4},
    }
    other.write_text(json.dumps({**about, "pairs": []}))
    for file, code, said in (
        (tmp_path / "none.json", 3, "is not there"),
        (other, 2, f"no row of this bench is of the training and evaluation set of {other} (town, east)."),
    ):
        for words in ([*BENCH, "--plan"], BENCH):
            assert run([*words, "--systems", "moved", "--without-overlap", str(file)]) == code
            out, err = capsys.readouterr()
            assert said in err
            assert out == ""
    assert run_names(places.home) == []
    about["evaluation"]["name"] = "test"
    other.write_text(json.dumps({**about, "pairs": []}))
    assert run([*BENCH, "--systems", "moved", "--plan", "--without-overlap", str(other)]) == 0


def test_a_plan_looks_at_the_baseline_before_its_sets_are_prepared(places: Places, tmp_path: Path, capsys):
    (places.suites / "far.yaml").write_text(
        "name: far\nsets: [roxford5k]\nlevels: [hard]\nmetrics: [mAP]\nprimary: mAP (hard)\n"
        "protocol: {size: 32, size_rule: square, query_size: same_size, crop: none}\n"
    )
    assert run([*BENCH, "--systems", "frozen", "--suite", "far", "--plan"]) == 0
    missing = tmp_path / "none.json"
    far = [*BENCH, "--systems", "frozen", "--suite", "far", "--baseline", str(missing), "--plan"]
    assert run(far) == 3
    assert f"{missing}: is not there" in capsys.readouterr().err


def test_the_command_that_adds_seeds_can_be_pasted(places: Places, monkeypatch, capsys):
    words = ["--results", str(places.results), *BENCH, "--systems", "moved"]
    monkeypatch.setattr("sys.argv", ["vitret", *words])
    assert run(words) == 0
    command = capsys.readouterr().err.partition("add seeds: vitret ")[2].splitlines()[0]
    assert run([*shlex.split(command), "--plan"]) == 0
    planned = capsys.readouterr().out
    assert [f"moved-s{seed}" in planned for seed in range(4)] == [True, True, True, False]


def test_what_is_required_needs_a_baseline(places: Places, capsys):
    assert run([*BENCH, "--require", "not-worse"]) == 2
    assert "--baseline ROW.json" in capsys.readouterr().err
    assert not places.home.exists()
