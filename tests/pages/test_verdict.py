"""What is concluded from a table, in one sentence."""

from pathlib import Path

from vitret.compare.tables import Table, read_all, tables
from vitret.pages.verdict import conclusion


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
