"""The leaderboard: the fair tables as Markdown, CSV, JSON, LaTeX and HTML; the same results give the same bytes."""

import difflib
import json
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from vitret.compare.published import PublishedFile, published_files
from vitret.compare.tables import Cell, Table, head, read_all, tables
from vitret.core.errors import CheckError, EmptyError
from vitret.core.store import write_text
from vitret.pages.captions import caption, title
from vitret.pages.latex import latex
from vitret.pages.markdown import markdown_table
from vitret.pages.verdict import against, below, rank

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
            f"{row.parameters / 1e6:.2f}M",
            f"{row.images_seen:,}" if row.images_seen else "frozen",
            str(len(row.seeds)),
            *(number(row.cells.get(column)) for column in columns),
        ]
        for row in table.rows
    ]
    if with_test:
        heads += ["rank", f"{table.primary} vs first"]
        for cells, row in zip(rows, table.rows, strict=True):
            cells += [rank(row), against(row)]
    return heads, rows


def metric_groups(table: Table) -> list[list[str]]:
    """The keys of one metric belong in one table; Recall@K of several K share one."""
    groups: dict[str, list[str]] = {}
    for key in table.keys:
        name = key.partition(" (")[0]
        groups.setdefault(name.partition("@")[0] if name.startswith("R@") else name, []).append(key)
    return list(groups.values())


def markdown(found: Sequence[Table], root: Path) -> str:
    """LEADERBOARD.md: one section a training set, measured rows only; published numbers apart, at the end."""
    parts = ["# Leaderboard", "Made by `vitret leaderboard` from the rows in this folder. Do not edit.\n"]
    parts += sections(found) + published_section(root)
    return "\n\n".join(parts).replace("\n\n\n", "\n\n") + "\n"


def sections(found: Sequence[Table]) -> list[str]:
    """The tables in Markdown: heading, caption, grids and sentences of each."""
    parts = []
    for table in found:
        parts.append(f"## {title(table)}")
        parts.append("\n".join(f"{line}  " for line in caption(table)))
        for index, keys in enumerate(metric_groups(table)):
            parts.append(markdown_table(*grid(table, keys, with_test=index == 0)))
        parts += below(table)
    return parts


def published_section(root: Path) -> list[str]:
    """The closing section of LEADERBOARD.md; empty when there is nothing to show."""
    files = published_files(root)
    if not files:
        return []
    return [
        "## Published numbers, not measured here",
        "Read in papers; their protocols differ from ours and among each other.",
        *(_published_part(file) for file in files),
    ]


def _published_part(file: PublishedFile) -> str:
    heads = ["method", "training set", "dim", *file.columns, "protocol", "source"]
    rows = []
    for row in file.rows:
        values = [f"{row.values[c]:g}" if c in row.values else "–" for c in file.columns]
        dim = "–" if row.dim is None else str(row.dim)
        source = f"{row.source} ({row.read})"
        rows.append([row.method, row.train_set, dim, *values, row.protocol, source])
    notes = [file.notes + "\n"] if file.notes else []
    return "\n".join([f"### {file.title}\n", *notes, markdown_table(heads, rows)])


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
                }


def frame(found: Sequence[Table]) -> "DataFrame":
    """`rows_long` as a pandas table, for the CSV and for a user's own analysis."""
    import pandas as pd

    return pd.DataFrame(rows_long(found))


def as_csv(found: Sequence[Table], root: Path) -> str:
    """One line a number, fractions with all their digits."""
    return frame(found).to_csv(index=False, lineterminator="\n")


def as_json(found: Sequence[Table], root: Path) -> str:
    """One object a number; not by pandas, whose JSON keeps 15 digits of a fraction and not all."""
    return json.dumps(list(rows_long(found)), indent=2, ensure_ascii=False) + "\n"


def as_html(found: Sequence[Table], root: Path) -> str:
    """The page that people look at: one file without outside files."""
    # Inside, because the page groups its columns as this module does.
    from vitret.pages.board.page import as_page

    return as_page(found, published_files(root))


RENDERERS: dict[str, Callable[[Sequence[Table], Path], str]] = {
    "md": markdown,
    "csv": as_csv,
    "json": as_json,
    "latex": latex,
    "html": as_html,
}


def measured_tables(root: Path) -> list[Table]:
    """The tables of a results folder.

    Raises `EmptyError` where there are no rows.
    """
    found = tables(read_all(root))
    if not found:
        raise EmptyError(
            f"{root}: no measured rows. Run `vitret bench --train-set SET` or `vitret demo` first."
        )
    return found


def render(root: Path, form: str) -> str:
    """The tables of a results folder in one of the forms of `RENDERERS`."""
    return RENDERERS[form](measured_tables(root), root)


BEGIN = "<!-- table: made by `vitret leaderboard`; do not edit between the marks -->"
END = "<!-- end of table -->"
_TOP = 2


def overview(found: Sequence[Table]) -> str:
    """The README's table: the first rows of each training set, measured under the track's budget."""
    heads = [
        "trained on",
        "measured by",
        "system",
        "dim",
        "params",
        "primary number",
        "value",
        "rank",
        "vs first",
    ]
    rows = [line for table in found for line in _overview_lines(table)]
    return markdown_table(heads, rows)


def _overview_lines(table: Table) -> list[list[str]]:
    ranked = [row for row in table.rows if row.primary is not None]
    # A row alone is compared with nothing.
    if table.budget != "track" or table.ablation or len(ranked) < 2:
        return []
    return [
        [
            table.train_set,
            table.suite,
            row.title,
            str(row.dim),
            f"{row.parameters / 1e6:.2f}M",
            table.primary,
            f"{100 * (row.primary or 0):.1f}",
            rank(row),
            against(row),
        ]
        for row in ranked[:_TOP]
    ]


def _with_overview(readme: str, table: str) -> str:
    head, _, rest = readme.partition(BEGIN)
    _, _, tail = rest.partition(END)
    return f"{head}{BEGIN}\n{table}\n{END}{tail}"


def _expected(root: Path) -> dict[Path, str]:
    """Every generated file and what it should hold; the README beside the results only where it has the marks."""
    found = measured_tables(root)
    expected = {root / name: RENDERERS[form](found, root) for form, name in FILES.items()}
    readme = root.resolve().parent / "README.md"
    if readme.is_file():
        text = readme.read_text(encoding="utf-8")
        if BEGIN in text and END in text:
            expected[readme] = _with_overview(text, overview(found))
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
