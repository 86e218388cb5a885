"""Truth files without images: a query that stands in its own list is junk, as `vitret prepare` has it."""

import json
import unicodedata
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from vitret.core.errors import UserError
from vitret.data.layout.read import load_eval
from vitret.data.prepare.request import Request
from vitret.data.prepare.run import prepare
from vitret.measure.bare import Files, own_rows, read_truth, score_files

LABELS = np.repeat(np.arange(4), 3)
NAMES = [f"c{label}_{i}" for label in range(4) for i in range(3)]


def truth(folder: Path, *, name: str = "all", queries: list[str] = NAMES, keep: bool = True) -> Path:
    """Four classes of three in which everything asks everything; with `keep` the query stands in its own list."""
    lists = [
        [int(i) for i in np.flatnonzero(LABELS[q] == LABELS) if keep or i != q] for q in range(len(queries))
    ]
    path = folder / f"gnd_{name}.json"
    rows = [{"ok": row, "junk": []} for row in lists]
    path.write_text(json.dumps({"imlist": NAMES, "qimlist": queries, "gnd": rows}))
    return path


def rows() -> np.ndarray:
    """Unit rows, twelve of six dimensions."""
    made = np.random.default_rng(3).normal(size=(12, 6))
    return (made / np.linalg.norm(made, axis=1, keepdims=True)).astype(np.float32)


def plain_loop(made: np.ndarray) -> tuple[float, float]:
    """R@1 and mAP of all against all others, by trapezoids."""
    first, area = [], []
    for q in range(len(made)):
        others = np.arange(len(made)) != q
        order = np.argsort(-(made[others] @ made[q]), kind="stable")
        found = (LABELS[others] == LABELS[q])[order]
        ranks = np.flatnonzero(found)
        first.append(found[0])
        area.append(np.mean([((j / r if r else 1) + (j + 1) / (r + 1)) / 2 for j, r in enumerate(ranks)]))
    return float(np.mean(first)), float(np.mean(area))


def measured(folder: Path, evalset) -> tuple[float, float]:
    np.save(folder / "x.npy", rows())
    file = str(folder / "x.npy")
    found = score_files(Files(queries=file, database=file), evalset, metrics=["R@1", "mAP"]).measurement
    return found.mean("all", "R@1"), found.mean("all", "mAP")


@pytest.mark.parametrize("keep", [True, False])
def test_a_query_in_its_own_list_is_no_hit_and_outside_it_no_miss(tmp_path: Path, keep: bool):
    known = read_truth(truth(tmp_path, keep=keep))
    assert measured(tmp_path, known.evalset) == pytest.approx(plain_loop(rows()), abs=1e-12)
    assert "12 queries are themselves in the database" in known.notes[0]
    assert "--query-image as_listed" in known.notes[0]


def test_prepare_has_the_same_rule(tmp_path: Path):
    for i, name in enumerate(NAMES):
        (tmp_path / "jpg").mkdir(exist_ok=True)
        Image.new("RGB", (20, 20), (20 * i, 0, 0)).save(tmp_path / "jpg" / f"{name}.jpg")
    truth(tmp_path)
    prepare(Request("all", data_root=tmp_path / "data", source=tmp_path, workers=1))
    found = load_eval(tmp_path / "data", "all")
    assert measured(tmp_path, found) == pytest.approx(plain_loop(rows()), abs=1e-12)
    assert found.query_rows.tolist() == list(range(12))


def test_the_convention_of_oxford_is_an_option_and_the_default_of_its_sets(tmp_path: Path):
    asked = read_truth(truth(tmp_path), query_image="as_listed")
    named = read_truth(truth(tmp_path, name="oxford5k"))
    assert measured(tmp_path, asked.evalset)[0] == measured(tmp_path, named.evalset)[0] == 1.0
    assert all("original protocol of Oxford and Paris" in known.notes[0] for known in (asked, named))
    junk = read_truth(truth(tmp_path, name="oxford5k"), query_image="junk")
    assert measured(tmp_path, junk.evalset)[0] == plain_loop(rows())[0]
    with pytest.raises(UserError, match="Did you mean 'junk'"):
        read_truth(truth(tmp_path), query_image="jnk")


def test_a_query_that_is_junk_already_is_not_worth_a_word(tmp_path: Path):
    lists = [{"ok": [1], "junk": [0]}, {"ok": [0], "junk": [1]}]
    path = tmp_path / "gnd_two.json"
    path.write_text(json.dumps({"imlist": ["a", "b"], "qimlist": ["a", "b"], "gnd": lists}))
    assert read_truth(path).notes == ()


@pytest.mark.parametrize(
    ("stored", "asked", "row"),
    [
        ("a", "./a", 0),
        ("x/../a.jpg", "a.jpg", 0),
        ("all/a", "all//a", 0),
        ("a", "a.jpg", 0),
        ("a.jpg", "a", 0),
        ("a.JPG", "a", 0),
        (unicodedata.normalize("NFD", "é"), unicodedata.normalize("NFC", "é"), 0),
        ("a", "b", -1),
        ("a.jpg", "a.png", -1),
        ("all/a", "a", -1),
    ],
)
def test_spellings_of_one_name(stored: str, asked: str, row: int):
    assert own_rows([stored, "other"], [asked]).tolist() == [row]


def test_a_name_that_may_be_two_images_is_neither():
    assert own_rows(["a.jpg", "a.png"], ["a", "a.png"]).tolist() == [-1, 1]


def test_names_that_differ_in_case_alone_are_other_images_and_said(tmp_path: Path):
    known = read_truth(truth(tmp_path, queries=["C0_0"]))
    assert known.evalset.query_rows is None
    assert "upper and lower case alone" in known.notes[0]
