import shutil
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.support.written_rows import keep_groups
from vitret.compare.tables import read_all, tables
from vitret.core.protocol import Protocol
from vitret.pages.leaderboard import caption, title

GOOD = [0] * 20 + [1] * 10
BAD = [9] * 30


@pytest.fixture
def root(tmp_path: Path) -> Path:
    return tmp_path / "results"


def test_rows_share_a_table_only_when_everything_else_is_equal(write, root: Path):
    write("a", GOOD)
    write("b", BAD)
    write("a", GOOD, protocol=Protocol(size=512))
    write("a", GOOD, train_set="other")
    write("a", GOOD, budget="own", lr=1e-2)
    write("a", GOOD, protocol=Protocol.model_validate({"rerank": {"kind": "rrt", "shortlist": "oracle"}}))
    found = tables(read_all(root))
    assert sorted(len(table.rows) for table in found) == [1, 1, 1, 1, 2]


def test_the_best_is_first_and_a_clear_loser_is_no_tie(write, root: Path):
    write("worse", BAD)
    write("better", GOOD)
    (table,) = tables(read_all(root))
    assert [row.system for row in table.rows] == ["better", "worse"]
    assert [row.rank_mark for row in table.rows] == ["highest", ""]
    test = table.rows[1].against_best
    assert test is not None
    assert test.high < 0


def test_a_difference_on_few_queries_is_a_tie(write, root: Path):
    write("a", GOOD)
    write("b", [1, *GOOD[1:-1], 0])
    (table,) = tables(read_all(root))
    assert [row.rank_mark for row in table.rows] == ["highest", "tie"]


def test_a_row_that_lacks_a_set_does_not_rank(write, root: Path):
    write("whole", BAD)
    write("whole", BAD, eval_set="west")
    write("half", GOOD)
    (table,) = tables(read_all(root))
    assert [(row.system, row.rank_mark) for row in table.rows] == [
        ("whole", "highest"),
        ("half", "incomplete"),
    ]


def test_seeds_are_one_row_with_mean_and_standard_deviation(write, root: Path):
    for seed, ranks in enumerate((GOOD, BAD)):
        write("a", ranks, seed=seed)
    (table,) = tables(read_all(root))
    (row,) = table.rows
    cell = row.cells["east", "mAP (hard)"]
    means = [np.mean([1.0] * 20 + [0.25] * 10), 0.05]
    assert row.seeds == (0, 1)
    assert cell.value == pytest.approx(np.mean(means))
    assert cell.std == pytest.approx(np.std(means, ddof=1))


def test_a_number_that_was_typed_into_a_row_is_not_shown(write, root: Path):
    path = write("a", GOOD)
    honest = tables(read_all(root))[0].rows[0].cells["east", "mAP (hard)"]
    path.write_text(path.read_text().replace(f'"value": {honest.value}', '"value": 0.99'))
    assert '"value": 0.99' in path.read_text()
    assert tables(read_all(root))[0].rows[0].cells["east", "mAP (hard)"] == honest


def test_a_changed_recipe_is_another_row(write, root: Path):
    write("a", GOOD, lr=1e-4)
    write("a", BAD, lr=1e-3)
    (table,) = tables(read_all(root))
    assert len(table.rows) == 2


def test_sets_count_alike_whatever_their_number_of_queries(write, root: Path):
    write("a", [0] * 40)
    write("a", [1] * 2, eval_set="west")
    (table,) = tables(read_all(root))
    assert table.rows[0].primary == pytest.approx((1.0 + 0.25) / 2)


def test_distractors_are_shown_but_do_not_sort(write, root: Path):
    write("a", GOOD)
    write("a", BAD, distractors="far")
    write("b", [0] * 30)
    write("b", BAD, distractors="far")
    (table,) = tables(read_all(root))
    assert table.sets == ("east", "east+far")
    assert [row.system for row in table.rows] == ["b", "a"]


def test_rows_on_other_bytes_of_the_data_are_left_out(write, root: Path):
    write("a", GOOD)
    write("b", GOOD)
    write("c", GOOD, manifest="other")
    (table,) = tables(read_all(root))
    assert [row.system for row in table.rows] == ["a", "b"]
    (words,) = table.warnings
    assert words == "Left out: 1 row was measured on other bytes or other groups of east than most rows were."


def test_rows_under_another_version_of_a_track_stand_apart(write, root: Path):
    write("a", GOOD)
    write("b", BAD, images_seen=640)
    write("never-trained", GOOD, trained_on="", images_seen=6400)
    found = tables(read_all(root))
    assert sorted([row.system for row in table.rows] for table in found) == [
        ["a", "never-trained"],
        ["never-trained", "b"],
    ]
    assert all(table.training_data.startswith("budget ") for table in found)


def test_rows_trained_on_other_bytes_stand_in_tables_of_their_own(write, root: Path):
    write("a", GOOD, trained_on="ten-shards")
    write("b", BAD, trained_on="all-shards")
    write("never-trained", GOOD, trained_on="")
    found = tables(read_all(root))
    assert [[row.system for row in table.rows] for table in found] == [
        ["never-trained", "b"],
        ["a", "never-trained"],
    ]
    assert [table.training_data for table in found] == ["data all-shar", "data ten-shar"]
    assert "data all-shar" in title(found[0])


def test_a_table_says_that_part_of_a_set_was_used(write, root: Path):
    write(
        "a",
        GOOD,
        trained_part="a subset, 10 of 500 shards",
        searched_part="revisitop1m: a subset, 3 of 100 shards",
    )
    (table,) = tables(read_all(root))
    assert table.training_data == ""
    text = "\n".join(caption(table))
    assert "Note: Trained on a subset, 10 of 500 shards of town." in text
    assert "Note: Searched: revisitop1m: a subset, 3 of 100 shards." in text


def test_changes_of_a_system_stand_beside_it_in_a_table_of_their_own(write, root: Path):
    write("a", GOOD)
    write("b", BAD)
    write("a+without", BAD)
    found = tables(read_all(root))
    assert [(table.ablation, [row.system for row in table.rows]) for table in found] == [
        ("", ["a", "b"]),
        ("a", ["a", "a+without"]),
    ]
    assert "ablation study of a" in title(found[1])
    (only,) = tables([entry for entry in read_all(root) if entry[1].model.system != "b"])
    assert only.ablation == "a"  # as `bench --ablate` prints it


def test_rows_that_learned_without_some_images_stand_apart(write, root: Path):
    write("a", GOOD)
    write("b", BAD, left_out="0123456789")
    write("never-trained", GOOD, trained_on="")
    found = tables(read_all(root))
    assert [[row.system for row in table.rows] for table in found] == [
        ["a", "never-trained"],
        ["never-trained", "b"],
    ]
    assert "without 2 images (list 01234567)" in title(found[1])
    assert "without" not in title(found[0])


OPTIONS = {
    "budget": ["track", "own"],
    "images_seen": [64, 640],
    "trained_on": ["t", "u", ""],
    "left_out": ["", "aaaaaaaaaa", "bbbbbbbbbb"],
    "manifest": ["m", "n"],
    "train_set": ["town", "city"],
    "protocol": [Protocol(size=224), Protocol(size=512)],
    "folder": ["results", "others"],
}
GROUPS = {"results": ("by label", [0, 0, 1]), "others": ("by pose", [0, 1, 1])}


def _must_agree(row, folder: str) -> tuple:
    """What is equal in all rows of a table; None where a row learned nothing and may stand beside any."""
    learned = (row.training.manifest, row.recipe.exclude, row.recipe.track.images_seen)
    fixed = (
        row.fingerprint,
        row.training.set,
        row.training.budget,
        row.data.manifest,
        GROUPS[folder][0],
    )
    return fixed, learned if row.training.manifest else None


one_change = st.sampled_from([(key, value) for key, values in OPTIONS.items() for value in values])


@pytest.mark.slow
@settings(max_examples=15, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    first=st.fixed_dictionaries({key: st.sampled_from(values) for key, values in OPTIONS.items()}),
    changes=st.lists(one_change, min_size=3, max_size=6),
)
def test_no_option_puts_rows_that_may_not_be_compared_into_one_table(write, tmp_path: Path, first, changes):
    rows = [first, *({**first, key: value} for key, value in changes)]
    for folder in GROUPS:
        shutil.rmtree(tmp_path / folder, ignore_errors=True)
    for number, options in enumerate(rows):
        write(f"s{number}", [0, 1, 2], **options)
    for folder, (rule, groups) in GROUPS.items():
        for manifest in OPTIONS["manifest"]:
            keep_groups(tmp_path / folder, groups, rule=rule, manifest=manifest)
    entries = [entry for folder in GROUPS for entry in read_all(tmp_path / folder)]
    agreed = {
        row.model.system: _must_agree(row, path.relative_to(tmp_path).parts[0]) for path, row in entries
    }
    for table in tables(entries):
        kinds = [agreed[shown.system] for shown in table.rows]
        assert len({fixed for fixed, _ in kinds}) == 1
        assert len({str(learned) for _, learned in kinds if learned is not None}) <= 1
