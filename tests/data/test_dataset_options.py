"""Options of the official parts: what their `build` says they change."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import miniatures
import numpy as np
import pytest

from vitret.core import plugins
from vitret.core.errors import DataError
from vitret.core.records import EvalSet
from vitret.core.store import read_json
from vitret.data import layout
from vitret.data.layout.write import LayoutWriter

Convert = Callable[..., Path]


@pytest.fixture
def convert(tmp_path: Path) -> Convert:
    """Convert the peer's tree of a miniature with some options; returns the data folder."""

    def run(name: str, change: Callable[[Path], Any] = lambda _: None, **options: Any) -> Path:
        tree = tmp_path / "miniature" / "peer"
        if not tree.exists():
            miniatures.build(name, tmp_path / "miniature")
        change(tree)
        with LayoutWriter(tmp_path / "data", name, replace=True, workers=0) as writer:
            plugins.build("datasets", name, **options)(tree, writer)
            writer.finish()
        return tmp_path / "data"

    return run


def judged(root: Path, name: str, kind: str) -> tuple[EvalSet, list[list[int]]]:
    evaluation = layout.load_eval(root, name)
    rows = evaluation.truth.judgements[kind]
    return evaluation, [rows.row(q).tolist() for q in range(len(evaluation.queries))]


def test_the_own_photograph_of_an_oxford_query_is_as_listed_or_junk(convert: Convert) -> None:
    evaluation, positives = judged(convert("oxford5k"), "oxford5k", "positive")
    assert evaluation.query_rows is not None
    assert all(row in rows for row, rows in zip(evaluation.query_rows, positives, strict=True))
    root = convert("oxford5k", query_image="junk")
    evaluation, junk = judged(root, "oxford5k", "junk")
    _, without = judged(root, "oxford5k", "positive")
    assert evaluation.query_rows is not None
    for q, row in enumerate(evaluation.query_rows):
        assert row in junk[q]
        assert without[q] == [i for i in positives[q] if i != row]


def test_the_own_image_of_a_ukbench_query_counts_or_is_junk(convert: Convert) -> None:
    _, positives = judged(convert("ukbench"), "ukbench", "positive")
    assert positives[5] == [4, 5, 6, 7]
    root = convert("ukbench", own_image="junk")
    assert judged(root, "ukbench", "positive")[1][5] == [4, 6, 7]
    assert judged(root, "ukbench", "junk")[1][5] == [5]


def test_a_group_of_ukbench_has_four_images(convert: Convert) -> None:
    with pytest.raises(DataError, match="group 1 has 3 images"):
        convert("ukbench", lambda tree: (tree / "ukbench/full/ukbench00006.jpg").unlink())


def test_boxes_of_instre_in_both_readings(convert: Convert) -> None:
    assert layout.load_eval(convert("instre"), "instre").queries.box(0) == (3, 4, 50, 40)
    assert layout.load_eval(convert("instre", boxes="xywh"), "instre").queries.box(0) == (3, 4, 53, 44)


def test_the_validation_list_of_landmarks_clean_is_added_or_left_out(convert: Convert) -> None:
    added = len(layout.load_train(convert("landmarks-clean"), "landmarks-clean").images)
    left_out = len(
        layout.load_train(convert("landmarks-clean", validation="leave_out"), "landmarks-clean").images
    )
    assert (added, left_out) == (23, 19)


def test_clusters_of_the_two_sfm_parts_are_different_classes(convert: Convert) -> None:
    train = layout.load_train(convert("sfm120k"), "sfm120k")
    assert train.validation is not None
    assert train.pairs is not None
    assert not set(train.labels[train.validation]) & set(train.labels[~train.validation])
    assert np.all(train.labels[train.pairs[:, 0]] == train.labels[train.pairs[:, 1]])
    assert "." not in train.images.name(0).rpartition("/")[2]


def test_sparse_landmark_ids_are_numbered_and_their_map_is_kept(convert: Convert) -> None:
    root = convert("gldv2-clean")
    train = layout.load_train(root, "gldv2-clean")
    assert sorted(set(train.labels.tolist())) == [0, 1, 2, 3]
    names = (root / "gldv2-clean" / "labels.json").read_text()
    assert all(str(landmark) in names for landmark in miniatures.LANDMARKS)


def test_class_ten_comes_after_class_two(convert: Convert) -> None:
    root = convert("cub200")
    train = layout.load_train(root, "cub200")
    assert train.images.name(0).startswith("001.")
    assert train.labels.tolist() == [0] * 5 + [1] * 5


def test_a_singleton_of_sop_stays_in_training(convert: Convert) -> None:
    train = layout.load_train(convert("sop"), "sop")
    assert sorted(np.bincount(train.labels).tolist()) == [1, 9, 10]


def labels_by_path(root: Path, name: str) -> dict[str, str]:
    """The landmark of every photograph, as the lists name it."""
    train = layout.load_train(root, name)
    names = read_json(root / name / "labels.json")["train"]
    return {train.images.name(i): str(names[train.labels[i]]) for i in range(len(train.labels))}


def test_landmarks_that_share_a_file_name_keep_their_own_labels(convert: Convert) -> None:
    """Worked by hand: what each line names, and which lines name nothing that can be told."""

    def change(tree: Path) -> None:
        lists, photos = tree / "landmarks" / "annotations", tree / "landmarks" / "jpg"
        for place, seed in {
            **{"a/DSC_1.jpg": 1, "b/DSC_1.jpg": 11},  # Named by their own paths.
            **{"a/IMG_2.jpg": 2, "b/IMG_2.jpg": 12},  # One address fits both.
            "flat.jpg": 21,  # Two addresses fit it, with two labels.
            "twice.jpg": 22,  # Two addresses fit it, with one label.
        }.items():
            (photos / place).parent.mkdir(exist_ok=True)
            (photos / place).write_bytes(miniatures.photo(seed))
        (lists / "annotation_clean_train.txt").write_text(
            "a/DSC_1.jpg 1\nb/DSC_1.jpg 2\nc/DSC_1.jpg 3\nhttp://h/IMG_2.jpg 1\n"
            "http://h/flat.jpg 1\nhttp://h/twice.jpg 2\nhttp://i/twice.jpg 2\nhttp://h/gone.jpg 1\n"
        )
        (lists / "annotation_clean_val.txt").write_text("http://i/flat.jpg 2\n")

    for validation in ("add", "leave_out"):
        root = convert("landmarks-clean", change, validation=validation)
        expected = {"a/DSC_1.jpg": "1", "b/DSC_1.jpg": "2", "twice.jpg": "2"}
        assert labels_by_path(root, "landmarks-clean") == expected
        assert layout.load_manifest(root, "landmarks-clean")["left_out"] == {
            "listed photographs are not there": 2,  # c/DSC_1.jpg and gone.jpg.
            "listed photographs share a name, and which label is whose cannot be told": 3,
        }


def test_photographs_of_no_landmark_are_counted(convert: Convert) -> None:
    assert "left_out" not in layout.load_manifest(convert("nc-noisy"), "nc-noisy")
    root = convert("nc-noisy", lambda tree: (tree / "images" / "stray.jpg").write_bytes(miniatures.photo(1)))
    left = layout.load_manifest(root, "nc-noisy")["left_out"]
    assert left == {"photographs lie in no landmark's folder": 1}
