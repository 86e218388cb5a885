from pathlib import Path

from vitret.compare.published import gaps, published_files
from vitret.core.config import file_names

ROOT = Path(__file__).resolve().parents[2]
ROW = """
  - {{method: X, train_set: {train_set}, values: {{"ROxf H": 70.0, "ROxf M": 75.0, "RPar H": 10.0}}, source: a paper,
     read: primary, recipes: [a], suites: [{suite}]}}
"""


def publish(root: Path, *rows: tuple[str, str]) -> None:
    (root / "published").mkdir(parents=True)
    text = "title: Some\ncolumns: [ROxf M, ROxf H, RPar H]\nrows:" + "".join(
        ROW.format(train_set=train_set, suite=suite) for train_set, suite in rows
    )
    (root / "published" / "x.yaml").write_text(text)


def test_a_gap_is_ours_less_the_published_number(write, tmp_path: Path):
    write("a", [0] * 20 + [1] * 10, eval_set="roxford5k")  # a first and a second place: 1 and 1/4, so 0.75
    write("b", [0] * 30, eval_set="roxford5k")
    publish(tmp_path / "results", ("town", "s"))
    assert gaps(tmp_path / "results") == {"a": ["ROxf M +0.0 (75.0, s)", "ROxf H +5.0 (75.0, s)"]}


def test_a_gap_needs_the_same_training_set_and_a_suite_of_the_papers_protocol(write, tmp_path: Path):
    write("a", [0] * 30, eval_set="roxford5k")
    publish(tmp_path / "results", ("village", "s"), ("town", "s-square"))
    assert gaps(tmp_path / "results") == {}


def test_what_published_rows_are_targets_of_is_there():
    recipes = {*file_names(ROOT / "configs" / "systems"), *file_names(ROOT / "configs" / "published")}
    rows = [row for file in published_files(ROOT / "results") for row in file.rows]
    assert {name for row in rows for name in row.recipes} <= recipes
    suites = set(file_names(ROOT / "configs" / "suites"))
    assert {name for row in rows for name in row.suites} <= suites
    assert all(bool(row.recipes) == bool(row.suites) for row in rows)
