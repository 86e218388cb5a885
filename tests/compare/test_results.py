import json
from pathlib import Path

import numpy as np
import pytest

from tests.support.written_rows import keep_groups
from vitret.compare import results, validation
from vitret.compare.arena import compare_rows
from vitret.compare.tables import read_all, tables
from vitret.core.errors import DataError


def _edit(path: Path, **changes: object) -> None:
    row = json.loads(path.read_text())
    for dotted, value in changes.items():
        place = row
        *parents, leaf = dotted.split("__")
        for key in parents:
            place = place[key]
        place[leaf] = value
    path.write_text(json.dumps(row))


def test_a_row_stands_where_its_content_says(write, tmp_path: Path):
    path = write("gem", [0, 1, 2], distractors="far")
    assert path.parent == tmp_path / "results" / "town" / "gem" / "east+far"
    row = results.read_result(path)
    assert path.name == f"{row.fingerprint}-{row.recipe.digest[:8]}.json"
    keep_groups(tmp_path / "results", [0, 1, 2])
    assert list(validation.problems(tmp_path / "results")) == []


def test_metrics_follow_from_the_stored_ranks(write):
    path = write("gem", [0, 1, 3])
    values = results.per_query(path, "mAP (hard)")
    assert values == pytest.approx(
        [1.0, 0.25, 0.125]
    )  # trapezoids, one positive: (0/r + 1/(r+1)) / 2, and 1 at rank 0
    assert results.read_result(path).metrics["mAP (hard)"].value == pytest.approx(np.mean(values))


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"metrics": {}, "schema_version": 3}, "schema_version"),
        ({"fingerprint": "00000000"}, "elsewhere the row says"),
        ({"protocol__size": 512}, "belongs at"),
        ({"model__dim": -1}, "model.dim"),
        ({"colour": "red"}, "unknown key 'colour'"),
    ],
)
def test_a_changed_row_is_found(write, tmp_path: Path, changes: dict[str, object], said: str):
    _edit(write("gem", [0, 1, 2]), **changes)
    assert said in "\n".join(validation.problems(tmp_path / "results"))


def test_a_value_that_is_not_finite_cannot_be_read(write):
    path = write("gem", [0, 1, 2])
    path.write_text(path.read_text().replace('"value": ', '"value": NaN, "was": ', 1))
    with pytest.raises(Exception, match="value"):
        results.read_result(path)


@pytest.mark.parametrize("content", ["# Read me", "[1, 2]", '{"digits": {}}'])
def test_only_of_a_file_that_is_named_as_a_row_it_is_said_to_remove_it(write, tmp_path: Path, content: str):
    path = write("gem", [0, 1, 2])
    mine = tmp_path / "README.md"
    mine.write_text(content)
    with pytest.raises(DataError, match=r"A row of results is a \.json below results/") as told:
        results.read_result(mine)
    assert "Remove" not in str(told.value)
    path.write_text("[1, 2]")
    with pytest.raises(DataError, match="Remove it and run the same `vitret bench` again"):
        results.read_result(path)


def test_the_ranks_of_a_row_are_not_told_to_be_removed_in_place_of_the_row(write):
    path = write("gem", [0, 1, 2])
    with pytest.raises(DataError, match=rf"A row of results is the \.json beside its ranks: {path}$"):
        compare_rows(path, path.with_suffix(".npz"))


def test_broken_ranks_cannot_be_read(write):
    path = write("gem", [0, 1, 2])
    path.with_suffix(".npz").write_bytes(b"PK not really")
    with pytest.raises(DataError, match="no readable ranks"):
        results.read_ranks(path)


def test_a_copy_of_a_row_without_its_ranks_is_not_told_to_be_removed(write, tmp_path: Path):
    copy = tmp_path / "kept.json"
    copy.write_bytes(write("gem", [0, 1, 2]).read_bytes())
    with pytest.raises(
        DataError, match=r"kept.npz: .* Copy the ranks of the row, its \.npz, beside kept\.json\.$"
    ):
        results.per_query(copy, "mAP (hard)")


def test_a_level_without_ranks_is_named_with_what_to_do(write):
    path, other = write("gem", [0, 1, 2]), write("other", [0, 1, 2])
    ranks = path.with_suffix(".npz")
    with np.load(ranks) as stored:
        kept = {name: stored[name] for name in stored.files if not name.startswith("hard.")}
    np.savez_compressed(ranks, **kept)
    row = json.loads(path.read_text())
    path.write_text(json.dumps({**row, "ranks_sha256": ""}))  # a row of version 1 does not tell its ranks
    told = rf"{ranks}: has no ranks of level 'hard'.* Remove {path.name} beside it and run the same"
    for use in (lambda: compare_rows(path, other), lambda: tables(read_all(path.parents[3]))):
        with pytest.raises(DataError, match=told):
            use()


def test_the_ranks_of_another_row_are_not_shown_as_those_of_a_row(write):
    path, other = write("gem", [0, 1, 2]), write("other", [9, 9, 9])
    path.with_suffix(".npz").write_bytes(other.with_suffix(".npz").read_bytes())
    told = rf"{path.with_suffix('.npz')}: is not what {path.name} was written with\. Remove {path.name} beside it"
    for use in (lambda: compare_rows(path, other), lambda: tables(read_all(path.parents[3]))):
        with pytest.raises(DataError, match=told):
            use()


def test_the_same_row_is_the_same_bytes(write):
    path = write("gem", [0, 1, 2])
    before = path.read_bytes(), path.with_suffix(".npz").read_bytes()
    assert write("gem", [0, 1, 2]) == path
    assert (path.read_bytes(), path.with_suffix(".npz").read_bytes()) == before
