"""What is known of one row: recipe, environment, command, and how its queries fare by group."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import yaml

from vitret.compare.results import per_query
from vitret.compare.tables import Row, Table, short
from vitret.core.cost import NetworkCost
from vitret.core.errors import listed
from vitret.core.records import Float64, Int64
from vitret.pages.board.cards import row_anchor
from vitret.pages.board.scale import percent
from vitret.pages.verdict import seen

# Points of the curve of sorted groups, and groups named in words.
_POINTS, _WORST = 60, 5


@dataclass(frozen=True, kw_only=True)
class Panel:
    """One row. `curve`: the groups' means, sorted, as the path of a line in a box of 100 × 100."""

    row: Row
    anchor: str
    facts: tuple[tuple[str, str], ...]
    recipe: str
    curve: str
    worst: tuple[str, ...]
    groups: int


@dataclass(frozen=True, kw_only=True, eq=False)
class Asked:
    """The queries of a table that have positives, in the order of `Answers`.

    `sets` (Q,) indexes the plain evaluation sets, `queries` (Q,) is the query's number in its set, `groups` (Q,) the
    number of its group in its set.
    """

    names: tuple[str, ...]
    sets: Int64
    queries: Int64
    groups: Int64

    @cached_property
    def members(self) -> tuple[Int64, Int64]:
        """Set and number of each group, (2, G), and of each query the place of its group there, (Q,)."""
        keys, member = np.unique(np.stack([self.sets, self.groups]), axis=1, return_inverse=True)
        return keys, member.reshape(-1)


def asked(table: Table) -> Asked | None:
    """Which queries the primary number of a table is the mean of; None where no row has it or queries were dropped."""
    row = next((row for row in table.rows if row.answers is not None), None)
    if row is None or table.dropped:
        return None
    files = {result.eval_name: path for path, result in row.entries}
    names = sorted(name for name, _ in table.groups)
    numbers = dict(table.groups)
    kept = [np.flatnonzero(~np.isnan(per_query(files[name], table.primary))) for name in names]
    return Asked(
        names=tuple(short(name) for name in names),
        sets=np.repeat(np.arange(len(names)), [len(one) for one in kept]),
        queries=np.concatenate(kept),
        groups=np.concatenate([numbers[n].numbers[one] for n, one in zip(names, kept, strict=True)]),
    )


def panels(table: Table, queries: Asked | None) -> list[Panel]:
    """A panel for each row of a table."""
    return [_panel(table, row, queries) for row in table.rows]


def _panel(table: Table, row: Row, queries: Asked | None) -> Panel:
    first = row.entries[0][1]
    system = first.recipe.system.model_dump(mode="json")
    curve, groups = "", 0
    worst: tuple[str, ...] = ()
    if row.answers is not None and queries is not None:
        means, names = _by_group(row.answers.values.mean(axis=0), queries)
        curve, worst, groups = _curve(means), _worst(means, names), len(means)
    return Panel(
        row=row,
        anchor=row_anchor(table, row),
        facts=tuple(_facts(row)),
        recipe=yaml.safe_dump(_without_none(system), sort_keys=False, allow_unicode=True, width=100),
        curve=curve,
        worst=worst,
        groups=groups,
    )


def _facts(row: Row) -> list[tuple[str, str]]:
    results = [result for _, result in row.entries]
    first = results[0]
    commits = sorted(
        {r.environment.commit[:10] + (" with changes" if r.environment.dirty else "") for r in results}
    )
    versions = ", ".join(f"{name} {number}" for name, number in first.environment.versions.items())
    seconds = [r.cost.train_seconds for r in results if r.cost.train_seconds is not None]
    data = sorted(
        {
            f"{r.data.set} {r.data.manifest[:8]}: {r.data.queries} queries, {r.data.database} images"
            + (f" and {r.data.distractor_images} distractors" if r.data.distractors else "")
            for r in results
        }
    )
    found = [
        ("seeds", ", ".join(map(str, row.seeds))),
        ("starts from", row.starts_from),
        ("pretraining", first.training.pretraining),
        ("images seen", seen(row) if row.images_seen else "none: frozen"),
        ("training time", f"{max(seconds):.0f} s on {first.environment.device}" if seconds else ""),
        ("cost", "" if row.cost is None else _cost_words(row.cost)),
        ("measured on", "; ".join(data)),
        (
            "device",
            f"{first.environment.device}, {first.environment.precision}, {first.environment.search_engine}",
        ),
        ("versions", versions),
        ("commit", listed(commits)),
        ("command", first.command),
        ("weights", first.model.weights_sha256[:16]),
    ]
    return [(name, words) for name, words in found if words]


def _cost_words(cost: NetworkCost) -> str:
    work = "" if cost.flops is None else f"{cost.flops / 1e9:.3g} GFLOPs, "
    return (
        f"{work}{1000 * cost.latency_p50:.3g} ms an image alone, {cost.images_per_second:.3g} images/s at batch "
        f"{cost.batch}; {cost.height} × {cost.width} pixels on {cost.device}, {cost.precision}, threads: {cost.threads}"
    )


def _without_none(value: object) -> object:
    """The same without keys whose value is nothing or an empty list."""
    if isinstance(value, dict):
        return {key: _without_none(item) for key, item in value.items() if item not in (None, [], "")}
    return [_without_none(item) for item in value] if isinstance(value, list) else value


def _by_group(values: Float64, queries: Asked) -> tuple[Float64, list[str]]:
    """Mean of each group, the worst first, and the groups' names."""
    keys, member = queries.members
    sizes = np.bincount(member)
    means = np.bincount(member, weights=values) / sizes
    order = np.lexsort((np.arange(len(means)), np.round(means, 9)))
    several = len(queries.names) > 1
    names = [
        (f"{queries.names[keys[0, i]]}, " if several else "")
        + (
            f"query {queries.queries[np.flatnonzero(member == i)[0]]}"
            if sizes[i] == 1
            else f"group {keys[1, i]}, {sizes[i]} queries"
        )
        for i in order[:_WORST]
    ]
    return means[order], names


def _worst(means: Float64, names: Sequence[str]) -> tuple[str, ...]:
    return tuple(f"{percent(float(mean))} {name}" for mean, name in zip(means, names, strict=False))


def _curve(means: Float64) -> str:
    """The sorted means as a path: x the share of groups, y 100 at 0 and 0 at 1."""
    at = np.unique(np.linspace(0, len(means) - 1, min(len(means), _POINTS)).round().astype(int))
    x = 100 * (at / max(1, len(means) - 1))
    return "M" + "L".join(f"{a:.3g} {b:.3g}" for a, b in zip(x, 100 - 100 * means[at], strict=True))
