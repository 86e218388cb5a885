"""What is concluded from a table, in one sentence."""

from dataclasses import replace
from pathlib import Path

import pytest

from vitret.compare.tables import Table, read_all, tables
from vitret.pages.leaderboard import grid, number
from vitret.pages.terminal import print_tables
from vitret.pages.verdict import average, averaged, below, conclusion, seed_count, seen


def table(root: Path) -> Table:
    (found,) = tables(read_all(root / "results"))
    return found


def test_a_row_alone_is_compared_with_nothing(write, tmp_path: Path):
    write("a", [0] * 30)
    assert conclusion(table(tmp_path)) == "A stands alone: it is compared with nothing."


def test_rows_that_no_test_tells_apart_are_ties(write, tmp_path: Path):
    write("a", [0, 1] * 15)
    write("b", [1, 0] * 14 + [1, 1])
    write("c", [50] * 30)
    assert conclusion(table(tmp_path)) == (
        "A is highest, but no test tells it from 1 other row, and it is better than the remaining 1 row."
    )


def test_a_row_that_is_surely_first_is_said_to_be_better(write, tmp_path: Path):
    write("a", [0] * 29 + [1])
    write("b", [1] * 29 + [3])
    assert conclusion(table(tmp_path)).startswith("A is better than 1 other row, ")


def test_three_sets_show_their_average_in_which_a_large_set_counts_no_more(
    write, tmp_path: Path, capsys: pytest.CaptureFixture[str]
):
    write("a", [0, 1, 3, 7] * 30, eval_set="roxford5k")
    write("a", [0] * 12, eval_set="rparis6k")
    assert not averaged(table(tmp_path))
    write("a", [1] * 20, eval_set="oxford5k")
    found = table(tmp_path)
    (row,) = found.rows
    assert averaged(found)
    sets = [row.cells[name, found.primary].value for name in ("roxford5k", "rparis6k", "oxford5k")]
    mean = average(row)
    assert mean is not None
    assert mean.value == pytest.approx(sum(sets) / 3)
    assert mean.low < mean.value < mean.high
    heads, lines = grid(found, found.keys, with_test=True)
    assert lines[0][heads.index(f"mean {found.primary}")] == number(mean)
    print_tables([found], wide=True)
    assert f"{100 * mean.value:.1f}" in capsys.readouterr().out


def test_a_row_without_one_of_the_sets_has_no_average(write, tmp_path: Path):
    for name in ("roxford5k", "rparis6k", "oxford5k"):
        write("a", [0, 1] * 15, eval_set=name)
    write("b", [0, 1] * 15, eval_set="roxford5k")
    found = table(tmp_path)
    assert [average(row) is None for row in found.rows] == [False, True]


def test_a_frozen_network_beside_one_run_is_not_counted_as_a_run(write, tmp_path: Path):
    write("a", [0] * 30)
    write("b", [9] * 30, trained_on="", pretrained=True)
    assert below(table(tmp_path))[-1] == "One run of A: such a row tells of a checkpoint, not of a method."


def test_the_seeds_of_a_network_that_no_seed_changes_are_not_counted(write, tmp_path: Path):
    write("a", [0] * 30)
    write("b", [1] * 30, trained_on="", pretrained=True)
    write("c", [9] * 30, trained_on="")  # random weights: another seed gives another network
    found = table(tmp_path)
    assert [(row.system, seed_count(row)) for row in found.rows] == [("a", "1"), ("b", "frozen"), ("c", "1")]
    heads, cells = grid(found, found.keys[:1], with_test=False)
    assert [row[heads.index("seeds")] for row in cells] == ["1", "frozen", "1"]


def test_a_head_on_descriptors_says_that_its_images_were_not_augmented(write, tmp_path: Path):
    write("a", [0, 1] * 15)
    (row,) = table(tmp_path).rows
    path, entry = row.entries[0]
    system = entry.recipe.system.model_copy(update={"train_on": "descriptors"})
    other = entry.model_copy(update={"recipe": entry.recipe.model_copy(update={"system": system})})
    assert seen(row) == f"{row.images_seen:,}"
    assert seen(replace(row, entries=((path, other),))) == f"{row.images_seen:,} not augmented"
    assert seen(replace(row, images_seen=0)) == "frozen"
