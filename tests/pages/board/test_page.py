"""leaderboard.html: no network, the same bytes, names and contrast for everybody, and not too large."""

import re
from dataclasses import replace
from pathlib import Path

import pytest
from page_checks import contrast, faults, parse, variables

from vitret.compare.published import published_files
from vitret.compare.tables import read_all, tables
from vitret.pages.board.page import as_page

ROOT = Path(__file__).resolve().parents[3]
TEMPLATES = ROOT / "vitret" / "pages" / "board" / "templates"


@pytest.fixture
def page(write, tmp_path: Path) -> str:
    write("a", [0] * 20 + [1] * 10, warning="a warning & more")
    write("b<i>", [5] * 30)
    write("a", [0] * 30, train_set="none", eval_set="east", trained_on="")
    (tmp_path / "results" / "published").mkdir()
    (tmp_path / "results" / "published" / "x.yaml").write_text(
        'title: Old\ncolumns: [ROxf M]\nrows:\n  - {method: R101, train_set: s, values: {"ROxf M": 65.4},\n'
        "     source: README, read: primary}\n"
    )
    return as_page(tables(read_all(tmp_path / "results")), published_files(tmp_path / "results"))


def test_a_reader_needs_neither_mouse_nor_screen_nor_network(page: str):
    assert faults(page) == []
    assert "url(" not in page
    assert "@import" not in page


def test_every_table_is_on_the_page_once_and_names_are_escaped(page: str):
    top = parse(page)
    sections = [one for one in top.walk() if one.tag == "section" and "data-trained" in one.attributes]
    assert [one.attributes["data-trained"] for one in sections] == ["Frozen networks", "town"]
    assert "B<I>" not in page
    assert "a warning &amp; more" in page
    published = next(one for one in top.walk() if one.attributes.get("id") == "published")
    assert [one.text for one in published.walk() if one.tag == "i"] == ["65.4"]


def test_every_cell_knows_its_column(page: str):
    for one in parse(page).walk():
        if one.tag == "table" and "board" in one.attributes.get("class", ""):
            rows = [row.children for row in one.walk() if row.tag == "tr"]
            assert {len(row) for row in rows} == {len(rows[0])}
            for row in rows:
                assert [c.attributes.get("data-g") for c in row] == [
                    c.attributes.get("data-g") for c in rows[0]
                ]


@pytest.mark.parametrize(
    ("broken", "words"),
    [
        ("<button></button>", "has no name"),
        ("<svg></svg>", "neither hidden nor named"),
        ("<table><tr><th>x</th></tr></table>", "heads neither"),
        ('<a href="#x">x</a>', "not there"),
        ('<a href="https://x.org">x</a>', "asks the network"),
        ('<p id="a">x</p><p id="a">y</p>', "used twice"),
        ("<h1>x</h1><h3>y</h3>", "followed by"),
        ('<div tabindex="0">x</div>', "can be reached"),
    ],
)
def test_the_check_finds_what_is_missing(broken: str, words: str):
    assert any(words in fault for fault in faults(f'<html lang="en"><body>{broken}</body></html>'))


def test_words_and_marks_stand_out_in_light_dark_and_print():
    colours = variables((TEMPLATES / "board.css").read_text(encoding="utf-8"))
    assert set(colours) == {"", "dark", "print"}
    for medium, own in colours.items():
        for ink in ("ink", "soft", "accent"):
            for ground in ("paper", "panel"):
                assert contrast(own[ink], own[ground]) >= 4.5, (medium, ink, ground)
        assert contrast(own["noteink"], own["note"]) >= 4.5, medium
        for mark in ("bar", "other"):
            assert contrast(own[mark], own["panel"]) >= 3, (medium, mark)


def test_every_colour_is_a_variable():
    style = (TEMPLATES / "board.css").read_text(encoding="utf-8")
    assert re.findall(r"#[0-9a-f]{3,6}", re.sub(r":root \{[^}]*\}", "", style)) == []


@pytest.mark.slow
def test_three_hundred_rows_fit_into_three_megabytes(tmp_path: Path):
    # Real rows, of the set with most queries here, under many names.
    every = tables(read_all(_only("landmarks-mix", tmp_path)))
    (table,) = [t for t in every if t.suite == "landmarks-mix" and not t.ablation]
    copies = -(-300 // len(table.rows))
    found = [replace(table, track=f"track-{i}") for i in range(copies)]
    first, second = (as_page(found, ()) for _ in range(2))
    assert len(first.encode()) < 3_000_000
    assert first == second
    assert faults(first) == []


def _only(train_set: str, tmp_path: Path) -> Path:
    root = tmp_path / "results"
    root.mkdir()
    for name in (train_set, "groups"):
        (root / name).symlink_to(ROOT / "results" / name)
    return root
