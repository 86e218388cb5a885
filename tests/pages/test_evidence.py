from pathlib import Path

import pytest

from vitret.compare.tables import read_all, tables
from vitret.pages import evidence, leaderboard, verdict

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture
def root(write, tmp_path: Path) -> Path:
    for seed in (0, 1):
        write("a", [0] * 30, seed=seed)
    write("b", [5] * 30)
    return tmp_path / "results"


def test_the_summary_has_a_row_a_system_with_seeds_value_and_rank(root: Path, write):
    write("alone", [0], train_set="other", manifest="n")
    write("drawn", [0], train_set="minitown-clean", manifest="n")
    write("drawn_too", [0], train_set="minitown-clean", manifest="n")
    text = evidence.summary(tables(read_all(root)))
    assert "trained on town" in text
    assert "| B | 64 | 0.00M | 1 |" in text
    assert "ALONE" not in text
    assert "DRAWN" not in text


def test_the_readme_begins_with_photographs_and_shows_two_rows_of_a_synthetic_track(root: Path, write):
    for number, system in enumerate(("x", "y", "z")):
        write(system, [number] * 30, train_set="minitown-clean", eval_set="rminitown-east")
    text = leaderboard.overview(tables(read_all(root)))
    assert text.index("| A |") < text.index("| B |") < text.index("synthetic town") < text.index("| X |")
    assert "| Y |" in text
    assert "| Z |" not in text


def test_a_conclusion_names_what_is_below_what_is_tied_and_what_ran_once(root: Path, write):
    write("c", [0] * 29 + [1], seed=0)
    (table,) = tables(read_all(root))
    words = verdict.named_conclusion(table)
    assert words.startswith(
        "A has the highest mAP (hard), 100.0. It is better than B. No test tells it from C."
    )
    assert "One run of C; B: of these a checkpoint was compared" in words


def test_trainings_are_counted_once_however_often_they_were_measured(root: Path, write):
    write("b", [5] * 30, eval_set="west")
    text = evidence.trained(read_all(root))
    assert "| town | A | 2 | 128 | not noted |" in text
    assert "| town | B | 1 | 64 | not noted |" in text
    assert "3 trainings, 192 images, hours noted by 0 of them: not noted." in text


def test_a_page_is_filled_between_its_marks_only(root: Path, tmp_path: Path):
    page = tmp_path / "docs" / "evidence.md"
    page.parent.mkdir()
    marks = "\n".join(f"{evidence.begin(part)}\nold\n{evidence.end(part)}" for part in evidence.PARTS)
    page.write_text(f"By hand.\n{marks}\nBy hand too.\n")
    (tmp_path / "configs" / "tracks").mkdir(parents=True)
    (tmp_path / "configs" / "tracks" / "town.yaml").write_text(
        "{name: town, train_set: town, images_seen: 64, systems: [a, c, off_the_shelf], seeds: [0, 1, 2]}"
    )
    systems = tmp_path / "configs" / "systems" / "tiny"
    systems.mkdir(parents=True)
    network = "model: {backbone: {name: timm_model, arch: vit_tiny_patch16_224}, head: {name: cls}}"
    for name, losses in (("a", "[{name: arcface}]"), ("c", "[{name: arcface}]"), ("off_the_shelf", "[]")):
        (systems / f"{name}.yaml").write_text(f"name: {name}\ntitle: {name}\n{network}\nlosses: {losses}\n")
    leaderboard.write(root)
    text = page.read_text()
    assert text.startswith("By hand.\n")
    assert text.endswith("By hand too.\n")
    assert "old" not in text
    assert "A has the highest" in text
    assert "- town: a 2 of 3 seeds; c 0 of 3 seeds; off_the_shelf not measured." in text
    leaderboard.check(root)


def test_the_page_here_has_every_mark():
    text = (ROOT / "docs" / "evidence.md").read_text(encoding="utf-8")
    for part in evidence.PARTS:
        assert text.index(evidence.begin(part)) < text.index(evidence.end(part))
