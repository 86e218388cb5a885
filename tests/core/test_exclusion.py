"""Training images that are left out: the files that name them, and what of a recipe and a training set they change."""

import json
from pathlib import Path

import numpy as np
import pytest

from vitret.core.errors import DataError, UserError
from vitret.core.exclusion import read_left_out
from vitret.core.pairs import NO, PLACE, UNCLEAR, YES
from vitret.core.records import Images, TrainSet
from vitret.learn.holdout import split


@pytest.fixture
def trainset(tmp_path: Path) -> TrainSet:
    """Six classes of three images."""
    names = [f"{label}/{view}.jpg" for label in range(6) for view in range(3)]
    return TrainSet(name="town", images=Images.of(tmp_path, names), labels=np.repeat(np.arange(6), 3))


def _pair(train: str, verdict: str | None, proposal: str = PLACE) -> dict[str, object]:
    return {"id": train, "train": train, "queries": [0], "proposal": proposal, "verdict": verdict}


def test_a_list_and_the_verdicts_of_the_page_say_the_same(tmp_path: Path):
    (tmp_path / "list.txt").write_text("1/0.jpg\n\n0/2.jpg\n1/0.jpg\n")
    pairs = [_pair("0/2.jpg", YES), _pair("1/0.jpg", YES), _pair("2/0.jpg", NO)]
    pairs += [_pair("2/1.jpg", None, UNCLEAR)]
    (tmp_path / "verdicts.json").write_text(json.dumps({"train": {"name": "town"}, "pairs": pairs}))
    listed, judged = (read_left_out(tmp_path / name) for name in ("list.txt", "verdicts.json"))
    assert listed.names == judged.names == ("0/2.jpg", "1/0.jpg")
    assert listed.recorded == judged.recorded
    assert judged.train_set == "town"


def test_a_verdict_on_one_pair_does_not_take_back_the_proposals_of_others(tmp_path: Path):
    pairs = [_pair("0/0.jpg", None), _pair("0/1.jpg", NO, UNCLEAR), _pair("0/2.jpg", YES, UNCLEAR)]
    (tmp_path / "verdicts.json").write_text(json.dumps({"pairs": pairs}))
    assert read_left_out(tmp_path / "verdicts.json").names == ("0/0.jpg", "0/2.jpg")


def test_excluded_images_are_on_neither_side_and_move_no_class(tmp_path: Path, trainset: TrainSet):
    learned, held = split(trainset, 0.4)
    assert held is not None
    gone = [learned.images.name(0), learned.images.name(1), held.images.name(0)]
    (tmp_path / "list.txt").write_text("\n".join(gone))
    fewer, fewer_held = split(read_left_out(tmp_path / "list.txt").mark(trainset), 0.4)
    assert fewer_held is not None
    for before, after in ((learned, fewer), (held, fewer_held)):
        names = [before.images.name(row) for row in range(len(before.images))]
        kept = [after.images.name(row) for row in range(len(after.images))]
        assert kept == [name for name in names if name not in gone]
    assert fewer.classes == learned.classes


@pytest.mark.parametrize(
    ("name", "text", "words"),
    [
        ("list.txt", "0/0.jpg\nother.jpg", "1 of its 2 images are not in town, first 'other.jpg'"),
        (
            "v.json",
            json.dumps({"train": {"name": "city"}, "pairs": [_pair("0/0.jpg", YES)]}),
            "training set city",
        ),
        ("list.txt", "\n", "names no training image"),
        ("v.json", json.dumps({"pairs": [_pair("0/0.jpg", NO)]}), "No pair in it is confirmed"),
    ],
)
def test_a_file_that_does_not_fit_is_refused(
    tmp_path: Path, trainset: TrainSet, name: str, text: str, words: str
):
    (tmp_path / name).write_text(text)
    with pytest.raises(UserError, match=words):
        read_left_out(tmp_path / name).mark(trainset)


def test_a_file_that_is_not_there_is_said(tmp_path: Path):
    with pytest.raises(DataError, match="is not there"):
        read_left_out(tmp_path / "none.txt")
