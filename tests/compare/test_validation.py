import json
from collections.abc import Callable, Mapping
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from vitret.compare import results, validation
from vitret.compare.groups import write_groups
from vitret.compare.renewal import renew
from vitret.core.store import own_digest


def _edited(path: Path, changes: Mapping[str, object]) -> dict[str, Any]:
    """A row's JSON with the values of dotted keys put in their place; a key with None is removed."""
    row = json.loads(path.read_text())
    for dotted, value in changes.items():
        place = row
        *parents, leaf = dotted.split(".")
        for key in parents:
            place = place[key]
        if value is None:
            del place[leaf]
        else:
            place[leaf] = value
    path.write_text(json.dumps(row))
    return row


def _said(root: Path) -> str:
    return "\n".join(validation.problems(root / "results"))


def test_a_row_as_it_was_written_has_no_problem(write, tmp_path: Path):
    write("gem", [0, 1, 2], distractors="far")
    write("frozen", [0, 1, 2], trained_on="")
    assert _said(tmp_path) == ""


# One plausible edit of each kind; all of them leave a row that can be read.
EDITS: dict[str, dict[str, object]] = {
    "seed": {"training.seed": 3},
    "system name": {"model.system": "dtop"},
    "title": {"model.title": "DToP"},
    "images seen": {"training.images_seen": 32},
    "dimension": {"model.dim": 32},
    "parameters": {"model.parameters": 7},
    "weights": {"model.weights_sha256": "other"},
    "data manifest": {"data.manifest": "other"},
    "training manifest": {"training.manifest": "other"},
    "budget": {"training.budget": "own"},
    "training set": {"training.set": "city"},
    "pretraining": {"training.pretraining": "any"},
    "dirty flag": {"environment.dirty": True},
    "commit": {"environment.commit": "d"},
    "device": {"environment.device": "NVIDIA H100"},
    "failed images": {"data.failed_images": 2},
    "warning": {"data.warning": "Nothing to see."},
    "part of the set": {"training.subset": "all but one"},
    "database size": {"data.database": 1_000_009},
    "evaluation set": {"data.set": "west"},
    "distractors": {"data.distractors": "far", "data.distractor_images": 5, "data.distractors_manifest": "d"},
    "interval": {"metrics.mAP (hard).high": 0.99, "metrics.mAP (hard).low": 0.01},
    "number of queries": {"metrics.mAP (hard).n": 30, "metrics.mAP (hard).n_effective": 30},
    "value": {"metrics.mAP (hard).value": 0.6},
    "a metric left out": {"metrics.mP@10 (hard)": None},
    "protocol": {"protocol.size": 512},
    "fingerprint": {"fingerprint": "00000000"},
    "recipe": {"recipe.system.optimiser.lr": 0.1},
    "a recipe's text": {"recipe.system.about": "Better."},
    "cost": {"cost.descriptor_bytes": 128},
    "command": {"command": "vitret bench --seeds 5"},
    "back to a version without digests": {"schema_version": 1, "digest": None, "ranks_sha256": None},
    "digest of the ranks": {"ranks_sha256": "0" * 64},
}


@pytest.mark.parametrize("kind", EDITS)
def test_an_edit_is_found(write, tmp_path: Path, kind: str):
    _edited(write("gem", [0, 1, 2]), EDITS[kind])
    assert "digest" in _said(tmp_path)


TWICE = (
    "seed",
    "system name",
    "title",
    "images seen",
    "budget",
    "training set",
    "pretraining",
    "fingerprint",
    "number of queries",
)


@pytest.mark.parametrize("kind", TWICE)
def test_what_a_row_says_twice_agrees_even_under_another_digest(write, tmp_path: Path, kind: str):
    path = write("gem", [0, 1, 2])
    row = _edited(path, EDITS[kind])
    path.write_text(json.dumps({**row, "digest": own_digest(row)}))
    assert "elsewhere the row says" in _said(tmp_path)


def test_a_typed_in_value_is_found_even_under_another_digest(write, tmp_path: Path):
    path = write("gem", [0, 1, 2])
    row = _edited(path, {"metrics.mAP (hard).value": 0.95, "metrics.mAP (hard).high": 0.99})
    path.write_text(json.dumps({**row, "digest": own_digest(row)}))
    assert "is given as 0.95, its ranks give" in _said(tmp_path)


def _other_order(row: dict[str, Any]) -> str:
    return json.dumps(dict(reversed(row.items())), indent=7)


def test_a_digest_is_of_the_content_not_of_its_layout(write, tmp_path: Path):
    path = write("gem", [0, 1, 2])
    path.write_text(_other_order(json.loads(path.read_text())))
    assert _said(tmp_path) == ""


def _with_level(arrays: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    return arrays | {name.replace("hard", "easy"): array for name, array in arrays.items() if "hard" in name}


def _with_other_ranks(arrays: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    return arrays | {"hard.values": arrays["hard.values"][::-1].copy()}


@pytest.mark.parametrize("change", [_with_level, _with_other_ranks])
def test_other_ranks_with_the_same_mean_are_found(
    write, tmp_path: Path, change: Callable[[dict[str, np.ndarray]], dict[str, np.ndarray]]
):
    file = write("gem", [0, 1, 2]).with_suffix(".npz")
    with np.load(file) as stored:
        arrays = dict(stored)
    np.savez_compressed(file, **change(arrays))
    assert "not those it was written with" in _said(tmp_path)


def test_a_row_moved_to_another_place_is_found(write, tmp_path: Path):
    path = write("gem", [0, 1, 2])
    folder = path.parents[1].with_name("dtop") / path.parent.name
    folder.mkdir(parents=True)
    for file in (path, path.with_suffix(".npz")):
        file.rename(folder / file.name)
    assert "belongs at" in _said(tmp_path)


def test_lost_ranks_are_found(write, tmp_path: Path):
    write("gem", [0, 1, 2]).with_suffix(".npz").unlink()
    assert "no readable ranks" in _said(tmp_path)


@pytest.fixture
def in_pairs(write, tmp_path: Path) -> Path:
    """A row of four queries, and the file that tells that they are two pairs."""
    write("gem", [0, 1, 2, 7])
    groups = np.array([0, 0, 1, 1])
    write_groups(
        tmp_path / "results", SimpleNamespace(name="east", digest="m", groups=groups, groups_rule="by label")
    )
    return tmp_path / "results" / "groups" / "east-m.json"


def test_groups_that_were_edited_are_found_and_decide_nothing(in_pairs: Path, tmp_path: Path):
    list(renew(tmp_path / "results"))
    assert _said(tmp_path) == ""
    _edited(in_pairs, {"groups": [0, 1, 2, 3]})
    assert "east-m.json: was edited after it was written" in _said(tmp_path)
    assert list(renew(tmp_path / "results")) == []


def test_groups_that_were_written_anew_do_not_give_the_intervals_of_the_rows(in_pairs: Path, tmp_path: Path):
    list(renew(tmp_path / "results"))
    _edited(in_pairs, {"groups": [0, 1, 2, 3], "digest": None})
    words = _said(tmp_path)
    assert "has no digest" in words
    assert "mAP (hard) has the interval" in words


def test_rows_of_an_earlier_version_get_the_intervals_of_today(in_pairs: Path, tmp_path: Path):
    _edited(in_pairs, {"digest": None})
    (row,) = results.result_files(tmp_path / "results")
    before = results.read_result(row)
    assert "Write it again: vitret results renew" in _said(tmp_path)
    assert list(renew(tmp_path / "results")) == [in_pairs, row]
    assert _said(tmp_path) == ""
    after = results.read_result(row)
    key = "mAP (hard)"
    assert after.metrics[key].low < before.metrics[key].low  # two groups tell less than four queries
    kept = {"metrics": {}, "digest": ""}
    assert after.model_copy(update=kept) == before.model_copy(update=kept)
    assert after.metrics[key].value == before.metrics[key].value
    assert list(renew(tmp_path / "results")) == []
