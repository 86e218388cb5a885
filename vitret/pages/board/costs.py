"""What a row costs, in every measure that is known of it."""

from collections.abc import Callable
from dataclasses import dataclass

from vitret.compare.tables import Row, Table


@dataclass(frozen=True, kw_only=True)
class Measure:
    """One kind of cost. `amount` is None where it is not known of a row; less is better."""

    name: str
    amount: Callable[[Row], float | None]
    words: Callable[[float], str]


_UNITS = {"T": 1e12, "G": 1e9, "M": 1e6, "k": 1e3}


def short_amount(value: float) -> str:
    """An amount with three digits and a letter for its size.

    >>> short_amount(5_524_416), short_amount(768), short_amount(12_800)
    ('5.52M', '768', '12.8k')
    """
    for least, unit, digits in ((1e12, "T", 2), (1e9, "G", 2), (1e6, "M", 2), (1e4, "k", 1)):
        if value >= least:
            return f"{value / _UNITS[unit]:.{digits}f}{unit}"
    return f"{value:g}"


def _flops(row: Row) -> float | None:
    return None if row.cost is None else row.cost.flops


# One entry a measure: a page shows those that it knows. Times are of one machine and mark nothing.
MEASURES = (
    Measure(name="parameters", amount=lambda row: row.parameters, words=lambda n: f"{n / 1e6:.2f}M"),
    Measure(name="FLOPs an image", amount=_flops, words=short_amount),
    Measure(name="bytes an image", amount=lambda row: row.descriptor_bytes, words=short_amount),
)


def cost_words(row: Row) -> str:
    """What a row costs, for a sentence."""
    flops = _flops(row)
    work = "" if flops is None else f", {short_amount(flops)} FLOPs"
    return f"{row.descriptor_bytes:,} bytes{work} an image, {row.millions} parameters"


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
    # The rows stand best first: of equal costs the higher number.
    cheap = min(ties, key=lambda row: (row.parameters, row.dim))
    return f"{said}; its tie {cheap.title} costs {cost_words(cheap)}."


def _cost(row: Row) -> tuple[int, int, int, float | None]:
    return row.dim, row.descriptor_bytes, row.parameters, _flops(row)
