"""The leaderboard: the fair tables as Markdown, CSV, JSON, LaTeX and HTML; the same results give the same bytes."""

import difflib
import json
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from vitret.compare.groups import require_groups
from vitret.compare.overlap.affected import affected_by, said_of
from vitret.compare.overlap.known import known
from vitret.compare.published import PublishedFile, PublishedRow, published_files, rows_of, targets_of
from vitret.compare.tables import Cell, Row, Table, head, read_all, tables
from vitret.core.errors import CheckError, EmptyError
from vitret.core.store import write_text
from vitret.pages.captions import caption, title
from vitret.pages.latex import latex
from vitret.pages.markdown import markdown_table
from vitret.pages.published import IN_ITALICS, italic_rows, section
from vitret.pages.verdict import against, average, averaged, below, rank, seed_count, seeds_sentence, seen

if TYPE_CHECKING:
    from pandas import DataFrame

FILES = {"md": "LEADERBOARD.md", "csv": "leaderboard.csv", "html": "leaderboard.html"}


def number(cell: Cell | None, *, interval: bool = True) -> str:
    """A cell in per cent: mean, ± standard deviation over seeds, 95 % interval.

    >>> number(Cell(value=0.5, std=None, low=0.45, high=0.55, n_effective=70))
    '50.0 [45.0, 55.0]'
    """
    if cell is None:
        return "–"
    spread = "" if cell.std is None else f" ± {100 * cell.std:.1f}"
    between = f" [{100 * cell.low:.1f}, {100 * cell.high:.1f}]" if interval else ""
    return f"{100 * cell.value:.1f}{spread}{between}"


def grid(table: Table, keys: Sequence[str], *, with_test: bool) -> tuple[list[str], list[list[str]]]:
    """Column heads and cells as text, for one group of metrics."""
    columns = [(name, key) for name in table.sets for key in keys]
    facts = ["system", "backbone", "starts from", "dim", "params", "seen", "seeds"]
    heads = [*facts, *(head(*column) for column in columns)]
    rows = [
        [
            row.title,
            row.backbone,
            row.starts_from,
            str(row.dim),
            row.millions,
            seen(row),
            seed_count(row),
            *(number(row.cells.get(column)) for column in columns),
        ]
        for row in table.rows
    ]
    if with_test:
        means = averaged(table)
        heads += [f"mean {table.primary}"] if means else []
        heads += ["rank", f"{table.primary} vs first", "overlap", "zero-shot %"]
        for cells, row in zip(rows, table.rows, strict=True):
            cells += [number(average(row))] if means else []
            cells += [rank(row), against(row), row.overlap.word, row.overlap.cell]
    return heads, rows


def metric_groups(table: Table) -> list[list[str]]:
    """The keys of one metric belong in one table; Recall@K of several K share one."""
    groups: dict[str, list[str]] = {}
    for key in table.keys:
        name = key.partition(" (")[0]
        groups.setdefault(name.partition("@")[0] if name.startswith("R@") else name, []).append(key)
    return list(groups.values())


def markdown(found: Sequence[Table], files: Sequence[PublishedFile]) -> str:
    """LEADERBOARD.md: one section a training set, measured rows only; published numbers apart, at the end."""
    parts = ["# Leaderboard", "Made by `vitret leaderboard` from the rows in this folder. Do not edit.\n"]
    parts += sections(found, rows_of(files)) + section(files)
    return "\n\n".join(parts).replace("\n\n\n", "\n\n") + "\n"


def sections(found: Sequence[Table], published: Sequence[PublishedRow]) -> list[str]:
    """The tables in Markdown: heading, caption, grids and sentences of each; published rows that fit in italics."""
    parts = []
    for table in found:
        parts.append(f"## {title(table)}")
        parts.append("\n".join(f"{line}  " for line in caption(table)))
        for index, keys in enumerate(metric_groups(table)):
            heads, rows = grid(table, keys, with_test=index == 0)
            parts.append(markdown_table(heads, rows + italic_rows(table, keys, published, heads=heads)))
        parts += below(table)
        if targets_of(table, published):
            parts.append(IN_ITALICS)
    return parts


def rows_long(found: Sequence[Table]) -> Iterator[dict[str, object]]:
    """One record per number, fractions, for programs."""
    for table in found:
        for row in table.rows:
            for (name, key), cell in row.cells.items():
                yield {
                    "train_set": table.train_set,
                    "budget": table.budget,
                    "suite": table.suite,
                    "fingerprint": table.fingerprint,
                    "ablation": table.ablation,
                    "system": row.system,
                    "title": row.title,
                    "backbone": row.backbone,
                    "head": row.head,
                    "dim": row.dim,
                    "parameters": row.parameters,
                    "images_seen": row.images_seen,
                    "seeds": len(row.seeds),
                    "eval_set": name,
                    "metric": key,
                    "value": cell.value,
                    "std": cell.std,
                    "low": cell.low,
                    "high": cell.high,
                    "n_effective": cell.n_effective,
                    "primary": row.primary,
                    "mark": row.rank_mark,
                    "starts_from": row.starts_from,
                    "rank_first": row.ranks[0] if row.ranks else None,
                    "rank_last": row.ranks[1] if row.ranks else None,
                    "left_out": table.left_out,
                    "dropped_queries": dict(table.dropped).get(name.partition("+")[0], 0),
                    "overlap": row.overlap.word,
                    "zero_shot_training": row.overlap.training,
                    "zero_shot_pretraining": row.overlap.pretraining,
                    **_cost_of(row),
                }


def _cost_of(row: Row) -> dict[str, object]:
    """What an image costs the row's network, where the row says it; the device says which times may be compared."""
    cost = row.cost
    if cost is None:
        return {"descriptor_bytes": row.descriptor_bytes}
    return {
        "descriptor_bytes": row.descriptor_bytes,
        "flops": cost.flops,
        "latency_p50": cost.latency_p50,
        "latency_p95": cost.latency_p95,
        "images_per_second": cost.images_per_second,
        "peak_bytes": cost.peak_bytes,
        "cost_device": cost.device,
        "cost_precision": cost.precision,
    }


def frame(found: Sequence[Table]) -> "DataFrame":
    """`rows_long` as a pandas table, for the CSV and for a user's own analysis."""
    import pandas as pd

    return pd.DataFrame(rows_long(found))


def as_csv(found: Sequence[Table], files: Sequence[PublishedFile] = ()) -> str:
    """One line a number; fractions have twelve digits, in which every machine computes the same."""
    return frame(found).to_csv(index=False, lineterminator="\n", float_format="%.12g")


def as_json(found: Sequence[Table], files: Sequence[PublishedFile] = ()) -> str:
    """One object a number; not by pandas, whose JSON keeps 15 digits of a fraction and not all."""
    return json.dumps(list(rows_long(found)), indent=2, ensure_ascii=False) + "\n"


def as_html(found: Sequence[Table], files: Sequence[PublishedFile]) -> str:
    """The page that people look at: one file without outside files."""
    # Inside, because the page groups its columns as this module does.
    from vitret.pages.board.page import as_page

    return as_page(found, files)


# (tables, published numbers, which stand beside the tables that they fit) → text.
RENDERERS: dict[str, Callable[[Sequence[Table], Sequence[PublishedFile]], str]] = {
    "md": markdown,
    "csv": as_csv,
    "json": as_json,
    "latex": latex,
    "html": as_html,
}


def measured_tables(
    root: Path, *, without: str = "", say: Callable[[str], None] = lambda _: None
) -> list[Table]:
    """The tables of a results folder.

    With `without` (a file of overlap, or "auto"), behind them the tables without the queries that overlap concerns;
    what each file leaves out is said. Raises `EmptyError` where there are no rows.
    """
    entries, known_here = read_all(root), known(root)
    require_groups(root, (row for _, row in entries))
    found = tables(entries, known=known_here)
    if not found:
        raise EmptyError(
            f"{root}: no measured rows. Run `vitret bench --train-set SET` or `vitret demo` first."
        )
    if without:
        affected = affected_by(without, root)
        for sentence in said_of(affected, [row for _, row in entries]):
            say(sentence)
        found += tables(entries, known=known_here, without=affected)
    return found


def render(root: Path, form: str, *, without: str = "", say: Callable[[str], None] = lambda _: None) -> str:
    """The tables of a results folder in one of the forms of `RENDERERS`; the others as in `measured_tables`."""
    return RENDERERS[form](measured_tables(root, without=without, say=say), published_files(root))


BEGIN = "<!-- table: made by `vitret leaderboard`; do not edit between the marks -->"
END = "<!-- end of table -->"
_TOP = 2
_TOWN = "Trained on the synthetic town, which only tests the pipeline:"


def overview(found: Sequence[Table]) -> str:
    """The README's tables: every system on photographs, then the first rows of each synthetic track."""
    from vitret.pages import evidence  # it writes numbers as this module does

    heads = ["trained on", "measured by", "system", "primary number", "value", "rank", "vs first"]
    town: dict[str, Table] = {}
    for table in found:
        if evidence.drawn(table.train_set, *table.sets) and len(_overview_lines(table)) > 1:
            town.setdefault(table.track, table)
    lines = [line for table in town.values() for line in _overview_lines(table)]
    once = [table for table in town.values() if any(row.one_run for row in _first_rows(table))]
    said = dict.fromkeys(map(seeds_sentence, once))
    on_town = "\n\n".join([markdown_table(heads, lines), *said]) if lines else ""
    parts = [evidence.summary(found), on_town]
    return f"\n\n{_TOWN}\n\n".join(part for part in parts if part)


def _overview_lines(table: Table) -> list[list[str]]:
    rows = _first_rows(table)
    # A row alone is compared with nothing.
    if table.budget != "track" or table.ablation or len(rows) < 2:
        return []
    return [
        [
            table.train_set,
            table.suite,
            row.title,
            table.primary,
            f"{100 * (row.primary or 0):.1f}",
            rank(row),
            against(row),
        ]
        for row in rows
    ]


def _first_rows(table: Table) -> list[Row]:
    return [row for row in table.rows if row.primary is not None][:_TOP]


def _with_overview(readme: str, table: str) -> str:
    head, _, rest = readme.partition(BEGIN)
    _, _, tail = rest.partition(END)
    return f"{head}{BEGIN}\n{table}\n{END}{tail}"


def _expected(root: Path) -> dict[Path, str]:
    """Every generated file and what it should hold; in README and docs/evidence.md only what stands between marks."""
    from vitret.pages import evidence

    found, files = measured_tables(root), published_files(root)
    expected = {root / name: RENDERERS[form](found, files) for form, name in FILES.items()}
    project = root.resolve().parent
    readme, page = project / "README.md", project / "docs" / "evidence.md"
    if readme.is_file():
        text = readme.read_text(encoding="utf-8")
        if BEGIN in text and END in text:
            expected[readme] = _with_overview(text, overview(found))
    if page.is_file():
        expected[page] = evidence.filled(page.read_text(encoding="utf-8"), found, root, project / "configs")
    return expected


def write(root: Path) -> list[Path]:
    """Write LEADERBOARD.md, leaderboard.csv and leaderboard.html beside the rows, and the README's table."""
    expected = _expected(root)
    for path, text in expected.items():
        write_text(path, text)
    return list(expected)


def check(root: Path) -> None:
    """Raise `CheckError` with a diff when a written leaderboard is not what its rows give."""
    stale = []
    for path, fresh in _expected(root).items():
        old = path.read_text(encoding="utf-8") if path.is_file() else ""
        if old != fresh:
            lines = difflib.unified_diff(
                old.splitlines(), fresh.splitlines(), str(path), f"{path} from its rows", lineterm="", n=0
            )
            stale.append("\n".join(list(lines)[:40]))
    if stale:
        raise CheckError(
            "\n".join(stale) + "\nThe leaderboard is stale. Run `vitret leaderboard` and commit the result."
        )
