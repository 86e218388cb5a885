import csv
import json
from pathlib import Path

import pytest

from vitret.cli import run
from vitret.compare.published import published_rows
from vitret.compare.tables import read_all, tables
from vitret.core.errors import CheckError, DataError, EmptyError, UserError
from vitret.pages import leaderboard
from vitret.pages.published import page
from vitret.pages.terminal import print_tables


@pytest.fixture
def root(write, tmp_path: Path) -> Path:
    write("a", [0] * 20 + [1] * 10, warning="ranks code paths, not methods")
    write("b_two", [5] * 30, warning="ranks code paths, not methods")
    return tmp_path / "results"


def test_the_same_rows_give_the_same_bytes(root: Path):
    leaderboard.write(root)
    before = {name: (root / name).read_bytes() for name in leaderboard.FILES.values()}
    leaderboard.write(root)
    assert {name: (root / name).read_bytes() for name in leaderboard.FILES.values()} == before
    leaderboard.check(root)


def test_a_stale_leaderboard_is_shown_with_its_difference(root: Path, write):
    leaderboard.write(root)
    write("c", [2] * 30)
    with pytest.raises(CheckError, match=r"(?s)\+.*C.*stale"):
        leaderboard.check(root)


def test_a_missing_leaderboard_is_stale(root: Path):
    with pytest.raises(CheckError, match="stale"):
        leaderboard.check(root)


def test_a_check_that_would_only_print_is_refused(root: Path, monkeypatch, capsys):
    monkeypatch.setenv("VITRET_RESULTS", str(root))
    assert run(["leaderboard", "--check", "--format", "md"]) == 2
    shown = capsys.readouterr()
    assert shown.out == ""
    assert shown.err == "--check compares the files that are written, --format prints: give one of them.\n"


def test_no_rows_is_never_success(tmp_path: Path):
    with pytest.raises(EmptyError, match="no measured rows"):
        leaderboard.render(tmp_path, "md")


def test_markdown_says_what_a_reader_must_know(root: Path):
    text = leaderboard.render(root, "md")
    assert "## Trained on town" in text
    assert "ranks code paths, not methods" in text
    assert "longer side 1024, query cropped" in text
    assert "75.0 [" in text
    assert "| A | test_vit | random weights |" in text
    assert text.index("| A |") < text.index("| B_TWO |")


def test_csv_holds_fractions_of_every_number(root: Path):
    rows = list(csv.DictReader(leaderboard.render(root, "csv").splitlines()))
    assert len(rows) == 2 * 2 * 2  # systems × metrics × levels
    first = next(r for r in rows if r["system"] == "a" and r["metric"] == "mAP (hard)")
    assert float(first["value"]) == 0.75
    assert first["mark"] == "highest"
    assert list(first)[-1] == "descriptor_bytes"  # new columns come last
    assert json.loads(leaderboard.render(root, "json"))[0]["train_set"] == "town"


def test_latex_escapes(root: Path):
    assert r"B\_TWO" in leaderboard.render(root, "latex").upper()


def test_published_numbers_stand_apart(root: Path):
    (root / "published").mkdir()
    (root / "published" / "x.yaml").write_text(
        'title: Old\ncolumns: [ROxf M]\nrows:\n  - {method: R101, train_set: s, values: {"ROxf M": 65.4},\n'
        "     source: README, read: primary}\n"
    )
    text = leaderboard.render(root, "md")
    assert text.index("B_TWO") < text.index("Published numbers") < text.index("65.4")
    (root / "published" / "x.yaml").write_text("title: Old\ncolums: []\nrows: []\n")
    with pytest.raises(UserError, match="Did you mean 'columns'"):
        leaderboard.render(root, "md")


def test_a_published_row_of_the_same_protocol_stands_in_italics_below_the_ranked_rows(
    root: Path, capsys: pytest.CaptureFixture[str]
):
    (root / "published").mkdir()
    (root / "published" / "x.yaml").write_text(
        "title: Old\ncolumns: [east H]\nrows:\n"
        '  - {method: Theirs, train_set: town, dim: 8, values: {"east H": 99.5}, source: A paper, read: primary,\n'
        "     recipes: [a], suites: [s]}\n"
        '  - {method: Elsewhere, train_set: village, values: {"east H": 98.5}, source: A paper, read: primary}\n'
    )
    text = leaderboard.render(root, "md")
    ranked, _, rest = text.partition("| *Theirs* | – | – | *8* |")
    assert "B_TWO" in ranked
    assert "*99.5*" in rest
    assert "*published*" in rest
    assert "In italics" in rest
    assert "*Elsewhere*" not in text
    assert "99.5" not in leaderboard.render(root, "csv")
    print_tables(tables(read_all(root)), published_rows(root))
    shown = capsys.readouterr().out
    assert shown.index("B_TWO") < shown.index("Theirs") < shown.index("not ranked")


def test_the_page_of_published_numbers_is_that_of_the_repository():
    repository = Path(__file__).resolve().parents[2]
    assert page(repository / "results") == (repository / "docs" / "published.md").read_text(encoding="utf-8")


def test_the_readme_shows_systems_that_are_compared_and_no_row_alone(root: Path, write):
    write("alone", [0, 1], train_set="other", manifest="n")
    write("a+changed", [1] * 30)
    text = leaderboard.overview(tables(read_all(root)))
    assert "B_TWO" in text
    assert "ALONE" not in text
    assert "A+CHANGED" not in text


def test_no_leaderboard_is_written_where_groups_are_lost(root: Path):
    (groups,) = (root / "groups").iterdir()
    groups.unlink()
    for use in (leaderboard.write, leaderboard.check):
        with pytest.raises(DataError, match=f"{groups.name}: is not there, .* writes it again"):
            use(root)
    assert not (root / "LEADERBOARD.md").exists()
