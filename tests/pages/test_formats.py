"""Tables for programs and papers: CSV that is read back, LaTeX that marks what it should."""

import csv
import json
import re
import shutil
import subprocess
from pathlib import Path

import pytest

from vitret.compare.published import published_files
from vitret.compare.tables import read_all, tables
from vitret.pages.formats import FORMS, render, tex
from vitret.pages.latex import latex

HEADS = ("name", "what, for whom")
ROWS = [("a_b", 'say "x" | 5 %'), ("c", "–")]


def test_csv_and_json_are_read_back():
    assert list(csv.reader(render("csv", HEADS, ROWS).splitlines())) == [list(HEADS), *map(list, ROWS)]
    assert json.loads(render("json", HEADS, ROWS)) == [dict(zip(HEADS, row, strict=True)) for row in ROWS]


def test_latex_escapes_every_sign_that_means_something_there():
    text = render("latex", HEADS, ROWS, right=("name",))
    assert text.startswith("\\begin{tabular}{rl}\n\\toprule\n")
    assert r"a\_b & say " in text
    assert r"5 \%" in text
    signs = r"\_%&#${}~^<>|±×−→≥≤α–—…"
    shown = tex(signs)
    assert not re.search(r"(?<!\\)[_%&#]", shown)
    assert shown.isascii()


def test_a_row_that_begins_with_a_bracket_is_not_the_line_breaks_option():
    assert "\n{}[1, 2] & *" in render("latex", HEADS, [("[1, 2]", "*")])


def test_latex_compiles(root: Path, tmp_path: Path):
    if shutil.which("pdflatex") is None:
        pytest.skip("needs pdflatex")
    signs = [(r"\_%&#${}~^<>|±×−→≥≤α–—…", "[1, 2]"), ("[1]", "*")]
    tabulars = render("latex", HEADS, signs) + "\n\n" + latex(tables(read_all(root)), published_files(root))
    page = "\\documentclass{article}\n\\usepackage{booktabs}\n\\begin{document}\n%s\n\\end{document}\n"
    (tmp_path / "page.tex").write_text(page % tabulars, encoding="utf-8")
    done = subprocess.run(
        ["pdflatex", "-interaction=nonstopmode", "-halt-on-error", "page.tex"],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout[-2000:]


@pytest.mark.parametrize("form", FORMS)
def test_every_form_holds_every_cell(form: str):
    assert "name" in render(form, HEADS, ROWS)


@pytest.fixture
def root(write, tmp_path: Path) -> Path:
    """`first` and `near` are tied, `far` is not; a published number for `near`."""
    write("first", [0] * 29 + [1])
    write("near", [0] * 28 + [1] * 2)
    write("far", [9] * 30)
    (tmp_path / "results" / "published").mkdir()
    (tmp_path / "results" / "published" / "p.yaml").write_text(
        'title: Old\ncolumns: [east M]\nrows:\n  - {method: R_101, train_set: town, dim: 7, values: {"east M": 65.4},\n'
        "     source: A paper, read: primary, recipes: [near], suites: [s]}\n"
        "  - {method: Other, train_set: far, values: {}, source: B, read: primary, recipes: [near], suites: [s]}\n"
    )
    return tmp_path / "results"


def test_the_highest_is_bold_ties_are_underlined_and_published_is_in_italics(root: Path):
    found = tables(read_all(root))
    suite = found[0].suite
    published = root / "published" / "p.yaml"
    published.write_text(published.read_text().replace("suites: [s]", f"suites: [{suite}]"))
    text = latex(found, published_files(root))
    lines = {line.split(" & ")[0]: line for line in text.splitlines() if " & " in line}
    marks = {row.title: row.rank_mark for row in found[0].rows}
    assert marks == {"FIRST": "highest", "NEAR": "tie", "FAR": ""}
    assert r"\textbf{" in lines["FIRST"]
    assert r"\underline{" in lines["NEAR"]
    assert "\\underline{" not in lines["FIRST"] + lines["FAR"]
    assert "\\textbf{" not in lines["FAR"]
    (printed,) = [line for name, line in lines.items() if "R\\_101" in name]
    assert r"\textit{65.4}" in printed
    assert "Other" not in text
    assert text.count(r"\midrule") == 2
    assert len({line.count(" & ") for line in lines.values()}) == 1
    columns = re.search(r"\\begin\{tabular\}\{(.*?)\}", text)
    assert columns is not None
    assert len(columns[1]) == lines["FIRST"].count(" & ") + 1
