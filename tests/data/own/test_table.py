from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from vitret.core.errors import DataError, EmptyError
from vitret.core.store import read_json
from vitret.data.layout.read import load_eval, load_train
from vitret.data.prepare.request import Request
from vitret.data.prepare.run import prepare

HEADER = "label,path,split,is_query,is_gallery"
GOOD = (
    "7,a.png,train,,",
    "3,b.png,train,,",
    "7,c.png,train,,",
    "5,d.png,validation,True,True",
    "5,e.png,validation,False,True",
    "5,f.png,validation,True,False",
)


def folder(tmp_path: Path, rows: tuple[str, ...] = GOOD, header: str = HEADER) -> Path:
    source = tmp_path / "photos"
    source.mkdir(exist_ok=True)
    for i, name in enumerate("abcdef"):
        Image.new("RGB", (20 + i, 10), (i, i, i)).save(source / f"{name}.png")
    (source / "df.csv").write_text("\n".join([header, *rows]) + "\n")
    return source


def test_a_table_becomes_a_training_and_an_evaluation_part(tmp_path: Path):
    root = tmp_path / "data"
    prepare(Request("shop", data_root=root, source=folder(tmp_path)))
    train, evaluation = load_train(root, "shop"), load_eval(root, "shop")
    assert train.labels.tolist() == [1, 0, 1]
    assert read_json(root / "shop" / "labels.json") == {"train": [3, 7], "evaluation": [5]}
    assert [evaluation.database.name(i) for i in range(2)] == ["d.png", "e.png"]
    assert [evaluation.queries.name(i) for i in range(2)] == ["d.png", "f.png"]
    assert evaluation.query_rows is not None
    assert evaluation.query_rows.tolist() == [0, -1]
    positive = evaluation.truth.judgements["positive"]
    assert [positive.row(q).tolist() for q in (0, 1)] == [[1], [0, 1]]


@pytest.mark.parametrize("kind", ["parquet", "pandas csv"])
def test_what_pandas_writes_is_read_alike(tmp_path: Path, kind: str):
    source = folder(tmp_path)
    prepare(Request("one", data_root=tmp_path, source=source))
    frame = pd.read_csv(source / "df.csv")
    (source / "df.csv").unlink()
    if kind == "parquet":
        frame.to_parquet(source / "df.parquet")
    else:
        frame.to_csv(source / "df.csv")  # With its unnamed index column.
    prepare(Request("two", data_root=tmp_path, source=source))
    assert load_train(tmp_path, "one").digest == load_train(tmp_path, "two").digest
    assert load_eval(tmp_path, "one").digest == load_eval(tmp_path, "two").digest


GROUPED = tuple(f"{row},{word}" for row, word in zip(GOOD, ("x", "", "y", "left", "right", ""), strict=True))


@pytest.mark.parametrize("column", ["group", "landmark", "product"])
def test_a_column_says_which_queries_ask_about_one_thing(tmp_path: Path, column: str):
    said: list[str] = []
    rows = (*GROUPED[:3], "5,d.png,validation,,,left", "5,e.png,validation,,,left", "6,f.png,validation,,,")
    rows = tuple(row.replace("validation,,", "validation,True,True") for row in rows)
    source = folder(tmp_path, rows, f"{HEADER},{column}")
    prepare(Request("shop", data_root=tmp_path, source=source, report=said.append))
    evaluation = load_eval(tmp_path, "shop")
    assert evaluation.groups is not None
    assert (evaluation.groups.tolist(), evaluation.groups_rule) == ([0, 0, 1], "own column")
    assert any(f"{column}: 3 queries in 1 groups and 1 that stand alone" in line for line in said)


def test_groups_change_no_answer_and_a_table_without_them_is_prepared_as_before(tmp_path: Path):
    source = folder(tmp_path)
    prepare(Request("plain", data_root=tmp_path, source=source))
    folder(tmp_path, GROUPED, f"{HEADER},group")
    prepare(Request("grouped", data_root=tmp_path, source=source))
    plain, grouped = load_eval(tmp_path, "plain"), load_eval(tmp_path, "grouped")
    assert plain.digest != grouped.digest
    assert (
        plain.truth.judgements["positive"].values.tolist()
        == grouped.truth.judgements["positive"].values.tolist()
    )
    assert plain.groups_rule == "label"
    columns = pd.read_parquet(tmp_path / "plain" / "queries.parquet").columns
    assert "group" not in columns


def test_two_columns_of_groups_are_refused(tmp_path: Path):
    rows = tuple(f"{row},x" for row in GROUPED)
    with pytest.raises(DataError, match="'group' and 'product' both say"):
        prepare(Request("shop", data_root=tmp_path, source=folder(tmp_path, rows, f"{HEADER},product,group")))


def test_coil20_as_it_is_given(tmp_path: Path, shared: Path):
    prepare(Request("coil20", data_root=tmp_path, source=shared / "coil20"))
    train, evaluation = load_train(tmp_path, "coil20"), load_eval(tmp_path, "coil20")
    assert (len(train.images), train.classes) == (720, 10)
    assert (len(evaluation.queries), len(evaluation.database)) == (720, 720)
    assert evaluation.query_rows is not None
    assert evaluation.query_rows.tolist() == list(range(720))
    assert set(evaluation.truth.judgements["positive"].lengths().tolist()) == {71}
    assert read_json(tmp_path / "coil20" / "labels.json")["evaluation"] == list(range(10, 20))


def test_boxes_make_items_of_one_image(tmp_path: Path):
    source = folder(
        tmp_path,
        ("1,a.png,train,0,0,5,5", "2,a.png,train,5,0,9,5", "1,b.png,train,,,,"),
        "label,path,split,x_1,y_1,x_2,y_2",
    )
    prepare(Request("items", data_root=tmp_path, source=source))
    train = load_train(tmp_path, "items")
    assert train.images.box(1) == (5.0, 0.0, 9.0, 5.0)
    assert train.images.box(2) is None


def test_words_are_labels_and_without_sides_all_ask_all(tmp_path: Path):
    said: list[str] = []
    rows = ("owl,a.png,validation", "owl,b.png,validation", "ant,c.png,validation")
    source = folder(tmp_path, rows, "label,path,split")
    prepare(Request("birds", data_root=tmp_path, source=source, report=said.append))
    evaluation = load_eval(tmp_path, "birds")
    assert evaluation.truth.judgements["positive"].lengths().tolist() == [1, 1, 0]
    assert any("asks all the others" in word for word in said)


@pytest.mark.parametrize(
    ("labels", "originals"),
    [
        (("007", "7", "10", "10"), ["007", "10", "7"]),
        (("7", "10", "2", "2"), [2, 7, 10]),
        (("7.0", "10.0", "2", "2.0"), [2, 7, 10]),
        (("-1", "7", "owl", "owl"), ["-1", "7", "owl"]),
        # Neither fits 64 bits; read as fractions they would be one.
        (
            ("99999999999999999991", "99999999999999999992", "3", "3"),
            ["3", "99999999999999999991", "99999999999999999992"],
        ),
    ],
)
@pytest.mark.parametrize("kind", ["csv", "parquet"])
def test_labels_are_kept_as_they_are_written(
    tmp_path: Path, labels: tuple[str, ...], originals: list[int | str], kind: str
):
    source = folder(
        tmp_path, tuple(f"{label},{name}.png,train,," for label, name in zip(labels, "abcd", strict=True))
    )
    if kind == "parquet":
        pd.read_csv(source / "df.csv", dtype=str).to_parquet(source / "df.parquet")
        (source / "df.csv").unlink()
    prepare(Request("shop", data_root=tmp_path, source=source))
    assert read_json(tmp_path / "shop" / "labels.json")["train"] == originals
    assert len(set(load_train(tmp_path, "shop").labels.tolist())) == 3


def test_images_elsewhere_keep_their_whole_path(tmp_path: Path):
    source = folder(tmp_path)
    far = tmp_path / "far" / "z.png"
    far.parent.mkdir()
    Image.new("RGB", (9, 9)).save(far)
    (source / "df.csv").write_text(f"label,path,split\n1,{far},train\n1,../far/../photos/a.png,train\n")
    prepare(Request("spread", data_root=tmp_path / "data", source=source))
    train = load_train(tmp_path / "data", "spread")
    assert train.images.name(0) == str(far).lstrip("/")
    assert train.images.name(1) == "a.png"
    assert all(train.images.file(i).is_file() for i in (0, 1))


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ((*GOOD, "7,a.png,train,,"), r"df\.csv line 8: repeats line 2: a\.png"),
        ((*GOOD, "7,./a.png,validation,True,True"), r"line 8: repeats line 2"),
        (("7,nowhere.png,train,,",), r"line 2: 1 of 1 images are missing; first: .*nowhere\.png"),
        (("7,a.png,test,,",), r"line 2: split is 'test'; it must be 'train' or 'validation'"),
        (("7,a.png,,,",), r"line 2: split is ''"),
        ((",a.png,train,,", "1,b.png,train,,"), r"line 2: the label is empty"),
        (("1.5,a.png,train,,",), "whole numbers or words"),
        (("7,,train,,",), r"line 2: the path is empty"),
        (("7,a.png,train,True,",), r"line 2: a training image is marked"),
        (("7,a.png,validation,False,False",), r"line 2: a validation image is neither"),
        (("7,a.png,validation,yes,True",), r"line 2: is_query is 'yes'"),
        (("7,a.png,train,",), "not readable as a table"),
    ],
)
def test_wrong_rows_are_named_by_their_line(tmp_path: Path, change: tuple[str, ...], said: str):
    with pytest.raises(DataError, match=said):
        prepare(Request("shop", data_root=tmp_path / "data", source=folder(tmp_path, change)))
    assert not (tmp_path / "data" / "shop").exists()


@pytest.mark.parametrize(
    ("header", "said"),
    [
        ("label,path,split,is_qurey,is_gallery", "a column 'is_qurey'. Did you mean 'is_query'"),
        ("Label,path,split,is_query,is_gallery", "a column 'Label'. Did you mean 'label'"),
        ("class_id,path,split,is_query,is_gallery", "the column 'label' is missing"),
        ("label,path,split,is_query,other", "the column 'is_gallery' is missing"),
        ("label,path,split,path,other", "the column 'path' is there twice"),
    ],
)
def test_wrong_columns_are_named(tmp_path: Path, header: str, said: str):
    with pytest.raises(DataError, match=said.replace(".", r"\.")):
        prepare(Request("shop", data_root=tmp_path / "data", source=folder(tmp_path, header=header)))


@pytest.mark.parametrize(
    ("box", "said"),
    [
        ("1,2,3,", "the box is not complete"),
        ("5,2,3,9", "x_1 < x_2"),
        ("500,2,600,9", "hold no pixel"),
        ("a,2,600,9", "must be numbers"),
    ],
)
def test_wrong_boxes_are_named(tmp_path: Path, box: str, said: str):
    source = folder(tmp_path, (f"1,a.png,train,{box}",), "label,path,split,x_1,y_1,x_2,y_2")
    with pytest.raises(DataError, match=said):
        prepare(Request("shop", data_root=tmp_path / "data", source=source))


def test_empty_and_unreadable_tables(tmp_path: Path):
    with pytest.raises(EmptyError, match="holds no row"):
        prepare(Request("shop", data_root=tmp_path, source=folder(tmp_path, ())))
    source = folder(tmp_path)
    (source / "df.csv").unlink()
    (source / "df.parquet").write_bytes(b"PAR1 no")
    with pytest.raises(DataError, match="not readable as a table"):
        prepare(Request("shop", data_root=tmp_path, source=source))


def test_a_broken_training_image_is_left_out_a_broken_test_image_stops(tmp_path: Path):
    source = folder(tmp_path)
    (source / "b.png").write_bytes(b"<html>")
    prepare(Request("shop", data_root=tmp_path, source=source))
    assert load_train(tmp_path, "shop").classes == 1
    assert read_json(tmp_path / "shop" / "labels.json")["train"] == [7]
    (source / "e.png").write_bytes(b"<html>")
    with pytest.raises(DataError, match=r"queries or positives.*e\.png"):
        prepare(Request("other", data_root=tmp_path, source=source))
    assert np.array_equal(load_train(tmp_path, "shop").labels, [0, 0])


SEQUENCES = f"{HEADER},sequence"


def naive_junk(labels: list[str], sequences: list[str]) -> list[list[int]]:
    """What Open Metric Learning leaves out: the query and all rows of its sequence, of any label."""
    same = [[s and s == t for t in sequences] for s in sequences]
    return [[i for i in range(len(labels)) if i == q or same[q][i]] for q in range(len(labels))]


@pytest.mark.parametrize(
    "sequences",
    [
        ["1", "1", "2", "1", "2", "3"],  # The first spans two labels.
        ["s1", "s1", "s2", "s2", "s3", "s3"],
        ["1", "", "", "1", "", ""],  # Rows without a sequence are not of one.
        ["01", "1", "1", "01", "2", "2"],  # Words as they are written.
    ],
)
@pytest.mark.parametrize("kind", ["csv", "parquet"])
def test_a_query_ignores_its_own_sequence(tmp_path: Path, sequences: list[str], kind: str):
    labels = ["5", "5", "5", "6", "6", "6"]
    rows = tuple(
        f"{label},{name}.png,validation,True,True,{sequence}"
        for name, label, sequence in zip("abcdef", labels, sequences, strict=True)
    )
    source = folder(tmp_path, rows, SEQUENCES)
    if kind == "parquet":
        frame = pd.read_csv(source / "df.csv", dtype={"sequence": str}, keep_default_na=False)
        frame.to_parquet(source / "df.parquet")
        (source / "df.csv").unlink()
    said: list[str] = []
    prepare(Request("film", data_root=tmp_path, source=source, report=said.append, workers=1))
    judged = load_eval(tmp_path, "film").truth.judgements
    expected = naive_junk(labels, sequences)
    for q in range(6):
        assert judged["junk"].row(q).tolist() == expected[q]
        same = [i for i in range(6) if labels[i] == labels[q]]
        assert judged["positive"].row(q).tolist() == [i for i in same if i not in expected[q]]
    counted = read_json(tmp_path / "film" / "manifest.json")["counts"]["positive"]
    assert counted == len(judged["positive"].values)
    assert any("as in Open Metric Learning" in word for word in said)
    # In each of these lists some sequence holds both labels.
    assert any("hold several labels" in word for word in said)


def test_sequences_between_queries_and_gallery(tmp_path: Path):
    rows = (
        "5,a.png,validation,True,False,1.0",
        "5,b.png,validation,False,True,1.0",
        "5,c.png,validation,False,True,2.0",
        "7,d.png,train,,,",
    )
    prepare(Request("film", data_root=tmp_path, source=folder(tmp_path, rows, SEQUENCES), workers=1))
    found = load_eval(tmp_path, "film")
    assert found.truth.judgements["positive"].row(0).tolist() == [1]
    assert found.truth.judgements["junk"].row(0).tolist() == [0]
    assert found.query_rows is None


def test_an_empty_column_changes_no_digest(tmp_path: Path):
    plain = folder(tmp_path, ("5,a.png,validation,True,True", "5,b.png,validation,True,True"))
    prepare(Request("one", data_root=tmp_path, source=plain, workers=1))
    rows = ("5,a.png,validation,True,True,", "5,b.png,validation,True,True,")
    prepare(Request("two", data_root=tmp_path, source=folder(tmp_path, rows, SEQUENCES), workers=1))
    assert load_eval(tmp_path, "one").digest == load_eval(tmp_path, "two").digest


@pytest.mark.parametrize("separator", [",", ";", "\t", "|"])
@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-16-le", "utf-16-be", "utf-32"])
def test_a_table_is_read_however_a_spreadsheet_saved_it(tmp_path: Path, separator: str, encoding: str):
    source = folder(tmp_path)
    prepare(Request("one", data_root=tmp_path, source=source))
    text = (source / "df.csv").read_text().replace(",", separator)
    (source / "df.csv").unlink()
    (source / "DF.CSV").write_bytes(text.replace("\n", "\r\n").encode(encoding))
    prepare(Request("two", data_root=tmp_path, source=source))
    assert load_train(tmp_path, "one").digest == load_train(tmp_path, "two").digest
    assert load_eval(tmp_path, "one").digest == load_eval(tmp_path, "two").digest


def test_a_table_of_tabs_may_be_called_tsv(tmp_path: Path):
    source = folder(tmp_path)
    (source / "df.tsv").write_text((source / "df.csv").read_text().replace(",", "\t"))
    prepare(Request("shop", data_root=tmp_path, source=source / "df.tsv"))
    assert len(load_train(tmp_path, "shop").labels) == 3


def test_paths_of_windows_and_of_the_mac_are_found(tmp_path: Path):
    source = folder(tmp_path, ("a,sub\\e\u0301.png,train",), header="label,path,split")
    (source / "sub").mkdir()
    (source / "a.png").rename(source / "sub" / "\u00e9.png")
    prepare(Request("shop", data_root=tmp_path, source=source))
    assert load_train(tmp_path, "shop").images.name(0) == "sub/\u00e9.png"
