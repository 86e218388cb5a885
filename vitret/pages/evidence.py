"""The generated parts of docs/evidence.md and of the README: what the rows on photographs show, all from the rows."""

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from vitret.compare.claims import ClaimsFile, Tested, claims_files, judge_claims
from vitret.compare.comparable import Entry
from vitret.compare.tables import Row, Table, read_all
from vitret.core.config import file_names
from vitret.core.recipes import Track, read_system, read_track
from vitret.pages.leaderboard import number
from vitret.pages.markdown import markdown_table
from vitret.pages.verdict import against, below, named_conclusion, questions, rank, seed_count

PARTS = ("trained", "tables", "claims", "missing")


def begin(part: str) -> str:
    """The mark before a generated part of docs/evidence.md."""
    return f"<!-- {part}: made by `vitret leaderboard`; do not edit between the marks -->"


def end(part: str) -> str:
    """The mark behind it."""
    return f"<!-- end of {part} -->"


def filled(text: str, found: Sequence[Table], root: Path, configs: Path) -> str:
    """A page with each part that it marks made again from the rows of a results folder and their tables."""
    entries = read_all(root)
    photographs = [(path, row) for path, row in entries if not drawn(row.training.set, row.data.set)]
    made = {
        "trained": lambda: trained(photographs),
        "tables": lambda: sections(on_photographs(found)),
        "claims": lambda: claims(claims_files(root), photographs),
        "missing": lambda: missing(entries, configs),
    }
    for part in PARTS:
        head, mark, rest = text.partition(begin(part))
        _, close, tail = rest.partition(end(part))
        if mark and close:
            text = f"{head}{mark}\n{made[part]()}\n{close}{tail}"
    return text


def drawn(*names: str) -> bool:
    """Whether one of some sets is of the synthetic town.

    >>> drawn("landmarks-mix", "minilandmarks"), drawn("minitown-clean", "minilandmarks")
    (False, True)
    """
    return any("minitown" in name for name in names)


def on_photographs(found: Sequence[Table]) -> list[Table]:
    """Tables of systems trained and measured on photographs under the track's budget; none of frozen networks alone."""
    return [
        table
        for table in found
        if table.budget == "track"
        and any(row.images_seen for row in table.rows)
        and not drawn(table.train_set, *table.sets)
    ]


def summary(found: Sequence[Table]) -> str:
    """One table a training set: a row a system, and for each evaluation its primary number and rank, and what it asks.

    A set that several suites measure is shown under the first of them.
    """
    systems = [
        table
        for table in on_photographs(found)
        if not table.ablation and sum(row.primary is not None for row in table.rows) > 1
    ]
    parts = []
    for name in dict.fromkeys(table.train_set for table in systems):
        own = [table for table in systems if table.train_set == name]
        own.sort(key=lambda table: (name not in table.sets, table.suite))
        first = {table.sets: table for table in reversed(own)}
        shown = [table for table in own if first[table.sets] is table]
        parts.append(markdown_table(*_pivot(shown)))
        parts += map(_limits, shown)
    return "\n\n".join(parts)


def _pivot(found: Sequence[Table]) -> tuple[list[str], list[list[str]]]:
    train_set = found[0].train_set
    heads = [f"trained on {train_set}", "dim", "params", "seeds"]
    for table in found:
        where = "its unseen classes" if table.sets == (train_set,) else ", ".join(table.sets)
        heads += [f"{where}: {table.primary}", "rank"]
    rows: dict[str, Row] = {}
    for table in found:
        for row in table.rows:
            rows.setdefault(row.system, row)
    lines = []
    for system, row in rows.items():
        line = [row.title, str(row.dim), row.millions, seed_count(row)]
        for table in found:
            line += _place(next((one for one in table.rows if one.system == system), None), table)
        lines.append(line)
    return heads, lines


def _place(row: Row | None, table: Table) -> list[str]:
    """Primary number with its interval, and rank; the interval only where one set makes the number."""
    if row is None or row.primary is None:
        return ["–", "–"]
    value = f"{100 * row.primary:.1f}"
    if len(table.sets) == 1:
        value = number(row.cells[table.sets[0], table.primary])
    return [value, rank(row)]


def _limits(table: Table) -> str:
    """What a table asks and what it can show, as one paragraph."""
    return " ".join([*questions(table), *below(table)])


def sections(found: Sequence[Table]) -> str:
    """Every table with all its metrics, the difference to the first row, and what follows from it."""
    parts = []
    for table in found:
        study = f"The switches of {table.ablation}, trained" if table.ablation else "Trained"
        parts.append(
            f"### {study} on {table.train_set}, measured on {', '.join(table.sets)} by {table.suite}"
        )
        parts.append(f"Protocol {table.fingerprint}: {table.protocol}.")
        parts.append(markdown_table(*_whole(table)))
        parts.append(named_conclusion(table))
        parts.append(_limits(table))
    return "\n\n".join(parts)


def _whole(table: Table) -> tuple[list[str], list[list[str]]]:
    columns = [(name, key) for name, key in table.columns if any((name, key) in r.cells for r in table.rows)]
    heads = ["system", "starts from", "seeds", *(key for _, key in columns)]
    heads += ["rank", f"{table.primary} less that of the first"]
    lines = []
    for row in table.rows:
        cells = [row.cells.get(column) for column in columns]
        values = [
            number(cell, interval=key == table.primary) for (_, key), cell in zip(columns, cells, strict=True)
        ]
        lines.append([row.title, row.starts_from, seed_count(row), *values, rank(row), against(row)])
    return heads, lines


def trained(entries: Sequence[Entry]) -> str:
    """Trainings by set and system: seeds, images seen, and the hours where a row has noted them."""
    runs: dict[tuple[str, str], dict[str, tuple[int, float | None]]] = {}
    for _, row in entries:
        if row.training.images_seen:
            own = runs.setdefault((row.training.set, row.model.title), {})
            seconds = row.cost.train_seconds
            own[row.recipe.digest] = (
                row.training.images_seen,
                seconds if seconds is not None else own.get(row.recipe.digest, (0, None))[1],
            )
    lines = [
        [name, title, str(len(own)), f"{sum(seen for seen, _ in own.values()):,}", _hours(own)]
        for (name, title), own in sorted(runs.items())
    ]
    every = {digest: run for own in runs.values() for digest, run in own.items()}
    precisions = sorted({row.environment.precision for _, row in entries})
    devices = sorted({row.environment.device for _, row in entries})
    timed = sum(seconds is not None for _, seconds in every.values())
    return "\n\n".join(
        [
            markdown_table(["trained on", "system", "runs", "images seen", "hours of training"], lines),
            f"{len(every)} trainings, {sum(seen for seen, _ in every.values()):,} images, hours noted "
            f"by {timed} of them: {_hours(every)}. Device: {', '.join(devices)}. Descriptors computed in "
            f"{' and '.join(precisions)}.",
        ]
    )


def _hours(runs: Mapping[str, tuple[int, float | None]]) -> str:
    seconds = [one for _, one in runs.values() if one is not None]
    return f"{sum(seconds) / 3600:.2f}" if seconds else "not noted"


def claims(files: Sequence[ClaimsFile], entries: Sequence[Entry]) -> str:
    """Each paper's claims with their tests, and those without rows."""
    return "\n\n".join(part for file in files for part in _claims_of(file, entries))


def _claims_of(file: ClaimsFile, entries: Sequence[Entry]) -> Iterator[str]:
    tested, untested = judge_claims(file, entries)
    yield f"### {file.title}"
    yield f"{file.source}. {file.notes}".strip()
    if tested:
        heads = ["claim", "read in", "measured on", "first", "second", "difference", "seeds", "verdict"]
        yield markdown_table(heads, [_claim_line(one) for one in tested])
        yield _claims_words(tested)
    if untested:
        yield "Not tested, for want of rows:"
        yield "\n".join(f"- {one.says} ({one.read})." for one in untested)


def _claim_line(one: Tested) -> list[str]:
    trained_on = "" if one.train_set == one.eval_set else f", trained on {one.train_set}"
    return [
        one.claim.says,
        one.claim.read,
        f"{one.eval_set} {one.metric}{trained_on}",
        *(f"{100 * mean:.1f}" for mean in one.means),
        one.test.points,
        " and ".join(str(count) if count else "frozen" for count in one.seeds),
        one.verdict + (", of checkpoints" if one.one_run else ""),
    ]


def _claims_words(tested: Sequence[Tested]) -> str:
    counts = {
        word: sum(one.verdict == word for one in tested) for word in ("holds", "the opposite", "not decided")
    }
    words = (
        f"Of {len(tested)} tests {counts['holds']} hold, {counts['the opposite']} show the opposite, and "
        f"{counts['not decided']} are not decided, at 5 % after Holm's correction over these {len(tested)}. "
        "An interval is of one test alone."
    )
    if any(one.one_run for one in tested):
        words += ' "Of checkpoints": one side was trained once, so that no method was tested.'
    return words


def missing(entries: Sequence[Entry], configs: Path) -> str:
    """What the tracks ask for and the rows do not have."""
    runs: dict[tuple[str, str], set[int]] = {}
    for _, row in entries:
        runs.setdefault((row.recipe.track.name, row.model.system), set()).add(row.training.seed)
    lines, never = [], []
    for name in file_names(configs / "tracks"):
        track = read_track(configs, name)
        if not any(key[0] == track.name for key in runs):
            never.append(name)
        elif short := _short_of(track, runs, configs):
            lines.append(f"- {name}: {'; '.join(short)}.")
    if never:
        lines.append(f"- Tracks without any row: {', '.join(never)}.")
    return "\n".join(lines) or "Nothing: each system of each track has all its seeds."


def _short_of(track: Track, runs: Mapping[tuple[str, str], set[int]], configs: Path) -> list[str]:
    """Systems of a track with fewer seeds than it asks for."""
    found = []
    for system in track.systems:
        seeds = runs.get((track.name, system), set())
        if not read_system(configs, system).frozen and len(seeds) < len(track.seeds):
            found.append(f"{system} {len(seeds)} of {len(track.seeds)} seeds")
        elif not seeds:
            found.append(f"{system} not measured")
    return found
