"""Accuracy against cost: which points are on the front, and where there is nothing to draw."""

from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import pytest

from vitret.compare.tables import read_all, tables
from vitret.pages.board.scale import Scale
from vitret.pages.board.tradeoff import BOTTOM, LEFT, RIGHT, WIDTH, Chart, _labels, _log_ticks, charts


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


def _chart(write, tmp_path: Path, values: dict[str, tuple[list[int], float]]) -> Chart:
    """The chart of a table whose rows have these ranks and parameters."""
    for name, (ranks, _) in values.items():
        write(name, ranks)
    (table,) = tables(read_all(tmp_path / "results"))
    rows = tuple(replace(row, parameters=int(values[row.system][1])) for row in table.rows)
    (chart,) = charts(replace(table, rows=rows))
    return chart


@pytest.mark.parametrize(
    ("low", "high", "words"),
    [
        (
            5.52e6,
            5.79e6,
            ["5.2M", "5.4M", "5.6M", "5.8M", "6M", "6.2M"],
        ),  # two amounts that are nearly the same
        (2.5e9, 2.51e9, ["2.3G", "2.4G", "2.5G", "2.6G", "2.7G"]),
        (7.2e8, 2.82e9, ["1G", "2G", "3G"]),
        (3.37e6, 7.6e6, ["4M", "6M", "8M"]),
        (768, 5120, ["1000", "2000", "5000"]),
        (1e3, 1e12, ["1000", "1M", "1G", "1T"]),
    ],
)
def test_ticks_are_few_and_round_and_have_room(low: float, high: float, words: list[str]):
    ticks = _log_ticks(Scale.of_amounts([low, high]))
    assert [label for _, label in ticks] == words
    # A digit of the widest common font is 7.7 pixels, a letter G 9.3.
    ends = [(x - 4 * len(label), x + 4 * len(label)) for x, label in ticks]
    assert ends[0][0] >= 0
    assert ends[-1][1] <= WIDTH
    assert all(left[1] < right[0] for left, right in pairwise(ends))


@pytest.mark.parametrize("high", [1.001, 1.2, 1.5, 2, 3, 5, 10, 40, 1e3, 1e6])
@pytest.mark.parametrize("low", [128, 4096, 3.4e5, 9.4e5, 5.5e6, 9.9e6, 2.5e9, 7e9])
def test_every_axis_has_two_ticks_or_more(low: float, high: float):
    assert 2 <= len(_log_ticks(Scale.of_amounts([low, low * high]))) <= 10


def test_names_stay_inside_also_at_the_top_and_the_ends(write, tmp_path: Path):
    """The best is right at the top and the most expensive, the cheapest is at the bottom on the left."""
    chart = _chart(write, tmp_path, {"a" * 30: ([0] * 30, 9e6), "b" * 30: ([9] * 30, 1e6)})
    labels = [point.label for point in chart.points if point.label]
    assert len(labels) == 2
    for label in labels:
        left, top, right, bottom = label.area
        assert (left >= LEFT, top >= 0, right <= WIDTH, bottom <= BOTTOM) == (True, True, True, True)


def test_a_name_keeps_off_another_point():
    (label,) = _labels([("name", 200.0, 100.0)], [(200.0, 100.0), (180.0, 92.0)])
    assert (label.anchor, label.y) == ("start", 117.0)  # the other point stands to the upper left
