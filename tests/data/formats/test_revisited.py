import json
import pickle
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from vitret.core.errors import DataError
from vitret.data.formats.revisited import read_revisited


def small() -> dict[str, Any]:
    return {
        "imlist": ["a", "b", "c"],
        "qimlist": ["q"],
        "gnd": [{"bbx": [1, 2.5, 30, 40], "easy": [2], "hard": [0], "junk": [1]}],
    }


def written(folder: Path, value: Any, *, pickled: bool = False) -> Path:
    path = folder / ("gnd_x.pkl" if pickled else "gnd_x.json")
    path.write_bytes(pickle.dumps(value, protocol=3) if pickled else json.dumps(value).encode())
    return path


# Counts: shared/reference/datasets.md 1.2, verified on the official files.
@pytest.mark.parametrize(
    ("name", "database", "easy", "hard", "junk", "no_easy", "no_junk"),
    [("roxford5k", 4993, 3029, 2497, 1356, 2, 0), ("rparis6k", 6322, 6874, 10350, 7153, 0, 5)],
)
def test_the_official_counts(
    shared: Path, name: str, database: int, easy: int, hard: int, junk: int, no_easy: int, no_junk: int
):
    truth = read_revisited(shared / "groundtruth" / f"gnd_{name}.pkl")
    judged = truth.judgements.judgements
    assert (len(truth.database), len(truth.queries)) == (database, 70)
    assert [len(judged[kind].values) for kind in ("easy", "hard", "junk")] == [easy, hard, junk]
    assert int((judged["easy"].lengths() == 0).sum()) == no_easy
    assert int((judged["junk"].lengths() == 0).sum()) == no_junk
    assert not set(truth.queries) & set(truth.database)
    assert truth.boxes is not None
    assert truth.boxes.shape == (70, 4)
    if name == "roxford5k":
        without = [truth.queries[q] for q in np.flatnonzero(judged["easy"].lengths() == 0)]
        assert without == ["balliol_000187", "hertford_000082"]


def test_pickle_and_json_tell_the_same(tmp_path: Path):
    one, two = (read_revisited(written(tmp_path, small(), pickled=p)) for p in (True, False))
    assert one.database == two.database == ["a", "b", "c"]
    assert one.boxes is not None
    assert two.boxes is not None
    assert one.boxes.tolist() == two.boxes.tolist() == [[1, 2.5, 30, 40]]
    assert one.judgements.judgements["easy"].row(0).tolist() == [2]


def test_the_older_form_gives_positives(tmp_path: Path):
    value = small()
    value["gnd"] = [{"ok": [0, 2], "junk": []}]
    truth = read_revisited(written(tmp_path, value))
    assert truth.boxes is None
    assert truth.judgements.levels == ("all",)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (
            {"gnd": [{"easy": [3], "hard": [], "junk": []}]},
            "'easy' of query q names image 3, but imlist has 3",
        ),
        ({"gnd": [{"easy": [-1], "hard": [], "junk": []}]}, "names image -1"),
        ({"gnd": [{"easy": [1], "hard": [1], "junk": []}]}, "judges database image 1 more than once"),
        ({"gnd": [{"easy": [1.5], "hard": [], "junk": []}]}, "list of whole numbers"),
        ({"gnd": [{"easy": [1], "bbx": [5, 5, 5, 9]}]}, "x0 < x1"),
        ({"gnd": [{"easy": [1], "bbx": [5, 5, 5]}]}, "not four numbers"),
        ({"gnd": [{"bbx": [5, 5, 6, 9]}]}, "no judgements"),
        ({"gnd": [{"easy": [1], "ok": [2]}]}, "use one of the two forms"),
        ({"gnd": []}, "must be a list of 1 dicts"),
        ({"imlist": ["a", "b", "a"]}, "names 'a' more than once"),
        ({"qimlist": [3]}, "qimlist must be a list of names"),
    ],
)
def test_what_does_not_fit_together_is_said(tmp_path: Path, change: dict[str, Any], said: str):
    with pytest.raises(DataError, match=said):
        read_revisited(written(tmp_path, {**small(), **change}))


@pytest.mark.parametrize("value", [[], {"imlist": []}])
def test_other_data_is_no_ground_truth(tmp_path: Path, value: Any):
    with pytest.raises(DataError, match="imlist, qimlist and gnd"):
        read_revisited(written(tmp_path, value))


def judged(path: Path) -> list[list[int]]:
    judgements = read_revisited(path).judgements.judgements
    return [judgements[key].row(q).tolist() for q in range(2) for key in ("easy", "hard", "junk")]


NAMES = [f"im{i}" for i in range(6)]
ROWS: list[dict[Any, Any]] = [
    {"easy": [0], "hard": [1], "junk": []},
    {"easy": [2, 3], "hard": [], "junk": [4]},
]
ARRAYS = [{key: np.array(value, np.int64) for key, value in row.items()} for row in ROWS]
SETS = [{key: set(value) for key, value in ROWS[0].items()}, {**ROWS[1], "easy": range(2, 4)}]
TRUTHS: dict[str, tuple[dict[Any, Any], int]] = {
    "arrays": ({"imlist": NAMES, "qimlist": ["q0", "q1"], "gnd": ARRAYS}, 2),
    "names in arrays": (
        {"imlist": np.array(NAMES), "qimlist": np.array(["q0", "q1"]), "gnd": np.array(ARRAYS)},
        4,
    ),
    "sets and ranges": ({"imlist": NAMES, "qimlist": ["q0", "q1"], "gnd": SETS}, 5),
    "bytes": (
        {
            b"imlist": [name.encode() for name in NAMES],
            b"qimlist": [b"q0", b"q1"],
            b"gnd": [{key.encode(): value for key, value in row.items()} for row in ROWS],
        },
        2,
    ),
}


@pytest.mark.parametrize("kind", TRUTHS)
@pytest.mark.parametrize("suffix", [".pkl", ".PKL", ".pickle"])
def test_truths_that_numpy_and_older_pythons_write_are_read(tmp_path: Path, kind: str, suffix: str):
    value, protocol = TRUTHS[kind]
    path = tmp_path / f"gnd_x{suffix}"
    path.write_bytes(pickle.dumps(value, protocol))
    assert judged(path) == [[0], [1], [], [2, 3], [], [4]]
    assert read_revisited(path).database == NAMES


@pytest.mark.parametrize(
    ("easy", "because"),
    [
        (range(1 << 30), "names 1073741824 images, but imlist has 3"),
        ({"a"}, "whole numbers"),
        (np.array([0.5]), "whole numbers"),
        (np.array([[0]]), "whole numbers"),
        (b"\xff", "no UTF-8 text"),
    ],
)
def test_what_is_no_list_of_images_is_refused(tmp_path: Path, easy: Any, because: str):
    value = {**small(), "gnd": [{"easy": easy}]}
    with pytest.raises(DataError, match=because):
        read_revisited(written(tmp_path, value, pickled=True))


def test_one_photograph_asks_several_times_with_a_box_each(tmp_path: Path):
    value = small()
    value["qimlist"] = ["q", "q"]
    value["gnd"] = [{"bbx": [0, 0, 9, 9], "ok": [2]}, {"bbx": [5, 0, 9, 9], "ok": [0]}]
    truth = read_revisited(written(tmp_path, value))
    assert truth.queries == ["q", "q"]
    assert truth.judgements.judgements["positive"].row(1).tolist() == [0]
    value["gnd"][1]["bbx"] = [0, 0, 9, 9]
    with pytest.raises(DataError, match="qimlist names 'q' more than once with the same bbx"):
        read_revisited(written(tmp_path, value))
