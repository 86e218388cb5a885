"""Accuracy against cost: a chart for each measure in which rows differ, with the rows that no other beats."""

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise

from vitret.compare.costs import pareto_front
from vitret.compare.tables import Row, Table
from vitret.pages.board.costs import MEASURES, Measure, short_amount
from vitret.pages.board.scale import Scale, percent

# The box of a chart, and the part of it inside the axes.
WIDTH, HEIGHT = 440, 270
LEFT, RIGHT, TOP, BOTTOM = 44, 428, 22, 226
# A letter of a wide font at the page's size, above and below the line it stands on. A name has room on one side of any
# point.
_LONGEST, _LETTER, _ASCENT, _DESCENT = 24, 7.5, 11, 3
# Of a point, and between two labels of an axis.
_RADIUS, _GAP = 4.5, 8

# Left, top, right and bottom of something drawn.
Area = tuple[float, float, float, float]


@dataclass(frozen=True, kw_only=True)
class Label:
    """A name in a chart: where it starts or ends, as `anchor` says, and the line it stands on."""

    name: str
    x: float
    y: float
    anchor: str

    @property
    def area(self) -> Area:
        left = self.x - (_width(self.name) if self.anchor == "end" else 0)
        return left, self.y - _ASCENT, left + _width(self.name), self.y + _DESCENT


@dataclass(frozen=True, kw_only=True)
class Point:
    """A row: where it stands, where its interval ends, and its name where it is on the front."""

    row: Row
    x: float
    y: float
    low: float
    high: float
    front: bool
    label: Label | None
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
    places = [(_x(across.at(a)), _y(up.at(v))) for a, v in zip(amounts, values, strict=True)]
    labels = dict(zip(best, _labels([(_name(rows[i]), *places[i]) for i in best], places), strict=True))
    points = [
        Point(
            row=row,
            x=places[i][0],
            y=places[i][1],
            low=_y(up.at(low)),
            high=_y(up.at(high)),
            front=i in best,
            label=labels.get(i),
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
        x_ticks=_log_ticks(across),
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


def _width(words: str) -> float:
    return _LETTER * len(words)


def _labels(names: Sequence[tuple[str, float, float]], points: Sequence[tuple[float, float]]) -> list[Label]:
    """Each name beside its point (name, x, y), inside the chart, and off names and points where there is room."""
    taken = [(x - _RADIUS, y - _RADIUS, x + _RADIUS, y + _RADIUS) for x, y in points]
    found: list[Label] = []
    for name, x, y in names:
        label = min(
            # Nothing better stands to the upper left of a point of the front: the first choice.
            (
                Label(name=name, x=x - 8, y=y - 7, anchor="end"),
                Label(name=name, x=x + 8, y=y + 17, anchor="start"),
                Label(name=name, x=x + 8, y=y - 7, anchor="start"),
                Label(name=name, x=x - 8, y=y + 17, anchor="end"),
            ),
            key=lambda label: (not _inside(label.area), sum(_overlap(label.area, other) for other in taken)),
        )
        taken.append(label.area)
        found.append(label)
    return found


def _inside(area: Area) -> bool:
    left, top, right, bottom = area
    return left >= LEFT and top >= 0 and right <= WIDTH and bottom <= BOTTOM


def _overlap(one: Area, other: Area) -> bool:
    return one[0] < other[2] and other[0] < one[2] and one[1] < other[3] and other[1] < one[3]


def _log_ticks(scale: Scale) -> tuple[tuple[float, str], ...]:
    """Places and labels of a logarithmic axis, none cut or over another: the roundest that are three, or the most."""
    found: list[tuple[float, str]] = []
    for amounts in _round_amounts(scale):
        ticks = [(_x(scale.at(amount)), _round_words(amount)) for amount in amounts]
        ticks = [(x, words) for x, words in ticks if x + _width(words) / 2 <= WIDTH]
        apart = all(
            x + _width(words) / 2 + _GAP <= after - _width(next_words) / 2
            for (x, words), (after, next_words) in pairwise(ticks)
        )
        if apart and len(ticks) > len(found):
            found = ticks
        if len(found) >= 3:
            break
    return tuple(found)


def _round_amounts(scale: Scale) -> Iterator[list[float]]:
    """Amounts inside an axis, the roundest first: powers of ten, their multiples, then equal steps."""
    first, last = math.floor(math.log10(scale.low)), math.ceil(math.log10(scale.high))
    decades = range(first, last + 1)
    yield [10.0**d for d in decades if d % 3 == 0 and scale.low <= 10.0**d <= scale.high]
    for factors in ((1,), (1, 3), (1, 2, 5)):
        yield [f * 10.0**d for d in decades for f in factors if scale.low <= f * 10.0**d <= scale.high]
    # Equal steps crowd at the right of an axis over several powers of ten.
    for tenths in (100, 50, 20, 10, 5, 2, 1) if scale.high < 100 * scale.low else ():
        step = tenths * 10.0 ** (first - 1)
        yield [n * step for n in range(math.ceil(scale.low / step), math.floor(scale.high / step) + 1)]


def _round_words(amount: float) -> str:
    """A round amount without the zeros behind its point.

    >>> _round_words(8e8), _round_words(2.5e9), _round_words(2000)
    ('800M', '2.5G', '2000')
    """
    words = short_amount(amount)
    digits = words.rstrip("TGMk")
    return f"{float(digits):g}{words[len(digits) :]}"
