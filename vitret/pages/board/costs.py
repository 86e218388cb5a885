"""What a row costs, in every measure that is known of it, and which rows no other beats at less cost."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from vitret.compare.tables import Row, Table


@dataclass(frozen=True, kw_only=True)
class Measure:
    """One kind of cost. `amount` is None where it is not known of a row; less is better."""

    name: str
    amount: Callable[[Row], float | None]
    words: Callable[[float], str]


def short_amount(value: float) -> str:
    """An amount with three digits and a letter for its size.

    >>> short_amount(5_524_416), short_amount(768), short_amount(12_800)
    ('5.52M', '768', '12.8k')
    """
    for size, letter in ((1e9, "G"), (1e6, "M"), (1e4, "k")):
        if value >= size:
            scaled = value / (1e3 if letter == "k" else size)
            return f"{scaled:.2f}{letter}" if letter != "k" else f"{scaled:.1f}{letter}"
    return f"{value:g}"


# One entry a measure: a page shows those that it knows.
MEASURES = (
    Measure(name="parameters", amount=lambda row: row.parameters, words=lambda n: f"{n / 1e6:.2f}M"),
    Measure(name="bytes an image", amount=lambda row: row.descriptor_bytes, words=short_amount),
)


def frontier(points: Sequence[tuple[float, float]]) -> list[int]:
    """The points (cost, value) that no other one beats: none costs less and is as good; cheapest first.

    >>> frontier([(1, 0.5), (2, 0.4), (3, 0.9), (3, 0.8)])
    [0, 2]
    """
    best = float("-inf")
    found = []
    for i in sorted(range(len(points)), key=lambda i: (points[i][0], -points[i][1])):
        if points[i][1] > best:
            best = points[i][1]
            found.append(i)
    return found


def cost_words(row: Row) -> str:
    """What a row costs, for a sentence."""
    return f"{row.descriptor_bytes:,} bytes an image, {row.parameters / 1e6:.2f}M parameters"


def cost_sentence(table: Table) -> str:
    """What the first row costs, and the tie with the fewest parameters."""
    ranked = [row for row in table.rows if row.primary is not None]
    first = ranked[0]
    if len(ranked) > 1 and len({_cost(row) for row in ranked}) == 1:
        return f"All cost the same: {cost_words(first)}."
    ties = [row for row in ranked if row.rank_mark == "tie" and row.parameters < first.parameters]
    said = f"It costs {cost_words(first)}"
    if not ties:
        return f"{said}."
    cheap = min(ties, key=lambda row: (row.parameters, row.dim, row.system))
    return f"{said}; its tie {cheap.title} costs {cost_words(cheap)}."


def _cost(row: Row) -> tuple[int, int, int]:
    return row.dim, row.descriptor_bytes, row.parameters
