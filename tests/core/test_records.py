from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from vitret.core.errors import DataError
from vitret.core.records import EvalSet, Images, Ragged, Ranks, TrainSet, Truth


def test_images_keep_names_boxes_and_order():
    boxes = np.array([[0, 0, 4, 5], [np.nan] * 4])
    images = Images.of(Path("/x"), ["a/é.jpg", "b.jpg"], boxes)
    assert images.file(0) == Path("/x/a/é.jpg")
    assert images.box(0) == (0, 0, 4, 5)
    assert images.box(1) is None
    assert images.take(np.array([1])).name(0) == "b.jpg"


def test_boxes_must_match_images():
    with pytest.raises(ValueError, match="boxes"):
        Images.of(Path(), ["a"], np.zeros((2, 4)))


def test_images_are_the_same_if_files_boxes_and_order_are():
    boxes = np.array([[0, 0, 4, 5], [np.nan] * 4])
    images = Images.of(Path("/x"), ["a.jpg", "b.jpg"], boxes)
    assert images.same_as(Images.of(Path("/x"), ["a.jpg", "b.jpg"], boxes.copy()))
    assert not images.same_as(images.take(np.array([1, 0])))
    assert not images.same_as(Images.of(Path("/y"), ["a.jpg", "b.jpg"], boxes))
    assert not images.same_as(Images.of(Path("/x"), ["a.jpg", "b.jpg"], boxes + 1))
    assert not images.same_as(Images.of(Path("/x"), ["a.jpg", "b.jpg"]))
    assert not images.same_as(replace(images, marks=True))


def test_ragged_refuses_offsets_that_do_not_fit():
    with pytest.raises(ValueError, match="offsets"):
        Ragged(values=np.array([1]), offsets=np.array([0, 2]))
    with pytest.raises(ValueError, match="decrease"):
        Ragged(values=np.array([1, 2]), offsets=np.array([0, 3, 2]))


def test_levels_are_those_of_the_revisited_protocol():
    truth = Truth(judgements={"easy": Ragged.of([[3]]), "hard": Ragged.of([[1]]), "junk": Ragged.of([[2]])})
    as_lists = {level: [part.row(0).tolist() for part in truth.at(level)] for level in truth.levels}
    assert as_lists == {"easy": [[3], [1, 2]], "medium": [[1, 3], [2]], "hard": [[1], [2, 3]]}


def test_a_category_set_has_one_level_and_may_have_no_junk():
    truth = Truth(judgements={"positive": Ragged.of([[1, 2], []])})
    assert truth.levels == ("all",)
    assert truth.at("all")[1].lengths().tolist() == [0, 0]


def test_ranks_must_ascend_within_a_query_but_not_across():
    assert Ranks.of([[5], [0, 3]], [1, 2]).row(1).tolist() == [0, 3]
    assert len(Ranks.of([[5], [], [0]], [1, 0, 1])) == 3
    with pytest.raises(ValueError, match="ascend"):
        Ranks.of([[3, 3]], [2])
    with pytest.raises(ValueError, match="more ranked positives"):
        Ranks.of([[1, 2]], [1])


def test_a_train_set_refuses_labels_or_pairs_that_do_not_fit():
    images = Images.of(Path(), ["a", "b"])
    with pytest.raises(ValueError, match="labels"):
        TrainSet(name="t", images=images, labels=np.array([0]))
    with pytest.raises(ValueError, match="outside"):
        TrainSet(name="t", images=images, labels=np.array([0, 0]), pairs=np.array([[0, 2]]))
    assert TrainSet(name="t", images=images, labels=np.array([0, 4])).classes == 5


def test_an_evaluation_set_refuses_truth_outside_the_database():
    images = Images.of(Path(), ["a"])
    with pytest.raises(DataError, match="outside"):
        EvalSet(
            name="e", queries=images, database=images, truth=Truth(judgements={"positive": Ragged.of([[1]])})
        )
    with pytest.raises(DataError, match="1 queries but truth for 2"):
        EvalSet(
            name="e",
            queries=images,
            database=images,
            truth=Truth(judgements={"positive": Ragged.of([[], []])}),
        )
