import os
from pathlib import Path

import pytest
from PIL import Image

from vitret.core.errors import DataError, UserError
from vitret.data.layout.read import load_eval, load_train
from vitret.data.own.detect import read_own
from vitret.data.prepare.request import Request
from vitret.data.prepare.run import prepare


def photos(root: Path, *names: str) -> Path:
    for i, name in enumerate(names):
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        Image.new("RGB", (9, 9), (i, 50, 99)).save(root / name)
    return root


def prepared(tmp_path: Path, *names: str) -> Path:
    prepare(Request("x", data_root=tmp_path / "data", source=photos(tmp_path / "src", *names)))
    return tmp_path / "data"


def test_what_is_passed_over_is_counted_and_named(tmp_path: Path):
    root = photos(tmp_path, "ant/0.jpg", "bee/0.JPG", "loose.png")
    for name in ("ant/x", "ant/y.txt", "bee/z.txt", "bee/.hidden"):
        (root / name).touch()
    (root / "ant" / "inner").mkdir()
    own = read_own(root, "x")
    assert own.paths == ["ant/0.jpg", "bee/0.JPG"]
    assert list(own.notes) == [
        "1 image lies beside the class folders, left out; first: loose.png",
        "3 files are no images by their suffix and are left out (2 .txt, 1 without suffix); first: ant/x",
        "1 folders inside class folders are not looked into; first: ant/inner",
    ]


def test_strict_refuses_a_folder_of_which_something_is_left_out(tmp_path: Path):
    source = photos(tmp_path / "src", "ant/0.jpg", "bee/0.jpg", "loose.png")
    request = Request("x", data_root=tmp_path / "data", source=source, strict=True)
    with pytest.raises(UserError, match=r"1 image lies beside the class folders, left out; first: loose.png"):
        prepare(request)
    assert not (tmp_path / "data" / "x").exists()
    (source / "loose.png").unlink()
    prepare(request)
    assert (tmp_path / "data" / "x").is_dir()


def test_an_image_beside_the_classes_of_a_split_is_named(tmp_path: Path):
    root = photos(tmp_path, "train/ant/0.jpg", "train/loose.jpg", "test/bee/0.jpg", "test/bee/1.jpg")
    own = read_own(root, "x")
    assert "train/loose.jpg" not in own.paths
    assert list(own.left_out) == ["1 image lies beside the class folders, left out; first: train/loose.jpg"]


def test_names_that_are_not_utf8_are_left_out_and_named(tmp_path: Path):
    root = photos(tmp_path, "ant/0.jpg", "ant/1.jpg")
    (root / "ant" / "1.jpg").rename(root / "ant" / os.fsdecode(b"caf\xe9.jpg"))
    own = read_own(root, "x")
    assert own.paths == ["ant/0.jpg"]
    assert list(own.notes) == [
        r"1 names are not UTF-8 and are left out, rename them to use them; first: ant/caf\xe9.jpg"
    ]


def test_places_in_the_names_are_positive_within_25_metres(tmp_path: Path):
    database = [f"database/@{500000 + east}.00@4180000.00@10@S@p{east}@.jpg" for east in (0, 25, 26, 900)]
    queries = ["queries/@500000.00@4180000.00@10@S@a@.jpg", "queries/@700000.00@4180000.00@10@S@b@.jpg"]
    evaluation = load_eval(prepared(tmp_path, *database, *queries), "x")
    near = evaluation.truth.judgements["positive"]
    assert [near.row(q).tolist() for q in (0, 1)] == [[0, 1], []]


def test_database_and_queries_of_classes_have_labels(tmp_path: Path):
    names = ("gallery/ant/0.jpg", "gallery/bee/0.jpg", "query/bee/1.jpg")
    evaluation = load_eval(prepared(tmp_path, *names), "x")
    assert evaluation.truth.judgements["positive"].row(0).tolist() == [1]


def test_database_and_queries_without_labels_are_refused(tmp_path: Path):
    root = photos(tmp_path, "database/0.jpg", "queries/1.jpg")
    with pytest.raises(DataError, match=r"2 images|1 images have no label and no place"):
        read_own(root, "x")
    with pytest.raises(UserError, match="--hold-out is for class folders"):
        read_own(root, "x", hold_out=0.5)


def test_train_val_and_test_of_classes(tmp_path: Path):
    names = ("train/ant/0.jpg", "train/ant/1.jpg", "val/bee/0.jpg", "test/cat/0.jpg", "test/cat/1.jpg")
    root = prepared(tmp_path, *names)
    train, evaluation = load_train(root, "x"), load_eval(root, "x")
    assert train.validation.tolist() == [False, False, True]
    assert evaluation.truth.judgements["positive"].row(0).tolist() == [1]


def test_val_evaluates_where_there_is_no_test(tmp_path: Path):
    own = read_own(photos(tmp_path, "train/ant/0.jpg", "val/ant/1.jpg", "val/ant/2.jpg"), "x")
    assert "1 classes are both in train and in the test: the test is not zero-shot" in own.notes


def test_parts_of_database_and_queries_are_sets_of_their_own(tmp_path: Path):
    root = photos(tmp_path, "train/database/0.jpg", "train/queries/0.jpg", "test/database/0.jpg")
    with pytest.raises(DataError, match="Give one: --from"):
        read_own(root, "x")


def test_classes_may_be_called_train_and_test(tmp_path: Path):
    assert read_own(photos(tmp_path, "train/0.jpg", "test/0.jpg"), "x").kind == "one folder per class"


def test_one_photograph_asks_several_times_in_a_prepared_set(tmp_path: Path):
    root = photos(tmp_path / "src", "jpg/a.jpg", "jpg/b.jpg", "jpg/q.jpg")
    (root / "gnd_x.json").write_text(
        '{"imlist": ["a", "b"], "qimlist": ["q", "q"], "gnd": [{"bbx": [0, 0, 5, 5], "ok": [0]},'
        ' {"bbx": [4, 4, 9, 9], "ok": [1]}]}'
    )
    prepare(Request("x", data_root=tmp_path / "data", source=root))
    evaluation = load_eval(tmp_path / "data", "x")
    assert [evaluation.queries.name(q) for q in (0, 1)] == ["q.jpg", "q.jpg"]
    assert [evaluation.truth.judgements["positive"].row(q).tolist() for q in (0, 1)] == [[0], [1]]
