"""Which rows stand together, what stands in their cells, and which of them a paired test cannot tell apart.

Two rows share a table only when training set, images left out of it, budget, suite, protocol fingerprint, the data's
manifests and the rule that groups its queries agree (`vitret.compare.comparable`); what was never trained stands in
every table of its training set. The ablation study of a system has a table of its own: it answers what the system's
parts are worth, not which system is better.
Seeds of one recipe are one row: the mean over seeds, its standard deviation, and the interval over groups of queries
and over seeds.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from vitret.compare.comparable import Entry, by_training, family, same_data, table_key
from vitret.compare.groups import Groups, groups_beside
from vitret.compare.intervals import interval
from vitret.compare.overlap.affected import Affected
from vitret.compare.overlap.known import Known, Status
from vitret.compare.paired import PairedTest
from vitret.compare.results import Result, per_query, read_result, result_files
from vitret.compare.standing import Answers, Standing, standings
from vitret.core.ablations import base_of
from vitret.core.cost import NetworkCost
from vitret.core.protocol import metric_key, split_key
from vitret.core.records import Float64, Int64


@dataclass(frozen=True, kw_only=True)
class Cell:
    """A number: mean over seeds, its standard deviation over seeds, 95 % interval over groups and seeds; fractions."""

    value: float
    std: float | None
    low: float
    high: float
    n_effective: int


@dataclass(frozen=True, kw_only=True)
class Row:
    """One system of a table. `cells` is keyed by (evaluation set, metric)."""

    system: str
    title: str
    backbone: str
    starts_from: str
    head: str
    dim: int
    parameters: int
    images_seen: int
    descriptor_bytes: int
    seeds: tuple[int, ...]
    cells: dict[tuple[str, str], Cell]
    primary: float | None
    # What `primary` is the mean of; None where it is.
    answers: Answers | None
    # Its tests against each row above, in their order; none for the first row and for rows without a primary number.
    against: tuple[PairedTest, ...]
    # First and last place that the row may have among those with a primary number.
    ranks: tuple[int, int] | None
    # True where other seeds would give other networks, and only one was run.
    one_run: bool
    medal: bool
    dirty: bool
    # What was measured: a row of each seed and evaluation set.
    entries: tuple[Entry, ...]
    # What is known of the overlap of its training with the evaluation sets.
    overlap: Status
    # What an image costs the network, where one of the rows says it.
    cost: NetworkCost | None = None

    @property
    def against_best(self) -> PairedTest | None:
        """The test against the first row."""
        return self.against[0] if self.against else None

    @property
    def millions(self) -> str:
        """Its parameters, in millions."""
        return f"{self.parameters / 1e6:.2f}M"

    @property
    def rank_mark(self) -> str:
        """One of "best", "highest" (no medal), "tie" (no test tells it from the best), "incomplete", or nothing."""
        if self.primary is None:
            return "incomplete"
        if self.against_best is None:
            return "best" if self.medal else "highest"
        return "" if self.against_best.separated else "tie"


@dataclass(frozen=True, kw_only=True)
class Table:
    """Rows that may be compared, best first; rows without all of the suite's numbers come last and are not ranked."""

    train_set: str
    track: str
    budget: str
    suite: str
    primary: str
    fingerprint: str
    protocol: str
    sets: tuple[str, ...]
    keys: tuple[str, ...]
    warnings: tuple[str, ...]
    shortlist: str
    rows: tuple[Row, ...]
    # Named only where tables of one training set differ in its bytes or in the budget: the beginnings of their digests.
    training_data: str
    # The training images that its rows did not learn from, in words; empty where none were left out.
    left_out: str
    # The system of whose ablation study these rows are; empty for a table of systems.
    ablation: str
    # Of each plain evaluation set.
    groups: tuple[tuple[str, Groups], ...]
    # The true difference that the paired test of two of its rows shows four times in five.
    detectable: float | None
    # How many queries of an evaluation set were left out, because the training set shows what they ask about.
    dropped: tuple[tuple[str, int], ...]

    @property
    def columns(self) -> list[tuple[str, str]]:
        return [(name, key) for name in self.sets for key in self.keys]

    @property
    def one_run(self) -> tuple[Row, ...]:
        """The ranked rows of one run, where other seeds would give other networks."""
        return tuple(row for row in self.rows if row.one_run and row.primary is not None)


def read_all(root: Path) -> list[Entry]:
    """Every row below a results folder."""
    return [(path, read_result(path)) for path in result_files(root)]


def tables(
    entries: Iterable[Entry], *, known: Known | None = None, without: Sequence[Affected] = ()
) -> list[Table]:
    """Group rows into fair tables, in a fixed order; `known` is what is known of overlap.

    With `without`, the tables in which queries are affected, made from the other queries.
    """
    groups: dict[tuple[str, ...], list[Entry]] = {}
    for path, result in entries:
        groups.setdefault(table_key(result), []).append((path, result))
    found = [
        _table(rows, training_data=version, ablation=base, known=known or Known(), without=without)
        for key in sorted(groups)
        for version, trained in by_training(groups[key])
        for base, rows in _by_ablation(trained)
    ]
    return [table for table in found if table.dropped or not without]


def _by_ablation(entries: Sequence[Entry]) -> list[tuple[str, list[Entry]]]:
    """The systems, and each system that has variants beside them."""
    systems = [e for e in entries if not base_of(e[1].model.system)]
    bases = sorted({base_of(r.model.system) for _, r in entries} - {""})
    found = [
        (base, [e for e in entries if base in (e[1].model.system, base_of(e[1].model.system))])
        for base in bases
    ]
    # What only stands for comparison with its variants is no table of systems.
    return found if bases and all(r.model.system in bases for _, r in systems) else [("", systems), *found]


def _table(
    entries: Sequence[Entry],
    *,
    training_data: str,
    ablation: str,
    known: Known,
    without: Sequence[Affected],
) -> Table:
    entries, others = same_data(entries)
    first = entries[0][1]
    sets = sorted({r.eval_name for _, r in entries}, key=lambda name: (name.count("+"), name))
    sets.sort(key=lambda name: name.partition("+")[0])
    keys = [metric_key(metric, level) for metric in first.suite.metrics for level in first.suite.levels]
    # A set that has no positive at a level owes no number there.
    measured = {(r.eval_name, key) for _, r in entries for key in r.metrics}
    owed = [(name, key) for name in sets for key in keys if (name, key) in measured]
    groups = {r.eval_name: groups_beside(path, r) for path, r in entries}
    dropped = {r.eval_name: affected.rows for _, r in entries for affected in without if affected.concerns(r)}
    found = [
        _found(one, owed, primary=first.suite.primary, groups=groups, dropped=dropped, known=known)
        for one in _by_recipe(entries)
    ]
    rows, detectable = _ranked(found)
    return Table(
        train_set=first.training.set,
        track=first.recipe.track.name,
        budget=first.training.budget,
        suite=first.suite.name,
        primary=first.suite.primary,
        fingerprint=first.fingerprint,
        protocol=first.protocol.line(),
        sets=tuple(sets),
        keys=tuple(keys),
        warnings=tuple(
            sorted({words for _, r in entries for words in _warnings(r)} | set(_left_out(others)))
        ),
        shortlist=first.protocol.rerank.shortlist,
        rows=tuple(rows),
        training_data=training_data,
        left_out=next((r.recipe.exclude.words for _, r in entries if r.recipe.exclude), ""),
        ablation=ablation,
        groups=tuple((name, groups[name].without(dropped.get(name))) for name in sets if "+" not in name),
        detectable=detectable,
        dropped=tuple((name, len(rows)) for name, rows in sorted(dropped.items()) if "+" not in name),
    )


def _warnings(result: Result) -> list[str]:
    """What every page that shows the row must say."""
    found = [result.data.warning] if result.data.warning else []
    if result.training.subset:
        found.append(f"Trained on {result.training.subset} of {result.training.set}.")
    if result.data.subset:
        found.append(f"Searched: {result.data.subset}.")
    return found


def _left_out(others: Mapping[str, int]) -> Iterator[str]:
    """What is not in a table because it was measured on other data."""
    for name, count in others.items():
        rows = "1 row was" if count == 1 else f"{count} rows were"
        yield f"Left out: {rows} measured on other bytes or other groups of {name} than most rows were."


def _by_recipe(entries: Sequence[Entry]) -> list[list[Entry]]:
    """Entries of one recipe, whatever the seed, in the order of system names."""
    groups: dict[tuple[str, str], list[Entry]] = {}
    for path, result in entries:
        groups.setdefault((result.model.system, family(result)), []).append((path, result))
    return [groups[key] for key in sorted(groups)]


@dataclass(frozen=True, kw_only=True, eq=False)
class _Found:
    """What the entries of one recipe give: cells, and the answers of the primary number where nothing is missing."""

    entries: Sequence[Entry]
    cells: dict[tuple[str, str], Cell]
    answers: Answers | None
    overlap: Status

    def row(self, stands: Standing | None, *, medal: bool) -> Row:
        """The row as it stands among others; None for one that is not ranked."""
        first = self.entries[0][1]
        seeds = tuple(sorted({r.training.seed for _, r in self.entries}))
        return Row(
            system=first.model.system,
            title=first.model.title,
            backbone=first.model.backbone,
            starts_from=first.recipe.system.model.starts_from,
            head=first.model.head,
            dim=first.model.dim,
            parameters=first.model.parameters,
            images_seen=first.training.images_seen,
            descriptor_bytes=first.cost.descriptor_bytes,
            seeds=seeds,
            cells=self.cells,
            primary=None if self.answers is None else self.answers.mean,
            answers=self.answers,
            against=stands.against if stands else (),
            ranks=stands.ranks if stands else None,
            one_run=self.one_run,
            medal=medal,
            dirty=any(r.environment.dirty for _, r in self.entries),
            entries=tuple(self.entries),
            overlap=self.overlap,
            cost=next((r.cost.network for _, r in self.entries if r.cost.network is not None), None),
        )

    @property
    def one_run(self) -> bool:
        return self.entries[0][1].recipe.varies and len({r.training.seed for _, r in self.entries}) == 1


def _found(
    entries: Sequence[Entry],
    owed: Sequence[tuple[str, str]],
    *,
    primary: str,
    groups: dict[str, Groups],
    dropped: Mapping[str, Int64],
    known: Known,
) -> _Found:
    """The cells of one recipe, and what its paired tests need, without the queries `dropped` of a set."""
    by_set = {name: [(p, r) for p, r in entries if r.eval_name == name] for name in groups}
    measured = {
        (name, key): _cell(by_set[name], key, groups[name], dropped.get(name))
        for name, key in owed
        if by_set[name] and all(key in r.metrics for _, r in by_set[name])
    }
    cells = {column: cell for column, cell in measured.items() if cell is not None}
    plain = sorted(name for name in groups if "+" not in name)
    seeds = {name: {r.training.seed for _, r in found} for name, found in by_set.items()}
    # Where every query that has a positive is dropped, no number is owed; but the primary one always is.
    complete = (
        measured.keys() == set(owed)
        and all((name, primary) in cells for name in plain)
        and len(set(map(frozenset, seeds.values()))) == 1
    )
    answers = None
    if complete:
        values = [by_seed(by_set[name], primary, dropped.get(name)) for name in plain]
        answers = Answers.of(values, [groups[name].numbers for name in plain])
    return _Found(
        entries=entries, cells=cells, answers=answers, overlap=known.status([r for _, r in entries])
    )


def _cell(entries: Sequence[Entry], key: str, groups: Groups, dropped: Int64 | None) -> Cell | None:
    """One number and its interval, both of the stored ranks: what was typed into a row is not shown.

    None where every query that has a positive is dropped.
    """
    values = by_seed(entries, key, dropped)
    answering = int((~np.isnan(values[0])).sum())
    if not answering:
        return None
    means = np.nanmean(values, axis=1)
    low, high = interval(values, groups.numbers)
    return Cell(
        value=float(means.mean()),
        std=float(means.std(ddof=1)) if len(means) > 1 else None,
        low=low,
        high=high,
        n_effective=answering,
    )


def by_seed(entries: Sequence[Entry], key: str, dropped: Int64 | None = None) -> Float64:
    """Per-query values (seeds, Q) of one evaluation set, NaN for queries without positives and for dropped ones."""
    ordered = sorted(entries, key=lambda entry: entry[1].training.seed)
    values = np.stack([per_query(path, key) for path, _ in ordered])
    if dropped is not None:
        values[:, dropped] = np.nan
    return values


def _ranked(found: Sequence[_Found]) -> tuple[list[Row], float | None]:
    """Best first, each with its paired test against the best; rows that are not complete last.

    A medal goes to a row that is surely first among several, and to none where some method was run once.
    """
    answers = [(one, one.answers) for one in found if one.answers is not None]
    answers.sort(key=lambda pair: (-pair[1].mean, pair[0].entries[0][1].model.system))
    stand, detectable = standings([own for _, own in answers])
    several = len(answers) > 1 and not any(one.one_run for one, _ in answers)
    rows = [
        one.row(own, medal=several and own.ranks == (1, 1))
        for (one, _), own in zip(answers, stand, strict=True)
    ]
    rest = [one.row(None, medal=False) for one in found if one.answers is None]
    return rows + rest, detectable


_SHORT = {
    "roxford5k": "ROxf",
    "rparis6k": "RPar",
    "oxford5k": "Oxf",
    "paris6k": "Par",
    "revisitop1m": "1M",
    "rminitown-east": "east",
    "rminitown-west": "west",
    "minitown-distractors": "1k",
    "sop": "SOP",
    "cub200": "CUB",
    "inshop": "In-Shop",
}


def short(name: str) -> str:
    """The field's short names of evaluation sets, for column heads.

    >>> short("roxford5k+revisitop1m")
    'ROxf+1M'
    """
    return "+".join(_SHORT.get(part, part) for part in name.split("+"))


def head(name: str, key: str) -> str:
    """Column head: set, metric, level."""
    metric, level = split_key(key)
    return f"{short(name)} {metric}" + {"all": "", "medium": " M", "hard": " H", "easy": " E"}[level]


def measured_sentences(root: Path) -> dict[str, list[str]]:
    """For each system what its own rows say of the primary number, one sentence a table."""
    found: dict[str, list[str]] = {}
    for table in tables(read_all(root)):
        for row in table.rows:
            if row.primary is not None and not base_of(row.system):
                sentence = (
                    f"trained on {table.train_set}, {table.primary} {100 * row.primary:.1f} ({table.suite})"
                )
                said = found.setdefault(row.system, [])
                if sentence not in said:  # a system stands beside its variants too
                    said.append(sentence)
    return found
