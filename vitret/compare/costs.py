"""Accuracy against cost: ranked rows of tables that differ in descriptor size alone, and which are efficient.

A row is on the Pareto front when no other is at least as accurate with no more bytes and no more FLOPs, and better in
one of the three. FLOPs and bytes are the same on every machine; times are not, so they mark nothing.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from vitret.compare.tables import Row, Table
from vitret.core.cost import NetworkCost

if TYPE_CHECKING:
    from vitret.compare.machine import Machine
    from vitret.compare.work import Work

CostOf = Callable[[Table, Row], NetworkCost | None]
"""What a row of a table costs that says no cost of its own."""


@dataclass(frozen=True, kw_only=True)
class Costed:
    """A ranked row with what it costs; `front` is None where its FLOPs are not known."""

    row: Row
    suite: str
    cost: NetworkCost | None
    front: bool | None


@dataclass(frozen=True, kw_only=True)
class CostTable:
    """Rows of one training by `primary`: fewest bytes first, and within the same bytes the most accurate."""

    train_set: str
    budget: str
    ablation: str
    primary: str
    rows: tuple[Costed, ...]


def measured_now(works: Sequence[Work], machine: Machine, *, home: Path) -> CostOf:
    """The cost of rows that were measured without one, taken on this machine; it needs no weights, and is kept."""
    from vitret.models.model import build_model, without_weights

    known = {
        (work.suite.protocol.fingerprint, task.recipe.system.name): (work.suite.protocol, task.recipe)
        for work in works
        for task in work.tasks
    }

    def cost_of(table: Table, row: Row) -> NetworkCost | None:
        found = known.get((table.fingerprint, row.system))
        if found is None:
            return None
        protocol, recipe = found
        model = build_model(without_weights(recipe.system.model)).eval()
        return machine.cost(model, protocol, home=home)

    return cost_of


def cost_tables(found: Sequence[Table], cost_of: CostOf) -> list[CostTable]:
    """The ranked rows of fair tables by bytes."""
    groups: dict[tuple[object, ...], list[Table]] = {}
    for table in found:
        key = (table.train_set, table.track, table.budget, table.training_data, table.ablation)
        groups.setdefault((*key, table.sets, table.primary), []).append(table)
    return [_cost_table(tables, cost_of) for tables in groups.values()]


def _cost_table(tables: Sequence[Table], cost_of: CostOf) -> CostTable:
    ranked = [(table, row) for table in tables for row in table.rows if row.primary is not None]
    ranked.sort(key=lambda pair: (pair[1].descriptor_bytes, -(pair[1].primary or 0), pair[1].system))
    costs = [row.cost or cost_of(table, row) for table, row in ranked]
    points = [
        None
        if cost is None or cost.flops is None
        else (row.descriptor_bytes, cost.flops, -(row.primary or 0.0))
        for (_, row), cost in zip(ranked, costs, strict=True)
    ]
    first = tables[0]
    return CostTable(
        train_set=first.train_set,
        budget=first.budget,
        ablation=first.ablation,
        primary=first.primary,
        rows=tuple(
            Costed(row=row, suite=table.suite, cost=cost, front=front)
            for (table, row), cost, front in zip(ranked, costs, pareto_front(points), strict=True)
        ),
    )


def pareto_front(points: Sequence[tuple[float, ...] | None]) -> list[bool | None]:
    """Whether no other point is as low in every coordinate and lower in one; None for what has no point.

    >>> pareto_front([(1, 5), (2, 4), (2, 6), None, (1, 5)])
    [True, True, False, None, True]
    """
    known = [point for point in points if point is not None]
    return [
        None
        if point is None
        else not any(
            other != point and all(o <= p for o, p in zip(other, point, strict=True)) for other in known
        )
        for point in points
    ]
