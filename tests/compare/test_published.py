from pathlib import Path

from vitret.compare.published import gaps, published_files, published_rows, targets_of
from vitret.compare.tables import read_all, tables
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


def test_a_published_row_stands_beside_ours_under_its_protocol_and_training_set_alone(write, tmp_path: Path):
    write("a", [0] * 30, eval_set="roxford5k")
    write("b", [2] * 30, eval_set="roxford5k")
    publish(tmp_path / "results", ("town", "s"), ("town", "s-square"), ("village", "s"))
    (table,) = tables(read_all(tmp_path / "results"))
    published = published_rows(tmp_path / "results")
    assert len(published) == 3
    assert targets_of(table, published) == published[:1]
    other = published[0].model_copy(update={"values": {"SOP R@1": 80.0}})
    assert targets_of(table, [other]) == []


def test_every_published_row_says_where_it_was_read_and_shows_a_number():
    for file in published_files(ROOT / "results"):
        assert not file.own_protocol or not any(row.suites for row in file.rows)
        for row in file.rows:
            assert row.source
            assert all(0 <= value <= 100 for value in row.values.values()), row.method
            assert set(file.columns) & set(row.values), row.method
        named = [(row.method, row.train_set, row.protocol, row.dim, row.source) for row in file.rows]
        assert len(set(named)) == len(named), max(named, key=named.count)


def test_mieb_is_whole_but_for_its_broken_columns():
    (mieb,) = (file for file in published_files(ROOT / "results") if file.title.startswith("MIEB"))
    # One task of one model is a row at the source: 487 of 57 models, one of them under two versions.
    tasks = {
        (row.method, row.protocol, row.source, _task(column)) for row in mieb.rows for column in row.values
    }
    assert len(tasks) == 487
    assert len({row.method for row in mieb.rows}) == 57
    for row in mieb.rows:
        assert "CUB found@1" not in row.values
        if row.protocol.startswith("mteb 1."):
            assert not {"SOP found@1", "Met found@1"} & set(row.values)
    assert "18.85 for every model" in mieb.notes


def _task(column: str) -> str:
    """Set and level of a column: "ROxf H" of "ROxf mAP@5/positives H"."""
    words = column.split()
    return f"{words[0]} {words[2] if len(words) > 2 else ''}"
