"""Accuracy against cost: a chart for each measure in which rows differ, with the rows that no other beats."""

import math
from dataclasses import dataclass

from vitret.compare.costs import pareto_front
from vitret.compare.tables import Row, Table
from vitret.pages.board.costs import MEASURES, Measure
from vitret.pages.board.scale import Scale, percent

# The box of a chart, and the part of it inside the axes.
WIDTH, HEIGHT = 440, 260
LEFT, RIGHT, TOP, BOTTOM = 44, 428, 12, 216
_LONGEST, _LETTER = 24, 6.2


@dataclass(frozen=True, kw_only=True)
class Point:
    """A row: where it stands, where its interval ends, and its name, to the `left` of it, where it is on the front."""

    row: Row
    x: float
    y: float
    low: float
    high: float
    front: bool
    name: str
    left: bool
    words: str


@dataclass(frozen=True, kw_only=True)
class Chart:
    """Points and axes in pixels of the box; `front` is the path of the best value at each cost."""

    measure: str
    value: str
    points: tuple[Point, ...]
    front: str
    x_ticks: tuple[tuple[float, str], ...]
    y_ticks: tuple[tuple[float, str], ...]
    words: str


def charts(table: Table) -> list[Chart]:
    """The charts of a table; none for a measure that is the same for all its rows, or known of only one."""
    found = []
    for measure in MEASURES:
        known = [row for row in table.rows if row.answers is not None and measure.amount(row)]
        if len({measure.amount(row) for row in known}) > 1:
            found.append(_chart(table, measure, known))
    return found


def _chart(table: Table, measure: Measure, rows: list[Row]) -> Chart:
    amounts = [measure.amount(row) or 0.0 for row in rows]
    values = [row.primary or 0.0 for row in rows]
    intervals = [row.answers.interval for row in rows if row.answers is not None]
    across = Scale.of_amounts(amounts)
    up = Scale.of_fractions([end for both in intervals for end in both])
    front = pareto_front([(a, -v) for a, v in zip(amounts, values, strict=True)])
    best = sorted((i for i, on in enumerate(front) if on), key=lambda i: amounts[i])
    points = [
        Point(
            row=row,
            x=_x(across.at(amount)),
            y=_y(up.at(value)),
            low=_y(up.at(low)),
            high=_y(up.at(high)),
            front=i in best,
            name=_name(row) if i in best else "",
            # Nothing stands to the upper left of a point of the front.
            left=_LETTER * len(_name(row)) < _x(across.at(amount)) - LEFT,
            words=f"{row.title}: {table.primary} {percent(value)}, {measure.words(amount)} {measure.name}",
        )
        for i, (row, amount, value, (low, high)) in enumerate(
            zip(rows, amounts, values, intervals, strict=True)
        )
    ]
    on_front = [points[i] for i in best]
    steps = "".join(f"H{point.x}V{point.y}" for point in on_front[1:])
    return Chart(
        measure=measure.name,
        value=table.primary,
        points=tuple(points),
        front=f"M{on_front[0].x} {on_front[0].y}{steps}H{RIGHT}",
        x_ticks=tuple((_x(across.at(tick)), measure.words(tick)) for tick in _log_ticks(across)),
        y_ticks=tuple(
            (_y(up.at(tick)), percent(tick, digits=0 if up.step >= 0.01 else 1)) for tick in up.ticks
        ),
        words=f"{table.primary} against {measure.name}. On the front, cheapest first: "
        + "; ".join(point.words for point in on_front),
    )


def _name(row: Row) -> str:
    return row.title if len(row.title) <= _LONGEST else row.title[: _LONGEST - 1] + "…"


def _x(place: float) -> float:
    return round(LEFT + (RIGHT - LEFT) * place / 100, 1)


def _y(place: float) -> float:
    return round(BOTTOM - (BOTTOM - TOP) * place / 100, 1)


def _log_ticks(scale: Scale) -> list[float]:
    """Round amounts inside a logarithmic axis: 1, 2 and 5 times powers of ten, or its two ends' middle."""
    decades = range(math.floor(math.log10(scale.low)), math.ceil(math.log10(scale.high)) + 1)
    for factors in ((1,), (1, 3), (1, 2, 5), tuple(range(1, 10))):
        found = [f * 10.0**d for d in decades for f in factors if scale.low <= f * 10.0**d <= scale.high]
        if len(found) >= 3:
            break
    return found[:: -(-len(found) // 6)] if found else [scale.low, scale.high]
