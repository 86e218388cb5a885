import io
import os
from pathlib import Path

import numpy as np
import pytest
from folders import tree
from PIL import Image

from vitret.core.errors import DataError, EmptyError, MachineError, UserError
from vitret.core.records import Ragged, Truth
from vitret.core.store import read_json
from vitret.data.layout import (
    AlreadyThereError,
    LayoutWriter,
    exists,
    list_sets,
    load_eval,
    load_images,
    load_manifest,
    load_sizes,
    load_train,
)
from vitret.data.layout.parts import Side


def jpeg(seed: int, size: tuple[int, int] = (40, 30)) -> bytes:
    pixels = np.random.default_rng(seed).integers(0, 255, (size[1], size[0], 3), dtype=np.uint8)
    out = io.BytesIO()
    Image.fromarray(pixels).save(out, "JPEG")
    return out.getvalue()


def photographs(folder: Path, n: int) -> list[Path]:
    folder.mkdir(parents=True, exist_ok=True)
    paths = [folder / f"{i}.jpg" for i in range(n)]
    for i, path in enumerate(paths):
        path.write_bytes(jpeg(i))
    return paths


def small_set(root: Path, photos: list[Path], *, replace: bool = False) -> Path:
    """Six photographs: 0-2 train (classes 5, 9), 3-5 database, 2 the query with a box."""
    with LayoutWriter(root, "small", replace=replace) as writer:
        for i, photo in enumerate(photos[:6]):
            writer.link(photo, f"all/{i}.jpg")
        names = [f"all/{i}.jpg" for i in range(6)]
        writer.train(names[:3], [9, 5, 9], pairs=np.array([[0, 2]]))
        writer.evaluation(
            Side(names[3:]),
            Side([names[2]], boxes=np.array([[1.0, 2.0, 20.0, 25.0]])),
            judgements=Truth(
                judgements={"easy": Ragged.of([[2]]), "hard": Ragged.of([[0]]), "junk": Ragged.of([[]])}
            ),
        )
        writer.card({"title": "Six photographs"})
        return writer.finish()


def test_what_is_written_is_read(tmp_path: Path):
    root = tmp_path / "data"
    folder = small_set(root, photographs(tmp_path / "photos", 6))
    train, evaluation = load_train(root, "small"), load_eval(root, "small")
    assert train.labels.tolist() == [1, 0, 1]
    assert read_json(folder / "labels.json") == {"train": [5, 9]}
    assert train.pairs is not None
    assert train.pairs.tolist() == [[0, 2]]
    assert train.images.name(1) == "all/1.jpg"
    assert evaluation.queries.box(0) == (1.0, 2.0, 20.0, 25.0)
    assert evaluation.database.box(0) is None
    assert evaluation.truth.at("medium")[0].row(0).tolist() == [0, 2]
    assert evaluation.query_rows is None
    assert (folder / "images" / "all" / "0.jpg").is_symlink()
    assert list_sets(root) == ["small"]
    assert load_sizes(evaluation.database).tolist() == [[40, 30, 1]] * 3
    manifest = load_manifest(root, "small")
    assert manifest["counts"] == {
        "train": 3,
        "validation": 0,
        "classes": 2,
        "pairs": 1,
        "queries": 1,
        "database": 3,
        "easy": 1,
        "hard": 1,
        "junk": 0,
    }
    assert load_images(root, "small").digest == manifest["digests"]["database"]


def test_paths_of_any_alphabet_come_back(tmp_path: Path):
    photo = photographs(tmp_path / "photos", 1)[0]
    with LayoutWriter(tmp_path, "words") as writer:
        writer.link(photo, "Äpfel/è 1.jpg")
        writer.link(photo, "b.jpg")
        writer.train(["Äpfel/è 1.jpg", "b.jpg"], ["ß", "a"])
        writer.finish()
    train = load_train(tmp_path, "words")
    assert train.images.name(0) == "Äpfel/è 1.jpg"
    assert train.images.file(0).is_file()
    assert read_json(tmp_path / "words" / "labels.json") == {"train": ["a", "ß"]}


def test_the_digest_follows_bytes_and_tables(tmp_path: Path):
    photos = photographs(tmp_path / "photos", 6)
    small_set(tmp_path / "a", photos)
    small_set(tmp_path / "b", photos)
    assert load_train(tmp_path / "a", "small").digest == load_train(tmp_path / "b", "small").digest
    photos[4].write_bytes(jpeg(99))  # A database image: the training part is as it was.
    small_set(tmp_path / "c", photos)
    assert load_train(tmp_path / "a", "small").digest == load_train(tmp_path / "c", "small").digest
    assert load_eval(tmp_path / "a", "small").digest != load_eval(tmp_path / "c", "small").digest


def test_labels_make_the_truth_and_the_own_image_is_junk(tmp_path: Path):
    with LayoutWriter(tmp_path, "pets") as writer:
        for i in range(5):
            writer.write_image(f"{i}.jpg", jpeg(i))
        names = [f"{i}.jpg" for i in range(5)]
        labels = ["cat", "dog", "cat", "dog", "cat"]
        writer.evaluation(
            Side(names, labels=labels), Side(names[:2], labels=labels[:2]), query_rows=np.array([0, 1])
        )
        writer.finish()
    evaluation = load_eval(tmp_path, "pets")
    assert evaluation.truth.levels == ("all",)
    assert evaluation.truth.judgements["positive"].row(0).tolist() == [2, 4]
    assert evaluation.truth.judgements["junk"].row(1).tolist() == [1]
    assert evaluation.query_rows is not None
    assert evaluation.query_rows.tolist() == [0, 1]


def test_a_linked_folder_serves_all_its_images(tmp_path: Path):
    photographs(tmp_path / "photos", 4)
    with LayoutWriter(tmp_path, "crowd") as writer:
        writer.link(tmp_path / "photos", "r1m")
        writer.distractors([f"r1m/{i}.jpg" for i in range(3)])
        writer.finish()
    assert len(load_images(tmp_path, "crowd").images) == 3
    with pytest.raises(DataError, match="no queries"):
        load_eval(tmp_path, "crowd")
    with pytest.raises(DataError, match="no training part"):
        load_train(tmp_path, "crowd")


def test_an_interrupted_attempt_leaves_nothing_behind_and_changes_nothing(tmp_path: Path):
    photos = photographs(tmp_path / "photos", 6)
    expected = tree(small_set(tmp_path / "calm", photos))
    root = tmp_path / "rough"
    with LayoutWriter(root, "small") as writer:
        writer.link(photos[0], "stray/old.jpg")
        writer.link(photos[5], "all/0.jpg")
    (root / "small.part" / "checked.jsonl").write_text('{"path": "all/1.jpg", "sta')
    assert not exists(root, "small")
    assert tree(small_set(root, photos)) == expected
    assert not (root / "small.part").exists()


def test_a_good_set_is_replaced_only_when_told(tmp_path: Path):
    photos = photographs(tmp_path / "photos", 6)
    small_set(tmp_path, photos)
    with pytest.raises(AlreadyThereError, match="--replace"):
        small_set(tmp_path, photos)
    before = load_eval(tmp_path, "small").digest
    photos[4].write_bytes(jpeg(77))
    small_set(tmp_path, photos, replace=True)
    assert load_eval(tmp_path, "small").digest != before
    assert not (tmp_path / "small.old").exists()


def test_a_replacement_that_fails_leaves_the_old_set(tmp_path: Path):
    photos = photographs(tmp_path / "photos", 6)
    before = tree(small_set(tmp_path, photos))
    with pytest.raises(EmptyError), LayoutWriter(tmp_path, "small", replace=True) as writer:
        writer.finish()
    assert tree(tmp_path / "small") == before


def test_a_kill_between_the_two_renames_is_repaired(tmp_path: Path):
    photos = photographs(tmp_path / "photos", 6)
    small_set(tmp_path, photos)
    (tmp_path / "small").rename(tmp_path / "small.old")
    with pytest.raises(AlreadyThereError):
        small_set(tmp_path, photos)
    assert list_sets(tmp_path) == ["small"]


def test_broken_training_images_are_left_out_and_listed(tmp_path: Path):
    photos = photographs(tmp_path / "photos", 4)
    photos[1].write_bytes(b"<html><body>302 Found</body></html>")
    with LayoutWriter(tmp_path, "holes") as writer:
        for i, photo in enumerate(photos):
            writer.link(photo, f"{i}.jpg")
        writer.train([f"{i}.jpg" for i in range(4)], [3, 5, 7, 7], pairs=np.array([[0, 1], [2, 3]]))
        writer.finish()
    train, manifest = load_train(tmp_path, "holes"), load_manifest(tmp_path, "holes")
    assert train.labels.tolist() == [0, 1, 1]
    assert train.pairs is not None
    assert train.pairs.tolist() == [[1, 2]]
    assert [entry["path"] for entry in manifest["failed"]] == ["1.jpg"]
    assert "web page" in manifest["failed"][0]["reason"]
    assert manifest["complete"] is False
    assert not (tmp_path / "holes" / "images" / "1.jpg").is_symlink()


def judged_set(root: Path, photos: list[Path], rows: dict[str, list[list[int]]]) -> Path:
    with LayoutWriter(root, "judged") as writer:
        for i, photo in enumerate(photos):
            writer.link(photo, f"{i}.jpg")
        names = [f"{i}.jpg" for i in range(len(photos))]
        truth = Truth(judgements={kind: Ragged.of(lists) for kind, lists in rows.items()})
        writer.evaluation(Side(names[1:]), Side(names[:1]), judgements=truth)
        return writer.finish()


def test_broken_images_nobody_asks_about_leave_the_truth_right(tmp_path: Path):
    photos = photographs(tmp_path / "photos", 5)
    photos[2].write_bytes(photos[2].read_bytes()[:200])
    judged_set(tmp_path, photos, {"easy": [[3]], "hard": [[0]], "junk": [[1, 2]]})
    evaluation = load_eval(tmp_path, "judged")
    assert len(evaluation.database) == 3
    assert evaluation.truth.judgements["easy"].row(0).tolist() == [2]
    assert evaluation.truth.judgements["junk"].row(0).tolist() == [1]


@pytest.mark.parametrize("broken", [0, 4])  # The query; an easy positive.
def test_broken_queries_and_positives_stop_the_preparation(tmp_path: Path, broken: int):
    photos = photographs(tmp_path / "photos", 5)
    photos[broken].write_bytes(b"")
    with pytest.raises(DataError, match=rf"queries or positives.*{broken}\.jpg is empty"):
        judged_set(tmp_path, photos, {"easy": [[3]], "hard": [[0]], "junk": [[1, 2]]})
    assert not exists(tmp_path, "judged")


def test_truth_outside_the_database_is_refused(tmp_path: Path):
    photos = photographs(tmp_path / "photos", 3)
    with pytest.raises(DataError, match=r"'hard' of query 0\.jpg names database image 2, but there are 2"):
        judged_set(tmp_path, photos, {"easy": [[0]], "hard": [[2]], "junk": [[]]})


def test_boxes_without_a_pixel_are_refused(tmp_path: Path):
    photo = photographs(tmp_path / "photos", 1)[0]
    with LayoutWriter(tmp_path, "boxed") as writer:
        writer.link(photo, "a.jpg")
        writer.train(["a.jpg", "a.jpg"], [0, 1], boxes=np.array([[np.nan] * 4, [50.0, 0.0, 60.0, 10.0]]))
        with pytest.raises(DataError, match="1 boxes hold no pixel"):
            writer.finish()


@pytest.mark.parametrize("judged", [False, True])
def test_a_query_in_the_database_is_its_own_row_and_junk_without_being_declared(tmp_path: Path, judged: bool):
    said: list[str] = []
    photos = photographs(tmp_path / "photos", 2)
    with LayoutWriter(tmp_path, "loop", report=said.append) as writer:
        for photo, name in zip(photos, ("a", "b"), strict=True):
            writer.link(photo, name)
        truth = Truth(judgements={"positive": Ragged.of([[0, 1]])}) if judged else None
        labels = None if judged else [1, 1]
        asked = Side(["b"], labels=None if judged else [1])
        writer.evaluation(Side(["a", "b"], labels=labels), asked, judgements=truth)
        writer.finish()
    found = load_eval(tmp_path, "loop")
    assert found.query_rows is not None
    assert found.query_rows.tolist() == [1]
    assert [found.truth.judgements[kind].row(0).tolist() for kind in ("positive", "junk")] == [[0], [1]]
    assert any("1 query is itself in the database" in word for word in said)


def test_repeated_database_images_are_refused_unless_their_boxes_differ(tmp_path: Path):
    boxes = np.array([[0.0, 0, 5, 5], [5.0, 5, 9, 9]])
    with LayoutWriter(tmp_path, "twice") as writer:
        with pytest.raises(DataError, match=r"more than once; first: a\.jpg"):
            writer.evaluation(Side(["a.jpg", "a.jpg"], labels=[1, 1]), Side(["q.jpg"], labels=[1]))
        writer.evaluation(Side(["a.jpg", "a.jpg"], labels=[1, 1], boxes=boxes), Side(["q.jpg"], labels=[1]))


def test_classes_on_both_sides_of_the_validation_are_refused(tmp_path: Path):
    with LayoutWriter(tmp_path, "leak") as writer, pytest.raises(DataError, match="validation"):
        writer.train(["a", "b"], [1, 1], validation=np.array([True, False]))


@pytest.mark.parametrize("name", ["../x", "A", "", "x.part", "x.old", ".x", "a/b"])
def test_names_that_could_not_be_folders_are_refused(tmp_path: Path, name: str):
    with pytest.raises(UserError, match="cannot name a set"):
        LayoutWriter(tmp_path, name)


@pytest.mark.parametrize("path", ["../a.jpg", "/etc/a.jpg", "a/../../b.jpg", ""])
def test_images_cannot_leave_the_set(tmp_path: Path, path: str):
    with LayoutWriter(tmp_path, "safe") as writer, pytest.raises(DataError, match="leads out"):
        writer.write_image(path, b"")


def test_unknown_sets_are_answered_with_near_names(tmp_path: Path):
    small_set(tmp_path, photographs(tmp_path / "photos", 6))
    with pytest.raises(DataError, match=r"Did you mean 'small'. 'small' is prepared"):
        load_eval(tmp_path, "smal")


@pytest.mark.parametrize("file", ["database.parquet", "truth.json"])
def test_damaged_files_stop_the_reader_with_their_path(tmp_path: Path, file: str):
    folder = small_set(tmp_path, photographs(tmp_path / "photos", 6))
    (folder / file).write_bytes(b"PAR1 nothing")
    with pytest.raises(DataError, match=file):
        load_eval(tmp_path, "small")


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere")
def test_a_read_only_folder_is_said_plainly(tmp_path: Path):
    photos = photographs(tmp_path / "photos", 6)
    root = tmp_path / "locked"
    root.mkdir(mode=0o555)
    with pytest.raises(MachineError, match="cannot write"):
        small_set(root, photos)


def test_copies_stand_in_where_links_are_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    def refuse(*_: object, **__: object) -> None:
        raise OSError(1, "Operation not permitted")

    photos = photographs(tmp_path / "photos", 6)
    monkeypatch.setattr(Path, "symlink_to", refuse)
    folder = small_set(tmp_path, photos)
    copied = folder / "images" / "all" / "0.jpg"
    assert not copied.is_symlink()
    assert copied.read_bytes() == photos[0].read_bytes()


def test_the_command_for_an_unknown_set_is_that_of_the_near_name(tmp_path: Path):
    for name, words in (
        ("minitown-cleen", r"Did you mean 'minitown-clean'.* Prepare it: vitret prepare minitown-clean$"),
        ("minitown-clean", r"Prepare it: vitret prepare minitown-clean$"),
        ("xyzzy", r"For your own images: vitret prepare xyzzy --from DIR$"),
        # A set of a track is what was meant, however near the name of another is.
        ("landmarks-mix", r"data\. Prepare it from .*: vitret prepare landmarks-mix --from DIR$"),
    ):
        with pytest.raises(DataError, match=words):
            load_manifest(tmp_path / "data", name)
