"""Which rows may stand together, what stands in their cells, and which of them a paired test cannot tell apart.

Two rows share a table only when training set, budget, suite, protocol fingerprint and the data's manifests agree; what
was never trained stands in every table of its training set. The ablation study of a system has a table of its own: it
answers what the system's parts are worth, not which system is better.
Seeds of one recipe are one row: the mean over seeds, its standard deviation, and the interval over groups of queries
and over seeds.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from vitret.compare.groups import Groups, groups_beside
from vitret.compare.intervals import interval
from vitret.compare.paired import PairedTest
from vitret.compare.results import Result, per_query, read_result, result_files
from vitret.compare.standing import Answers, Standing, standings
from vitret.core.ablations import base_of
from vitret.core.cost import NetworkCost
from vitret.core.protocol import metric_key, split_key
from vitret.core.records import Float64
from vitret.core.store import digest

Entry = tuple[Path, Result]


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
    # What an image costs the network, where one of the rows says it.
    cost: NetworkCost | None = None

    @property
    def against_best(self) -> PairedTest | None:
        """The test against the first row."""
        return self.against[0] if self.against else None

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
    # Named only where tables of one training set differ in its bytes: the beginning of its digest.
    training_data: str
    # The system of whose ablation study these rows are; empty for a table of systems.
    ablation: str
    # Of each plain evaluation set.
    groups: tuple[tuple[str, Groups], ...]
    # The true difference that the paired test of two of its rows shows four times in five.
    detectable: float | None

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


def tables(entries: Iterable[Entry]) -> list[Table]:
    """Group rows into fair tables, in a fixed order."""
    groups: dict[tuple[str, ...], list[Entry]] = {}
    for path, result in entries:
        groups.setdefault(_table_key(result), []).append((path, result))
    return [
        _table(rows, training_data=version, ablation=base)
        for key in sorted(groups)
        for version, trained in _by_training(groups[key])
        for base, rows in _by_ablation(trained)
    ]


def _by_training(entries: Sequence[Entry]) -> list[tuple[str, list[Entry]]]:
    """Rows of each version of the training set's bytes, with those that learned nothing in each."""
    versions = sorted({r.training.manifest for _, r in entries} - {""})
    if len(versions) < 2:
        return [("", list(entries))]
    return [
        (version[:8], [e for e in entries if e[1].training.manifest in ("", version)]) for version in versions
    ]


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


def _table_key(result: Result) -> tuple[str, ...]:
    """What must agree. The manifests of the data are left to `_same_data`: each evaluation set has its own."""
    transductive = "transductive" if result.protocol.expansion.kind == "dba" else ""
    return (
        result.training.set,
        result.recipe.track.name,
        result.training.budget,
        result.suite.name,
        result.fingerprint,
        result.protocol.rerank.shortlist,
        transductive,
        _own_budget(result),
    )


def _own_budget(result: Result) -> str:
    """What a budget of its own allows, as a digest: the track's name does not tell it. Empty for a track's."""
    if result.training.budget == "track":
        return ""
    track = result.recipe.track
    return digest([track.images_seen, track.batch, track.validation, track.image.model_dump(mode="json")])


def _table(entries: Sequence[Entry], *, training_data: str, ablation: str) -> Table:
    entries = _newest_data(entries)
    first = entries[0][1]
    sets = sorted({r.eval_name for _, r in entries}, key=lambda name: (name.count("+"), name))
    sets.sort(key=lambda name: name.partition("+")[0])
    keys = [metric_key(metric, level) for metric in first.suite.metrics for level in first.suite.levels]
    # A set that has no positive at a level owes no number there.
    measured = {(r.eval_name, key) for _, r in entries for key in r.metrics}
    owed = [(name, key) for name in sets for key in keys if (name, key) in measured]
    groups = {r.eval_name: groups_beside(path, r) for path, r in entries}
    found = [_found(one, owed, primary=first.suite.primary, groups=groups) for one in _by_recipe(entries)]
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
        warnings=tuple(sorted({words for _, r in entries for words in _warnings(r)})),
        shortlist=first.protocol.rerank.shortlist,
        rows=tuple(rows),
        training_data=training_data,
        ablation=ablation,
        groups=tuple((name, groups[name]) for name in sets if "+" not in name),
        detectable=detectable,
    )


def _warnings(result: Result) -> list[str]:
    """What every page that shows the row must say."""
    found = [result.data.warning] if result.data.warning else []
    if result.training.subset:
        found.append(f"Trained on {result.training.subset} of {result.training.set}.")
    if result.data.subset:
        found.append(f"Searched: {result.data.subset}.")
    return found


def _newest_data(entries: Sequence[Entry]) -> list[Entry]:
    """Of each evaluation set only the rows on the manifest that most rows have; others cannot be compared."""
    counts: dict[str, dict[tuple[str, str], int]] = {}
    for _, r in entries:
        manifests = counts.setdefault(r.eval_name, {})
        key = (r.data.manifest, r.data.distractors_manifest)
        manifests[key] = manifests.get(key, 0) + 1
    chosen = {name: max(sorted(found), key=lambda k, f=found: f[k]) for name, found in counts.items()}  # type: ignore[misc]
    return [
        (p, r) for p, r in entries if chosen[r.eval_name] == (r.data.manifest, r.data.distractors_manifest)
    ]


def _by_recipe(entries: Sequence[Entry]) -> list[list[Entry]]:
    """Entries of one recipe, whatever the seed, in the order of system names."""
    groups: dict[tuple[str, str], list[Entry]] = {}
    for path, result in entries:
        groups.setdefault((result.model.system, family(result)), []).append((path, result))
    return [groups[key] for key in sorted(groups)]


def family(result: Result) -> str:
    """Identity of a recipe without its seed."""
    return digest(result.recipe.model_copy(update={"seed": 0}).digest)


@dataclass(frozen=True, kw_only=True, eq=False)
class _Found:
    """What the entries of one recipe give: cells, and the answers of the primary number where nothing is missing."""

    entries: Sequence[Entry]
    cells: dict[tuple[str, str], Cell]
    answers: Answers | None

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
) -> _Found:
    """The cells of one recipe, and what its paired tests need."""
    by_set = {name: [(p, r) for p, r in entries if r.eval_name == name] for name in groups}
    cells = {
        (name, key): _cell(by_set[name], key, groups[name])
        for name, key in owed
        if by_set[name] and all(key in r.metrics for _, r in by_set[name])
    }
    plain = sorted(name for name in groups if "+" not in name)
    seeds = {name: {r.training.seed for _, r in found} for name, found in by_set.items()}
    complete = (
        cells.keys() == set(owed)
        and all((name, primary) in cells for name in plain)
        and len(set(map(frozenset, seeds.values()))) == 1
    )
    answers = None
    if complete:
        values = [by_seed(by_set[name], primary) for name in plain]
        answers = Answers.of(values, [groups[name].numbers for name in plain])
    return _Found(entries=entries, cells=cells, answers=answers)


def _cell(entries: Sequence[Entry], key: str, groups: Groups) -> Cell:
    """One number; its interval comes from the stored ranks, because rows of old versions know no groups."""
    means = np.array([r.metrics[key].value for _, r in entries])
    low, high = interval(by_seed(entries, key), groups.numbers)
    return Cell(
        value=float(means.mean()),
        std=float(means.std(ddof=1)) if len(means) > 1 else None,
        low=low,
        high=high,
        n_effective=entries[0][1].metrics[key].n_effective,
    )


def by_seed(entries: Sequence[Entry], key: str) -> Float64:
    """Per-query values (seeds, Q) of one evaluation set."""
    ordered = sorted(entries, key=lambda entry: entry[1].training.seed)
    return np.stack([per_query(path, key) for path, _ in ordered])


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
