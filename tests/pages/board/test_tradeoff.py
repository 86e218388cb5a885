"""Accuracy against cost: which points are on the front, and where there is nothing to draw."""

from dataclasses import replace
from pathlib import Path

from vitret.compare.tables import read_all, tables
from vitret.pages.board.tradeoff import LEFT, RIGHT, charts


def test_rows_of_one_cost_have_no_chart_and_others_one_a_measure(write, tmp_path: Path):
    for name, ranks in (("a", [0] * 30), ("b", [1] * 30), ("c", [9] * 30)):
        write(name, ranks)
    (table,) = tables(read_all(tmp_path / "results"))
    assert charts(table) == []
    amounts = {"a": 4_000_000, "b": 1_000_000, "c": 2_000_000}
    rows = tuple(replace(row, parameters=amounts[row.system]) for row in table.rows)
    (chart,) = charts(replace(table, rows=rows))
    assert chart.measure == "parameters"
    assert {point.row.system for point in chart.points if point.front} == {"a", "b"}  # b beats c at less cost
    assert all(LEFT <= point.x <= RIGHT for point in chart.points)
    assert all(point.high <= point.y <= point.low for point in chart.points)  # pixels count downwards
