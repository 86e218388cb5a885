"""Held-out classes: no class on both sides, the same split for all systems, scores worked on paper."""

from pathlib import Path

import numpy as np
import pytest

from vitret.core.errors import UserError
from vitret.core.records import Images, Int64, TrainSet
from vitret.learn.holdout import measured_rows, score, split


def trainset(
    labels: list[int], pairs: list[list[int]] | None = None, mask: list[bool] | None = None
) -> TrainSet:
    return TrainSet(
        name="toy",
        images=Images.of(Path(), [f"{i}.jpg" for i in range(len(labels))]),
        labels=np.array(labels, np.int64),
        pairs=None if pairs is None else np.array(pairs, np.int64),
        validation=None if mask is None else np.array(mask),
    )


def names(images: Images) -> list[str]:
    return [images.name(i) for i in range(len(images))]


def test_the_sets_own_mask_is_taken_and_labels_close_up():
    given = trainset([0, 1, 1, 2, 0, 2], [[1, 2], [3, 5], [0, 4]], [False, True, True, False, False, False])
    learned, held = split(given, 0.5)
    assert names(learned.images) == ["0.jpg", "3.jpg", "4.jpg", "5.jpg"]
    assert learned.labels.tolist() == [0, 1, 0, 1]
    assert learned.pairs is not None
    assert learned.pairs.tolist() == [[1, 3], [0, 2]]
    assert held is not None
    assert held.labels.tolist() == [0, 0]


def test_a_share_of_the_classes_is_held_out_always_the_same():
    given = trainset([c for c in range(20) for _ in range(3)])
    learned, held = split(given, 0.2)
    again, _ = split(given, 0.2)
    assert held is not None
    assert learned.classes == 16
    assert held.classes == 4
    assert set(names(learned.images)).isdisjoint(names(held.images))
    assert names(learned.images) == names(again.images)


def test_nothing_is_held_out_when_the_track_says_so_and_something_must_be_left():
    assert split(trainset([0, 0, 1, 1]), 0.0)[1] is None
    with pytest.raises(UserError, match="validation=0"):
        split(trainset([0, 0, 1, 1, 2, 2]), 0.1)
    with pytest.raises(UserError, match="1 classes to learn from") as error:
        split(trainset([0, 0]), 0.0)
    assert "validation=0" not in str(error.value)  # it is 0 already


def test_scores_worked_on_paper():
    """Angles 0°, 10°, 12°, 50° with labels a a b b: nearest neighbours are b's for rows 1 and a's for row 2."""
    angle = np.deg2rad([0.0, 10.0, 12.0, 50.0])
    rows = np.stack([np.cos(angle), np.sin(angle)], axis=1).astype(np.float32)
    found = score(rows, np.array([0, 0, 1, 1], np.int64))
    assert found["recall_at_1"] == 0.5  # rows 0 and 3 find their own
    # Rows 1 and 2 find theirs second and third: by trapezoids (0 + 1/2)/2 and (0 + 1/3)/2.
    assert found["map"] == pytest.approx((1 + 0.25 + 1 / 6 + 1) / 4)


def test_whole_classes_are_measured(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("vitret.learn.holdout.MOST_IMAGES", 4)
    labels: Int64 = np.array([1, 0, 2, 0, 1, 2, 0, 1], np.int64)
    assert labels[measured_rows(labels)].tolist() == [0, 0, 0, 1, 1, 1]
