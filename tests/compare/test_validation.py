import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.support.written_rows import keep_groups
from vitret.compare import results, validation
from vitret.compare.groups import groups_beside
from vitret.compare.renewal import Renewed, renew
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
    keep_groups(tmp_path / "results", [0, 1, 2])
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
    keep_groups(tmp_path / "results", [0, 1, 2])
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


def test_a_row_that_lacks_a_number_of_its_suite_is_found_even_under_another_digest(write, tmp_path: Path):
    path = write("gem", [0, 1, 2])
    row = _edited(path, EDITS["a metric left out"])
    path.write_text(json.dumps({**row, "digest": own_digest(row)}))
    assert "has no mP@10 (hard), which its suite measures" in _said(tmp_path)


def test_a_number_that_nobody_knows_hides_no_other_row(write, tmp_path: Path):
    unknown, edited = write("gem", [0, 1, 2]), write("dtop", [0, 1, 2])
    unknown.write_text(unknown.read_text().replace("mAP (hard)", "mAPP (hard)"))
    _edited(edited, EDITS["seed"])
    said = _said(tmp_path)
    assert f"{unknown}: 'mAPP (hard)' is no number of this version." in said
    assert f"{edited}: it was edited" in said


def test_rows_and_ranks_that_no_table_finds_are_named(write, tmp_path: Path):
    moved, lost = write("gem", [0, 1, 2]), write("dtop", [0, 1, 2])
    moved.rename(moved.parents[1] / moved.name)
    lost.unlink()
    said = _said(tmp_path)
    assert f"{moved.parents[1] / moved.name}: no table finds a row here." in said
    assert f"{lost.with_suffix('.npz')}: the row that belongs to these ranks is not beside them." in said


@pytest.fixture
def in_pairs(write, tmp_path: Path) -> Path:
    """The groups of four queries, two pairs; a row of them has the intervals of an earlier version."""
    write("gem", [0, 1, 2, 7])
    return keep_groups(tmp_path / "results", [0, 0, 1, 1])


def test_groups_that_were_edited_are_found_and_decide_nothing(in_pairs: Path, tmp_path: Path):
    renew(tmp_path / "results")
    assert _said(tmp_path) == ""
    (row,) = results.result_files(tmp_path / "results")
    before = row.read_bytes()
    _edited(in_pairs, {"groups": [0, 1, 2, 3]})
    assert _said(tmp_path).splitlines() == [
        f"{in_pairs}: was edited after it was written: its digest is of other groups. "
        "`vitret bench` on its set writes it again."
    ]
    _edited(in_pairs, {"digest": None})
    assert "digest: Field required" in _said(tmp_path)
    assert renew(tmp_path / "results").left == (row,)
    assert row.read_bytes() == before
    assert keep_groups(tmp_path / "results", [0, 0, 1, 1]) == in_pairs  # as the bench does
    assert _said(tmp_path) == ""


def test_lost_groups_are_named_and_leave_the_intervals_as_they_are(in_pairs: Path, write, tmp_path: Path):
    write("dtop", [0, 1, 2, 7])
    renew(tmp_path / "results")
    other = in_pairs.with_name("east-n.json")
    in_pairs.rename(other)
    assert _said(tmp_path).splitlines() == [
        f"{other}: by its content it belongs at {in_pairs}. Move it there.",
        f"{in_pairs}: is not there, so nothing tells which queries ask about the same. "
        "`vitret bench` on its set writes it again.",
    ]
    found = renew(tmp_path / "results")
    assert (found.written, len(found.left)) == ((), 2)


def test_rows_of_an_earlier_version_get_the_intervals_of_today(in_pairs: Path, tmp_path: Path):
    (row,) = results.result_files(tmp_path / "results")
    before = results.read_result(row)
    assert "Write it again: vitret results renew" in _said(tmp_path)
    assert renew(tmp_path / "results").written == (row,)
    assert _said(tmp_path) == ""
    after = results.read_result(row)
    key = "mAP (hard)"
    assert after.metrics[key].low < before.metrics[key].low  # two groups tell less than four queries
    kept = {"metrics": {}, "digest": ""}
    assert after.model_copy(update=kept) == before.model_copy(update=kept)
    assert after.metrics[key].value == before.metrics[key].value
    assert renew(tmp_path / "results") == Renewed(written=(), left=())


def test_a_link_to_a_row_has_the_groups_of_the_folder_that_it_lies_in(in_pairs: Path, tmp_path: Path):
    (row,) = results.result_files(tmp_path / "results")
    real = tmp_path / "elsewhere.json"
    row.rename(real)
    row.symlink_to(real)
    assert groups_beside(row, results.read_result(row)).known
    assert renew(tmp_path / "results").written == (row,)
    assert row.is_symlink()
    assert _said(tmp_path) == ""
