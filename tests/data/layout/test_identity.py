"""A query never counts itself: one file under several names, copies of its bytes, and what is said of them."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from vitret.core.errors import UserError
from vitret.core.store import read_json
from vitret.data.layout.read import load_eval, notes_of
from vitret.data.layout.verify import verify
from vitret.data.prepare.request import Request
from vitret.data.prepare.run import prepare

HEADER = "label,path,split,is_query,is_gallery"
QUERY, GALLERY, BOTH = "validation,True,False", "validation,False,True", "validation,True,True"


def photo(path: Path, seed: int) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    pixels = np.random.default_rng(seed).integers(0, 256, (12, 16, 3), dtype=np.uint8)
    Image.fromarray(pixels).save(path)
    return path


@pytest.fixture
def shop(tmp_path: Path) -> Path:
    """Photographs a, b and c of one label, d of another."""
    for seed, name in enumerate("abcd"):
        photo(tmp_path / "shop" / f"{name}.png", seed)
    return tmp_path / "shop"


def prepared(folder: Path, rows: list[str], header: str = HEADER, **options):
    (folder / "df.csv").write_text("\n".join([header, *rows]) + "\n")
    root = folder.parent / "data"
    said: list[str] = []
    prepare(
        Request("shop", data_root=root, source=folder, replace=True, report=said.append, workers=1, **options)
    )
    assert verify("shop", data_root=root, workers=1) == []
    found = load_eval(root, "shop")
    return found, notes_of(root, found)


def at(evalset, query: int) -> tuple[list[int], list[int]]:
    """Positives and junk of a query, by name."""
    return tuple(
        sorted(evalset.database.name(int(i)) for i in lists.row(query)) for lists in evalset.truth.at("all")
    )


def spelt(folder: Path, how: str) -> str:
    """Another name of b.png."""
    there = folder / "b.png"
    if how == "absolute":
        return str(there)
    if how == "dot":
        return "./b.png"
    if how == "up and down":
        return "../shop/b.png"
    if how == "link":
        (folder / "link.png").symlink_to(there)
        return "link.png"
    if how == "hard link":
        (folder / "hard.png").hardlink_to(there)
        return "hard.png"
    if how == "linked folder":
        (folder / "more").symlink_to(folder, target_is_directory=True)
        return "more/b.png"
    (folder / "chain.png").symlink_to(folder / "middle.png")
    (folder / "middle.png").symlink_to(there)
    return "chain.png"


NAMES = ["absolute", "dot", "up and down", "link", "hard link", "linked folder", "chain of links"]


@pytest.mark.parametrize("how", NAMES)
def test_one_file_under_two_names_is_its_own_row(shop: Path, how: str):
    rows = [f"1,b.png,{QUERY}", f"1,a.png,{GALLERY}", f"2,d.png,{GALLERY}"]
    # Another query beside it, which is searched under one name: what hid the fault.
    rows += [f"1,c.png,{BOTH}", f"1,{spelt(shop, how)},{GALLERY}"]
    if how == "dot":
        rows[0], rows[-1] = rows[0].replace("b.png", str(shop / "b.png")), rows[-1]
    evalset, notes = prepared(shop, rows)
    positives, junk = at(evalset, 0)
    assert positives == ["a.png", "c.png"]
    assert len(junk) == 1
    assert "1 query is itself in the database" in " ".join(notes)
    assert evalset.query_rows.tolist() == [3, 2]


def test_a_second_name_of_a_query_that_is_searched_itself_is_junk_too(shop: Path):
    (shop / "hard.png").hardlink_to(shop / "b.png")
    rows = [f"1,{name}.png,{BOTH}" for name in ("a", "b", "c", "hard")]
    evalset, notes = prepared(shop, rows)
    assert at(evalset, 1) == (["a.png", "c.png"], ["b.png", "hard.png"])
    assert at(evalset, 3) == (["a.png", "c.png"], ["b.png", "hard.png"])
    assert at(evalset, 0) == (["b.png", "c.png", "hard.png"], ["a.png"])
    assert read_json(shop.parent / "data" / "shop" / "manifest.json")["counts"]["positive"] == 10
    assert any("2 queries are themselves" in note for note in notes)


def test_a_box_of_the_whole_image_is_the_whole_image(shop: Path):
    header = f"{HEADER},x_1,y_1,x_2,y_2"
    rows = [f"1,b.png,{QUERY},,,,", f"1,b.png,{GALLERY},0,0,16,12", f"1,b.png,{GALLERY},0,0,8,8"]
    evalset, _ = prepared(shop, [*rows, f"1,a.png,{GALLERY},,,,"], header)
    assert evalset.query_rows.tolist() == [0]
    good, junk = evalset.truth.at("all")
    # The half of the picture is another item.
    assert (good.row(0).tolist(), junk.row(0).tolist()) == ([1, 2], [0])


def test_a_copy_counts_and_is_said_and_can_be_ignored(shop: Path):
    (shop / "copy.png").write_bytes((shop / "b.png").read_bytes())
    rows = [f"1,b.png,{QUERY}", f"1,a.png,{BOTH}", f"1,copy.png,{GALLERY}", f"2,d.png,{GALLERY}"]
    evalset, notes = prepared(shop, rows)
    assert at(evalset, 0) == (["a.png", "copy.png"], [])
    assert len(notes) == 1
    assert "1 query has a byte-identical copy in the database: they count as found." in notes[0]
    assert "--without-copies" in notes[0]
    evalset, notes = prepared(shop, rows, without_copies=True)
    assert at(evalset, 0) == (["a.png"], ["copy.png"])
    assert at(evalset, 1) == (["copy.png"], ["a.png"])
    assert evalset.query_rows.tolist() == [-1, 0]
    assert notes == []


def test_a_copy_under_another_label_counts_as_wrong(shop: Path):
    (shop / "d.png").write_bytes((shop / "b.png").read_bytes())
    _, notes = prepared(shop, [f"1,b.png,{QUERY}", f"1,a.png,{GALLERY}", f"2,d.png,{GALLERY}"])
    assert "they count as wrong" in notes[0]


def test_a_copied_query_among_class_folders_is_said(tmp_path: Path):
    for label in "xy":
        for seed in range(3):
            photo(tmp_path / "photos" / label / f"{seed}.png", 10 * ord(label) + seed)
    first = tmp_path / "photos" / "y" / "0.png"
    (tmp_path / "photos" / "y" / "9.png").write_bytes(first.read_bytes())
    prepare(Request("pets", data_root=tmp_path, source=tmp_path / "photos", hold_out=0.5, workers=1))
    assert "2 queries have byte-identical copies" in notes_of(tmp_path, load_eval(tmp_path, "pets"))[0]


def test_the_option_makes_another_set_of_the_same_folder(shop: Path):
    rows = [f"1,b.png,{QUERY}", f"1,a.png,{GALLERY}"]
    prepared(shop, rows)
    with pytest.raises(UserError, match="--replace"):
        prepare(Request("shop", data_root=shop.parent / "data", source=shop, without_copies=True, workers=1))
    with pytest.raises(UserError, match="are official"):
        prepare(Request("roxford5k", data_root=shop.parent / "data", without_copies=True))


def test_without_doubles_nothing_is_written_that_was_not_before(shop: Path):
    prepared(shop, [f"1,b.png,{BOTH}", f"1,a.png,{GALLERY}"])
    folder = shop.parent / "data" / "shop"
    assert (folder / "truth.json").read_text() == '{"kind": "labels"}\n'
    assert "notes" not in read_json(folder / "manifest.json")
