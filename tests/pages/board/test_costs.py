"""What a row costs, in words."""

from dataclasses import replace
from pathlib import Path

from vitret.compare.tables import read_all, tables
from vitret.pages.board.costs import cost_sentence


def test_the_cost_is_said_once_where_all_rows_cost_the_same(write, tmp_path: Path):
    write("a", [0] * 30)
    write("b", [1] * 30)
    (table,) = tables(read_all(tmp_path / "results"))
    assert cost_sentence(table) == "All cost the same: 256 bytes an image, 0.00M parameters."


def test_the_cheapest_tie_is_named(write, tmp_path: Path):
    write("a", [0, 1] * 15)
    write("b", [1, 0] * 14 + [1, 1])
    (table,) = tables(read_all(tmp_path / "results"))
    first, second = table.rows
    rows = (replace(first, parameters=2_000_000), replace(second, parameters=1_000_000))
    assert cost_sentence(replace(table, rows=rows)) == (
        "It costs 256 bytes an image, 2.00M parameters; its tie B costs 256 bytes an image, 1.00M parameters."
    )


def test_of_ties_that_cost_the_same_the_higher_number_is_named(write, tmp_path: Path):
    write("a", [0, 1] * 15)
    write("b", [1, 0] * 14 + [0, 0])
    write("c", [0] * 20 + [1] * 10)
    (table,) = tables(read_all(tmp_path / "results"))
    first, *ties = table.rows
    assert [(row.system, row.rank_mark) for row in ties] == [("b", "tie"), ("a", "tie")]
    rows = (replace(first, parameters=2_000_000), *(replace(row, parameters=1_000_000) for row in ties))
    assert "; its tie B costs" in cost_sentence(replace(table, rows=rows))
